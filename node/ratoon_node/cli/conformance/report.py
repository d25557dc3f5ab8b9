"""What a run found, as a table for people or one JSON document."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ratoon_node.cli import say
from ratoon_node.cli.conformance.run import Outcome
from ratoon_node.cli.conformance.suite import Result, Verdict


def conforms(outcome: Outcome) -> bool:
    """Whether nothing failed."""
    return all(one.verdict is not Verdict.FAIL for one in outcome.results)


def document(url: str, outcome: Outcome) -> dict[str, Any]:
    """The run as JSON."""
    return {
        "node": url,
        "conforms": conforms(outcome),
        "counts": {verdict.value: _count(outcome, verdict) for verdict in Verdict},
        "accounts": {"made": outcome.made, "vanished": outcome.vanished},
        "requirements": [_row(one) for one in outcome.results],
    }


def _row(one: Result) -> dict[str, Any]:
    row: dict[str, Any] = {
        "requirement": one.requirement,
        "about": one.about,
        "verdict": one.verdict.value,
        "cases": one.cases,
    }
    if one.problems:
        row["problems"] = list(one.problems)
    if one.why:
        row["why"] = one.why
    return row


def _unseen(outcome: Outcome) -> dict[str, list[str]]:
    """Why something was not checked, and what that holds for."""
    found: dict[str, list[str]] = {}
    for one in outcome.results:
        if one.verdict is Verdict.NOT_CHECKED:
            found.setdefault(one.why, []).append(one.requirement)
    return found


def _count(outcome: Outcome, verdict: Verdict) -> int:
    return Counter(one.verdict for one in outcome.results)[verdict]


def show(url: str, outcome: Outcome) -> None:
    """The run as a table, the wrong cases behind it."""
    rows = [
        [one.requirement, one.about, one.verdict.value, str(one.cases or "")]
        for one in outcome.results
    ]
    say.table(["", "about", "verdict", "cases"], rows)
    for why, names in _unseen(outcome).items():
        say.line(f"not checked: {', '.join(names)}: {why}")
    for one in outcome.results:
        for problem in one.problems:
            say.line(f"fail: {one.requirement}: {problem}")
    counts = ", ".join(f"{_count(outcome, verdict)} {verdict.value}" for verdict in Verdict)
    say.line(f"{url}: {counts}")
    if outcome.made:
        say.line(
            f"{outcome.made} accounts were made for this, {outcome.vanished} of them vanished"
            " again; of those the node keeps the identity logs, and deletes and node records"
        )
