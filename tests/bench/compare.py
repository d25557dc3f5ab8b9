"""Two commits, measured in turn on the same machine: A B A B, so that what changes on the machine
meanwhile changes both.

The benches are those of this tree, on the node of each commit; one whose parts are too different
for them cannot be compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.table import Table

from tests.bench.figures import console
from tests.tidy.source import ROOT

# Times that each commit is measured: with three, one in ten figures that are equal looks better or
# worse by chance; with two one in three, with four one in 35.
ROUNDS = 3
Key = tuple[str, str]


class Both(NamedTuple):
    """What was measured of one thing at either commit, in the order of the rounds."""

    unit: str
    most: bool
    a: list[float]
    b: list[float]

    @property
    def ratio(self) -> float:
        """B as a share of A, by the medians."""
        return median(self.b) / median(self.a) if median(self.a) else float("nan")

    @property
    def word(self) -> str:
        """Better or worse only if no round of one reaches into those of the other."""
        if min(self.a) <= max(self.b) and min(self.b) <= max(self.a):
            return "within the spread"
        return "B better" if (max(self.b) < min(self.a)) == self.most else "B worse"


@contextmanager
def _checked_out(commits: Sequence[str]) -> Iterator[list[Path]]:
    """Each commit in a folder of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ratoon-compare-") as folder:
        paths = [Path(folder) / str(at) for at in range(len(commits))]
        try:
            for path, commit in zip(paths, commits, strict=True):
                _git("worktree", "add", "--quiet", "--detach", str(path), commit)
            yield paths
        finally:
            for path in paths:
                if path.exists():
                    _git("worktree", "remove", "--force", str(path))


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def _measured(tree: Path, arguments: Sequence[str], out: Path) -> dict[Key, dict[str, Any]]:
    """The figures of this tree's benches on another tree's node."""
    places = [str(tree / "protocol"), str(tree / "node"), str(ROOT)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    told = [sys.executable, "-m", "tests.bench", "--unkept", "--json", str(out), *arguments]
    done = subprocess.run(told, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit("the benches of this tree do not run on that commit (see above)")
    figures = json.loads(out.read_text())["figures"]
    return {(one["bench"], one["name"]): one for one in figures}


def compare(a: str, b: str, arguments: Sequence[str], count: int = ROUNDS) -> None:
    """Measure and print the ratio of B to A, with the spread of each."""
    with _checked_out([a, b]) as trees:
        names = [_git("rev-parse", "--short=12", commit) for commit in (a, b)]
        rounds: list[list[dict[Key, dict[str, Any]]]] = [[], []]
        for number in range(1, count + 1):
            for side, tree in enumerate(trees):
                print(f"round {number} of {count}: {names[side]}", file=sys.stderr)
                out = trees[0].parent / "figures.json"
                rounds[side].append(_measured(tree, arguments, out))
    found = matched(*rounds)
    _print(f"A = {names[0]}, B = {names[1]}", found)
    alone = {key for side in rounds for one in side for key in one} - found.keys()
    for bench, name in sorted(alone):
        print(f"not measured at both: {bench}, {name}")


def matched(
    a: Sequence[dict[Key, dict[str, Any]]], b: Sequence[dict[Key, dict[str, Any]]]
) -> dict[Key, Both]:
    """What every round of both has."""
    return {
        key: Both(
            one["unit"], one["most"], *([each[key]["value"] for each in side] for side in (a, b))
        )
        for key, one in a[0].items()
        if all(key in each for side in (a, b) for each in side)
    }


def _spread(values: Sequence[float]) -> str:
    """The median, and how far it goes from there to either end."""
    middle = median(values)
    wide = (max(values) - min(values)) / middle if middle else 0.0
    return f"{middle:,.4g} ±{wide / 2:.0%}"


def _print(title: str, found: dict[Key, Both]) -> None:
    table = Table("bench", "what", title=f"ratoon bench: {title}")
    for column in ("A", "B", "unit", "B / A", ""):
        table.add_column(column, justify="right")
    for (bench, name), both in found.items():
        cells = (_spread(both.a), _spread(both.b), both.unit, f"{both.ratio:.2f}", both.word)
        table.add_row(bench, name, *cells)
    console().print(table)
