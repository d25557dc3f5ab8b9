"""The policy file: rules and lists, its own and those of files that it includes, and the rest.

    include = ["lists/spam.toml"]

    [labelers]
    trust = ["64 digits", { account = "64 digits", ceiling = "limit" }]
    [evidence]
    key = "64 digits"
    [strangers]
    known_after = "7d"
    likeness_window = "1h"

An included file has rules, lists and files that it includes, and nothing else; paths are relative
to the file they stand in and stay inside the policy file's folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from posixpath import dirname, join, normpath
from typing import Any, NamedTuple

from ratoon_node.config.positions import Path
from ratoon_node.policy import document
from ratoon_node.policy.admission import Budgets, parse_admission
from ratoon_node.policy.document import (
    POLICY_BYTES_MAX,
    PolicyFileError,
    Problem,
    Report,
    Section,
)
from ratoon_node.policy.lists import ListEntry, account_id, block_verdict, parse_lists
from ratoon_node.policy.plugins import PluginSpec, parse_plugins
from ratoon_node.policy.rules import Rule, Rules, duration_ms
from ratoon_node.policy.verdict import Verdict

#: Files inside files inside files: deeper nobody finds what applies.
INCLUDE_DEPTH_MAX = 4
INCLUDES_MAX = 64
LABELERS_MAX = 64
HOUR_MS = 3_600_000


class Strangers(NamedTuple):
    """`[strangers]`: an account is one until this node has known it for so long, and those of
    other nodes whom nobody here follows always are. Of their texts near-duplicates are sought.
    """

    known_after_ms: int = 7 * 24 * HOUR_MS
    likeness_window_ms: int = HOUR_MS


class PolicyFile(NamedTuple):
    """A policy file without errors. `version` is the SHA-256, hexadecimal, of its bytes and, if
    it includes files, of the names and bytes of these in the order in which they are read.
    """

    version: str
    rules: tuple[Rule, ...]
    entries: tuple[ListEntry, ...]
    budgets: Budgets
    labelers: tuple[tuple[bytes, Verdict], ...] = ()
    evidence_key: bytes | None = None
    plugins: tuple[PluginSpec, ...] = ()
    strangers: Strangers = Strangers()


def no_includes(name: str) -> bytes:
    """Stands where a policy has no folder: every file is missing."""
    raise FileNotFoundError(name)


def parse_policy(data: bytes, read: Callable[[str], bytes] = no_includes) -> PolicyFile:
    """Read the bytes of a `policy.toml`. Raises `PolicyFileError` with every problem in it.

    `read` gives the bytes of an included file by its path from the policy file's folder (with
    slashes, without `..`); an `OSError` it raises is a problem of the file that includes it.
    """
    reader = _Reader(data, read)
    text, top = document.load(data)
    report = Report()
    section = Section(top, (), report)
    evidence = _evidence(section.section("evidence"))
    rules = Rules(evidence is not None)
    reader.take(section, rules, "", ())
    file = PolicyFile(
        reader.version(),
        tuple(rules.found),
        tuple(reader.entries),
        parse_admission(section.section("admission")),
        _labelers(section.section("labelers")),
        evidence,
        parse_plugins(section.sections("plugin"), report),
        _strangers(section.section("strangers")),
    )
    section.finish()
    rules.check(report)
    problems = report.problems(text, "") + reader.problems
    if problems:
        raise PolicyFileError(problems)
    return file


class _Reader:
    """Reads included files, each once, and gathers what all of them say."""

    def __init__(self, data: bytes, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._hash = hashlib.sha256(data)
        self._bytes_left = POLICY_BYTES_MAX - len(data)
        self._names: set[str] = set()
        self.entries: list[ListEntry] = []
        self.problems: list[Problem] = []

    def version(self) -> str:
        """Of all that was read."""
        return self._hash.hexdigest()

    def take(self, section: Section, rules: Rules, name: str, above: tuple[str, ...]) -> None:
        """Rules and lists of a file, then of those it includes; `above` include it."""
        includes = section.items("include")
        rules.read(section.sections("rule"), section.report)
        self.entries += parse_lists(section.section("lists"), rules.evidence)
        for path, value in includes:
            try:
                self._include(_inside(name, value), rules, (*above, name))
            except ValueError as error:
                section.report.add(path, str(error))

    def _include(self, name: str, rules: Rules, above: tuple[str, ...]) -> None:
        """Raises `ValueError` for a file that cannot be had."""
        data = self._bytes(name, above)
        self._hash.update(b"\0%b\0%d\0%b" % (name.encode(), len(data), data))
        report = Report()
        try:
            text, top = document.load(data)
        except PolicyFileError as error:
            self.problems += [problem._replace(file=name) for problem in error.problems]
            return
        section = Section(top, (), report)
        self.take(section, rules, name, above)
        section.finish()
        self.problems += report.problems(text, name)

    def _bytes(self, name: str, above: tuple[str, ...]) -> bytes:
        if name in above:
            raise ValueError(f"{name} includes itself")
        if name in self._names:
            raise ValueError(f"{name} is included already")
        if len(above) > INCLUDE_DEPTH_MAX or len(self._names) >= INCLUDES_MAX:
            words = f"deeper than {INCLUDE_DEPTH_MAX}, or more than {INCLUDES_MAX} files"
            raise ValueError(f"{name}: {words}")
        self._names.add(name)
        try:
            data = self._read(name)
        except OSError as error:
            raise ValueError(f"{name} cannot be read: {_words(error)}") from error
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise ValueError(f"{name}: all files together have more than {POLICY_BYTES_MAX} bytes")
        return data


def _words(error: OSError) -> str:
    return "there is no such file" if isinstance(error, FileNotFoundError) else str(error)


def _inside(name: str, value: Any) -> str:
    """The path of an included file from the policy file's folder."""
    path = document.text_of(value)
    found = normpath(join(dirname(name), path))
    if path.startswith("/") or found.split("/")[0] == ".." or "\\" in path or "\0" in path:
        raise ValueError("must be a path inside the folder of the policy file")
    return found


def _evidence(section: Section) -> bytes | None:
    key = section.take("key", account_id, None)
    section.finish()
    return key


def _labelers(section: Section) -> tuple[tuple[bytes, Verdict], ...]:
    found: dict[bytes, Verdict] = {}
    items = section.items("trust")
    if len(items) > LABELERS_MAX:
        section.report.add((*section.path, "trust"), f"more than {LABELERS_MAX} labelers")
    for path, value in items[:LABELERS_MAX]:
        account, ceiling = _labeler(path, value, section.report)
        found[account] = ceiling
    section.finish()
    return tuple(found.items())


def _labeler(path: Path, value: Any, report: Report) -> tuple[bytes, Verdict]:
    """`"account"`, or `{ account = …, ceiling = … }`."""
    section = Section(value if isinstance(value, dict) else {"account": value}, path, report)
    account = section.need("account", account_id, b"")
    ceiling = section.take("ceiling", block_verdict, Verdict.WITHHOLD)
    section.finish()
    return account, ceiling


def _strangers(section: Section) -> Strangers:
    default = Strangers()
    found = Strangers(
        section.take("known_after", duration_ms, default.known_after_ms),
        section.take("likeness_window", duration_ms, default.likeness_window_ms),
    )
    section.finish()
    return found
