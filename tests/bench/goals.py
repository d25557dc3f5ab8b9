"""What the project promises of its speed, one row each: which figures tell whether it is kept.

What is demanded stands with the figure (`Figure.target`), because much of it is a share of what
the same run measures. Of several figures that one goal covers, the worst counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tests.bench.figures import Figure


class Goal(NamedTuple):
    """`pattern` is for the whole of `bench: name`; `least` is demanded besides a target.

    `of`: how to have it measured, where a plain run does not.
    """

    words: str
    pattern: str
    of: str = ""
    least: float | None = None


class Judged(NamedTuple):
    """A goal with its worst figure; None if it was not measured."""

    goal: Goal
    figure: Figure | None

    @property
    def word(self) -> str:
        """met, missed, measured (nothing is promised of it) or not measured, and how to."""
        if self.figure is None:
            return f"not measured{f' ({self.goal.of})' if self.goal.of else ''}"
        if self.figure.kept is None:
            return "measured"
        return "met" if self.figure.kept else "missed"


_LARGE = "--large"
_EQUAL = "sync: 1M, equal sets compared on a link: "
_1M = "1M records: "

GOALS = (
    Goal("ingest, 16 connections: 30 % of the signature limit", "ingest: 16 connections"),
    Goal("ingest, 1 connection: 25 % of it", "ingest: 1 connection"),
    Goal("ingest: everything derived caught up within 1 s", "ingest: .*caught up after"),
    Goal(
        "ingest onto 1M records, 16 connections: 80 % of that onto 10k",
        "ingest: onto 1M posts: 16 connections",
        _LARGE,
    ),
    Goal(
        "ingest onto 1M records, 1 connection: 80 % of that onto 10k",
        "ingest: onto 1M posts: 1 connection",
        _LARGE,
    ),
    # What a relay in C++ did on the machine that the goals were written for.
    Goal("ingest, 16 connections: ahead of strfry", "ingest: 16 connections", "", 12_700),
    Goal("ingest, 1 connection: ahead of strfry", "ingest: 1 connection", "", 8100),
    Goal(
        "ingest onto 1M records: ahead of strfry",
        "ingest: onto 1M posts: (1|16) connections?",
        _LARGE,
        3900,
    ),
    Goal("sync into an empty node: 30 % of the limit", "sync: records into an empty node"),
    Goal("second sync of equal sets of 1M: bytes", _EQUAL + "bytes.*", _LARGE),
    Goal("second sync of equal sets of 1M: rounds", _EQUAL + "rounds.*", _LARGE),
    Goal("second sync of equal sets of 1M: CPU", _EQUAL + "CPU.*", _LARGE),
    Goal("reconcile 1M, 100 differences: CPU a side", "reconcile: 1000k, 100 diff.*: CPU.*"),
    Goal("reconcile 1M, equal: CPU a side", "reconcile: 1000k, 0 diff.*: CPU.*"),
    Goal("reconcile 1M, 10,000 differences: CPU a side", "reconcile: 1000k, 10000 diff.*: CPU.*"),
    Goal("index memory a record", "reconcile: 1000k: memory a record"),
    Goal("index of 1M made", "reconcile: 1000k: index made"),
    Goal(_1M + "home, 500 follows: p99", "home: 1M, 500 follows, 1 at once: p99", _LARGE),
    Goal(_1M + "homes a second, 16 connections", "home: 1M, 50 follows, 16 at once", _LARGE),
    Goal(_1M + "thread of 1,000 replies", "thread: 1M, 1,000 replies.*: p99", _LARGE),
    Goal(_1M + "search: p99, the worst of all words", "search: 1M, .*: p99", _LARGE),
    Goal("to 100 subscribers of the same node: p99", "fan-out: 1M, .*: p99", _LARGE),
    Goal("to 100 subscribers of another node: p99", "spread: 100 subscribers.*: p99"),
    Goal("ten nodes all hold a record: p99", "spread: 10 nodes.*: p99"),
    Goal(_1M + "RSS, the most after anything", ".*: .*1M.*RSS.*", _LARGE),
    Goal(_1M + "disk a post of 120 characters", "disk: 1M, a post of .*, all indexes", _LARGE),
    Goal("disk an account", "disk: overhead of an account.*"),
    Goal("bytes written to disk a record", "ingest: .*bytes written to disk a record"),
    Goal(_1M + "start to serving", "start: 1M, process to serving", _LARGE),
    Goal("acknowledged to visible on another node: p99", "spread: acknowledged.*: p99"),
    Goal("100 rules, 100,000 entries: a record over no rules", "rules: .*: a record"),
    Goal("the same, strangers' posts with likeness", "rules: .*: a stranger's post, likeness"),
    Goal("the same: reload", "rules: .*: reload"),
    Goal("the same: memory", "rules: .*: memory"),
    Goal("headers a day for what is withheld", "withheld: headers and signatures a day.*"),
    Goal(
        "Sybil flood, a stranger's node: disk a day",
        "sybil: a stranger's node, texts of 280.*: the most on disk a day.*",
    ),
    Goal(
        "Sybil flood, a stranger's node: CPU a day",
        "sybil: a stranger's node, texts of 280.*: CPU for that a day",
    ),
    Goal("Sybil flood, sign-ups: accounts", "sybil: .*without an invitation.*: accounts stored"),
    Goal("CPU of a hostile peer a byte it sends, the worst kind", "hostile: .*: CPU a byte it.*"),
)


def judged(figures: Sequence[Figure]) -> list[Judged]:
    """Every goal with the figure that is worst for it."""
    return [Judged(goal, _worst(goal, figures)) for goal in GOALS]


def _worst(goal: Goal, figures: Sequence[Figure]) -> Figure | None:
    """Of those with a target if any has one."""
    found = [one for one in figures if re.fullmatch(goal.pattern, f"{one.bench}: {one.name}")]
    if goal.least is not None:
        found = [one.held(goal.least) for one in found]
    found = [one for one in found if one.target is not None] or found
    return max(found, key=_badness, default=None)


def _badness(figure: Figure) -> float:
    """How far from its target; the value where there is none."""
    if figure.target is None:
        return figure.value
    if figure.most:
        return figure.value / figure.target if figure.target else figure.value
    return figure.target / figure.value if figure.value else float("inf")
