"""Simulated worlds from their seeds.

python -m tests.sim --seed 7                     one world
python -m tests.sim --seed 7 --only 3,9,14       the same world, with these of its faults alone
python -m tests.sim --seed 1 --seeds 2000        many, a process a core; what they covered
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.sim import fleet
from tests.sim.plan import MINUTES, Plan
from tests.sim.simulation import Failed


def _numbers(text: str) -> frozenset[int]:
    return frozenset(int(word) for word in text.split(",") if word not in ("", "none"))


def main() -> int:
    """Run them, say what they came to; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        "python -m tests.sim",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seed", type=int, default=1, help="the world, or the first of many")
    add("--seeds", type=int, default=1, help="how many worlds")
    add("--nodes", type=int, default=0, help="0 lets the seed decide")
    add("--minutes", type=float, default=MINUTES, help="simulated minutes of trouble")
    add("--only", type=_numbers, help="numbers of the faults that happen, or none")
    add("--processes", type=int, default=os.cpu_count(), help="worlds at once")
    add("--coverage", action="store_true", help="measure the code that one world in ten runs")
    add("--read", action="store_true", help="print what happens as it happens (one world)")
    add("--whole", action="store_true", help="do not look for the fewest faults (one world)")
    asked = parser.parse_args()
    plans = [
        Plan(seed, asked.nodes, asked.minutes, only=asked.only)
        for seed in range(asked.seed, asked.seed + asked.seeds)
    ]
    if asked.seeds > 1:
        return 1 if fleet.Fleet(asked.processes, asked.coverage).run(plans) else 0
    return _one(plans[0], asked.read, asked.whole or asked.only is not None)


def _one(plan: Plan, read: bool, whole: bool) -> int:
    began = time.perf_counter()
    try:
        outcome = fleet.run_one(plan, read)
    except Failed as failed:
        print(failed if whole else fleet.smallest_failure(failed), file=sys.stderr)
        return 1
    print(f"{outcome} ({time.perf_counter() - began:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
