"""What is checked, by which requirement, and what came of it.

A check is a function of a `Bench` that says what it saw, case by case, each under the requirement
that it belongs to. A requirement passes if at least one case was seen and all of them were right;
what could not be seen says why, and never counts as passed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ratoon_node.cli.conformance.bench import Bench

Run = Callable[["Bench"], Awaitable[None]]

# Wrong cases told of one requirement: the first ones show what is wrong.
PROBLEMS_TOLD_MAX = 8


class Unmet(Exception):
    """A check cannot run here; the message says what it lacks."""


class Verdict(StrEnum):
    """What came of one requirement."""

    PASS = "pass"
    FAIL = "fail"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Check:
    """One check: the requirements it may say something of, and the function that does."""

    name: str
    requirements: tuple[str, ...]
    title: str
    run: Run


@dataclass(frozen=True)
class Result:
    """One requirement: `cases` seen, `problems` among them, or why nothing was seen."""

    requirement: str
    about: str
    verdict: Verdict
    cases: int = 0
    problems: tuple[str, ...] = ()
    why: str = ""


@dataclass
class Findings:
    """What the checks have said so far."""

    cases: dict[str, int] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    unmet: dict[str, str] = field(default_factory=dict)

    def saw(self, requirement: str, problem: str | None) -> None:
        """One case of a requirement; `problem` None: it was right."""
        self.cases[requirement] = self.cases.get(requirement, 0) + 1
        if problem is not None:
            self.problems.setdefault(requirement, []).append(problem)

    def result(self, requirement: str) -> Result:
        """The verdict of one requirement."""
        about, cases = ABOUT[requirement], self.cases.get(requirement, 0)
        problems = tuple(self.problems.get(requirement, ())[:PROBLEMS_TOLD_MAX])
        if problems:
            return Result(requirement, about, Verdict.FAIL, cases, problems)
        if cases:
            return Result(requirement, about, Verdict.PASS, cases)
        why = UNSEEN.get(requirement) or self.unmet.get(requirement) or "its checks did not run"
        return Result(requirement, about, Verdict.NOT_CHECKED, why=why)


CHECKS: list[Check] = []


def check(*requirements: str, title: str) -> Callable[[Run], Run]:
    """Put a function on the list of checks."""

    def put(run: Run) -> Run:
        CHECKS.append(Check(run.__name__, requirements, title, run))
        return run

    return put


def chosen(only: Sequence[str]) -> list[str]:
    """The requirements that `only` names (`R-64`, `R-7x`: any digit), in order; all for none.

    Raises `ValueError` for a name that fits none.
    """
    if not only:
        return list(ABOUT)
    found: set[str] = set()
    for pattern in only:
        spelt = re.escape(pattern.strip().upper()).replace("X", "[0-9]")
        fits = [one for one in ABOUT if re.fullmatch(spelt, one)]
        if not fits:
            raise ValueError(pattern)
        found.update(fits)
    return [one for one in ABOUT if one in found]


#: Every requirement of the specification, in its order, in a few words.
ABOUT: dict[str, str] = {
    "R-1": "accounts, records, ids",
    "R-2": "one fault, its code",
    "R-3": "times are milliseconds since 1970",
    "R-4": "networks share nothing",
    "R-5": "bytes are kept as they were received",
    "R-6": "what later versions add",
    "R-7": "cost is bounded before it is spent",
    "R-8": "the limits are those of the version",
    "R-9": "one stable code a cause",
    "R-10": "sorts of values",
    "R-11": "integers",
    "R-12": "byte strings",
    "R-13": "text",
    "R-14": "maps and arrays",
    "R-15": "depth and counts",
    "R-16": "one value, nothing behind it",
    "R-17": "Ed25519, one verdict everywhere",
    "R-18": "keys listed for the first time",
    "R-19": "contexts of signatures",
    "R-20": "shape of a record",
    "R-21": "the header is signed",
    "R-22": "the id leaves the signature out",
    "R-23": "order of the checks",
    "R-24": "shape of a header",
    "R-25": "slot and chain fields fit the kind",
    "R-26": "header and payload are judged apart",
    "R-27": "slots",
    "R-28": "records from the future",
    "R-29": "shape of a payload",
    "R-30": "kinds and their classes",
    "R-31": "classes nobody may use",
    "R-32": "unknown critical kinds",
    "R-33": "unknown kinds are kept by class",
    "R-34": "chains and gaps",
    "R-35": "slot salts",
    "R-36": "forks",
    "R-37": "shape of envelopes",
    "R-38": "sealed kinds are not looked into",
    "R-39": "two values of one target",
    "R-40": "genesis",
    "R-41": "shape of an operation",
    "R-42": "proofs of possession",
    "R-43": "capabilities",
    "R-44": "who may change what",
    "R-45": "keys that drop out",
    "R-46": "validity hangs on the path alone",
    "R-47": "fork rule",
    "R-48": "branches, and operations that wait",
    "R-49": "revocation: retired and stolen",
    "R-50": "tips",
    "R-51": "revocations add up",
    "R-52": "authority of a key",
    "R-53": "status",
    "R-54": "unproven and revoked",
    "R-55": "walks",
    "R-56": "cap of a key, lane and day",
    "R-57": "latest wins",
    "R-58": "status, disposition, bytes",
    "R-59": "order of arrival does not matter",
    "R-60": "scopes and horizons",
    "R-61": "what is in a set",
    "R-62": "wanted bytes",
    "R-63": "answers without bytes",
    "R-64": "who is carried",
    "R-65": "which nodes are admitted",
    "R-66": "budgets of unknown nodes",
    "R-67": "rates of homes",
    "R-68": "the private scope",
    "R-69": "refusals by policy",
    "R-70": "refusals that are not remembered",
    "R-71": "the handshake",
    "R-72": "the stream of frames",
    "R-73": "frames",
    "R-74": "introduction",
    "R-75": "hello",
    "R-76": "push, ack, have",
    "R-77": "get, chain, find",
    "R-78": "reconciliation",
    "R-79": "ping, receipt, challenge, peers, bye",
    "R-80": "deletes",
    "R-81": "erasure",
    "R-82": "edits of a gone post",
    "R-83": "vanish",
    "R-84": "bytes of a vanished account",
    "R-85": "superseded bytes",
    "R-86": "purge",
    "R-87": "bundles",
    "R-88": "bounds of bundles",
    "R-89": "manifest of a bundle",
    "R-90": "bodies",
    "R-91": "text",
    "R-92": "lines and words",
    "R-93": "facets",
    "R-94": "links and tags",
    "R-95": "language and country",
    "R-96": "media",
    "R-97": "poll",
    "R-98": "origin",
    "R-100": "delete",
    "R-101": "node",
    "R-102": "hosting",
    "R-103": "profile",
    "R-104": "follow and list",
    "R-105": "prekey",
    "R-106": "advisory",
    "R-107": "post",
    "R-108": "edit",
    "R-109": "repost",
    "R-110": "sealed post",
    "R-111": "reaction",
    "R-112": "vote",
    "R-113": "label",
    "R-114": "setting",
    "R-120": "envelopes",
    "R-121": "sealed data",
    "R-122": "padding of sealed data",
    "R-123": "who takes an envelope",
    "R-124": "inner message",
    "R-125": "recovery phrase",
    "R-126": "keys from the phrase",
    "R-127": "signed statements",
    "R-130": "outcomes and providers",
    "R-131": "waiting for copies",
    "R-132": "one bad item never fails its batch",
    "R-133": "shape of an error",
    "R-134": "verified handles",
}

_CLIENTS = "a rule for who signs or reads, no node shows whether it is kept"
_SEALED = "what is inside an envelope is seen by its reader alone"
_BUNDLES = "a bundle is a file, read by a program beside the node"
#: What cannot be seen from outside, and why.
UNSEEN: dict[str, str] = {
    "R-1": "words that the others use",
    "R-2": "how to read the others; every case here has one fault",
    "R-35": _CLIENTS,
    "R-39": _CLIENTS,
    "R-56": "it takes more than 5,000 records of one key and day, which would stay",
    "R-58": "what a node keeps and shows by its own policy is not told apart from outside",
    "R-66": "it takes more new accounts or headers than a node takes in a day",
    "R-69": "it takes a rule of the operator that refuses something",
    "R-86": "only its operator can purge a record",
    "R-87": _BUNDLES,
    "R-88": _BUNDLES,
    "R-89": _BUNDLES,
    "R-121": _SEALED,
    "R-122": _SEALED,
    "R-124": _SEALED,
    "R-125": _CLIENTS,
}
