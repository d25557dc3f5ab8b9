"""One simulated world from its seed: `python -m tests.sim --seed 7 [--nodes 4] [--minutes 3]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.sim.plan import Plan
from tests.sim.simulation import Failed, simulate


def main() -> int:
    """Run it, say what it came to; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="as many, one after the other")
    parser.add_argument("--nodes", type=int, default=0, help="0 lets the seed decide")
    parser.add_argument("--minutes", type=float, default=Plan.minutes)
    parser.add_argument("--read", action="store_true", help="print what happens as it happens")
    asked = parser.parse_args()
    failed = 0
    for seed in range(asked.seed, asked.seed + asked.seeds):
        began = time.perf_counter()
        plan = Plan(seed, asked.nodes, asked.minutes)
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome = simulate(plan, Path(folder), print if asked.read else None)
            except Failed as error:
                print(error, file=sys.stderr)
                failed += 1
                continue
        print(f"{outcome} ({time.perf_counter() - began:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
