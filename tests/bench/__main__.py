"""`make bench`: measures, prints a table and what is promised, and keeps the run as JSON.

    make bench                              everything that takes minutes
    make bench ARGS="--large"               with a million records, too
    make bench ARGS="--growth"              curves over 10k, 100k and 1M records, as SVG
    make bench ARGS="--compare A B home"    two commits in turn, A B A B

A goal that is missed is said to be missed, and is no failure of the command; a bench that breaks
is, once the others have run. Runs are kept in
bench-results/history, curves in bench-results/growth, seeded stores in bench-results/stores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop
from rich.table import Table

from tests.bench import compare, growth
from tests.bench.bare import bare
from tests.bench.fanout import fanout, spread
from tests.bench.figures import Figure, amount, console, demand, print_table
from tests.bench.goals import Judged, judged
from tests.bench.history import Busy, keep, run_of, told
from tests.bench.hostile import hostile
from tests.bench.memory import memory
from tests.bench.overload import overload
from tests.bench.posts import posts
from tests.bench.reading import home, search, thread, trends
from tests.bench.reconcile import reconcile
from tests.bench.replication import replication
from tests.bench.rules import rules
from tests.bench.start import start
from tests.bench.sybil import sybil
from tests.bench.withheld import withheld
from tests.bench.work import Work

Bench = Callable[[Work], Awaitable[list[Figure]]]

#: In the order in which they run; the bare limits come first, because others refer to them.
BENCHES: dict[str, Bench] = {
    "bare": bare,
    "replication": replication,
    "posts": posts,
    "reconcile": reconcile,
    "start": start,
    "memory": memory,
    "home": home,
    "thread": thread,
    "search": search,
    "trends": trends,
    "fanout": fanout,
    "spread": spread,
    "rules": rules,
    "withheld": withheld,
    "sybil": sybil,
    "hostile": hostile,
    "overload": overload,
}
#: Take so long that they run only where they are named.
NAMED_ONLY = frozenset({"overload"})
#: Shares of the bare limits are promised of them.
REFER_TO_LIMITS = frozenset({"replication", "posts"})


def chosen_benches(names: Sequence[str], drawn: bool) -> list[str]:
    """What a run measures, in order: what is named, or all but the longest, or what is drawn."""
    wanted = set(names) or (set(growth.BENCHES) if drawn else set(BENCHES) - NAMED_ONLY)
    if wanted & REFER_TO_LIMITS:
        wanted.add("bare")
    return [name for name in BENCHES if name in wanted]


async def run(names: Sequence[str], options: argparse.Namespace) -> tuple[list[Figure], list[str]]:
    """Everything that the named benches measure, and those that broke: the others still count."""
    found: list[Figure] = []
    broken: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ratoon-bench-") as folder:
        large = options.large or (options.growth and not options.quick)
        work = Work(
            Path(folder), options.quick, large, growth=options.growth, seconds=options.seconds
        )
        for name in names:
            try:
                found += await BENCHES[name](work)
            except Exception:
                traceback.print_exc()
                broken.append(name)
    return found, broken


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="bench", help=", ".join(BENCHES))
    add("--large", action="store_true", help="a million records, too: seeding takes minutes, once")
    add("--quick", action="store_true", help="smaller sets; the figures are rough")
    add("--growth", action="store_true", help="draw curves over 10k, 100k and (not quick) 1M")
    add("--compare", nargs=2, metavar=("A", "B"), help="measure two commits in turn")
    add("--rounds", type=int, default=compare.ROUNDS, help="how often to measure each of the two")
    add("--json", type=Path, metavar="FILE", help="write what was measured")
    add("--unkept", action="store_true", help="leave the run out of bench-results/history")
    add("--seconds", type=int, help="how long overload floods (600; quick: 30)")
    return parser


def main() -> None:
    """The command."""
    parser = _parser()
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHES):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    if options.compare:
        flags = [f"--{flag}" for flag in ("large", "quick") if getattr(options, flag)]
        a, b = options.compare
        compare.compare(a, b, [*flags, *options.names], options.rounds)
        return
    before = Busy.now()
    figures, broken = uvloop.run(run(chosen_benches(options.names, options.growth), options))
    kept = run_of(figures, sys.argv[1:], before, Busy.now())
    print_table(figures)
    print_goals(judged(figures))
    for line in told(kept):
        print(line)
    if options.growth:
        print(*(f"drawn: {path}" for path in growth.draw(figures)), sep="\n")
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    if not options.unkept:
        print(f"kept: {keep(kept)}")
    if broken:
        raise SystemExit(f"broken, see above: {', '.join(broken)}")


def print_goals(goals: Sequence[Judged]) -> None:
    """Every goal: value, share of its limit or of what is demanded, and whether it is met."""
    colours = {"met": "green", "missed": "red"}
    table = Table("goal", title="what is promised")
    for column in ("value", "unit", "ratio", "demanded", ""):
        table.add_column(column, justify="right")
    for one in goals:
        figure, word = one.figure, one.word
        said = f"[{colours[word]}]{word}[/]" if word in colours else word
        if figure is None:
            table.add_row(one.goal.words, "", "", "", "", said)
            continue
        share = figure.ratio
        if share is None and figure.target:
            share = figure.value / figure.target
        ratio = "" if share is None else f"{share:.0%}"
        table.add_row(one.goal.words, amount(figure), figure.unit, ratio, demand(figure), said)
    console().print(table)


if __name__ == "__main__":
    main()
