"""`make bench`: measures, prints a table, and writes JSON if asked to."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

from tests.bench.bare import bare
from tests.bench.fanout import fanout, spread
from tests.bench.figures import Figure, print_table, write_json
from tests.bench.reading import home, search, thread, trends
from tests.bench.reconcile import reconcile
from tests.bench.replication import replication
from tests.bench.start import start
from tests.bench.work import Work

Bench = Callable[[Work], Awaitable[list[Figure]]]

#: In the order in which they run; the bare limits come first, because others refer to them.
BENCHES: dict[str, Bench] = {
    "bare": bare,
    "replication": replication,
    "reconcile": reconcile,
    "start": start,
    "home": home,
    "thread": thread,
    "search": search,
    "trends": trends,
    "fanout": fanout,
    "spread": spread,
}


async def run(names: Sequence[str], quick: bool, large: bool) -> list[Figure]:
    """Everything that the named benches measure; all of them if none is named."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="ratoon-bench-") as folder:
        work = Work(Path(folder), quick, large)
        for name, bench in BENCHES.items():
            if not names or name in names:
                found += await bench(work)
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="bench", help=", ".join(BENCHES))
    parser.add_argument(
        "--large", action="store_true", help="a million records, too: seeding takes minutes, once"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument("--quick", action="store_true", help="smaller sets, under a minute")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(BENCHES):
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    figures = uvloop.run(run(chosen.names, chosen.quick, chosen.large))
    print_table(figures)
    if chosen.json:
        write_json(figures, chosen.json)


if __name__ == "__main__":
    main()
