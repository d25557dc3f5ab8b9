"""Networks of growing size: `python -m tests.sim.scale [--nodes 10,100,1000] [--seed 1]`.

A thousand nodes take some 8 GiB and half an hour of one core.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
from pathlib import Path

from tests.sim.scale.figures import figures
from tests.sim.scale.report import table, write
from tests.sim.scale.world import Scale, measure

FOLDER = Path("bench-results/scale")


def main() -> int:
    """Simulate each size, print its figures, write the page; 1 if anything promised was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.scale", description=__doc__)
    parser.add_argument("--nodes", default="10,100,1000", help="sizes, with commas")
    parser.add_argument("--seed", type=int, default=Scale.seed)
    parser.add_argument("--people", type=int, default=Scale.people)
    parser.add_argument("--posts-per-s", type=float, default=Scale.posts_per_s)
    parser.add_argument("--warm-s", type=float, default=Scale.warm_s)
    parser.add_argument("--talk-s", type=float, default=Scale.talk_s)
    parser.add_argument("--after-s", type=float, default=Scale.after_s)
    parser.add_argument("--quiet-s", type=float, default=Scale.quiet_s)
    parser.add_argument("--links-max", type=int, default=Scale.links_max)
    parser.add_argument("--push-links", type=int, default=Scale.push_links)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--profile", action="store_true", help="say what the time goes to")
    asked = vars(parser.parse_args())
    sizes, folder = [int(part) for part in asked.pop("nodes").split(",")], asked.pop("folder")
    profile = cProfile.Profile() if asked.pop("profile") else None
    runs = []
    for nodes in sizes:
        if profile is not None:
            profile.enable()
        found = measure(Scale(nodes, **asked))
        if profile is not None:
            profile.disable()
        runs.append((found, figures(found)))
        print(table([runs[-1][1]]), flush=True)
        write(folder, runs)
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    print(f"{folder}/report.md")
    return int(any(one.two_provider_records_lost for _, one in runs))


if __name__ == "__main__":
    sys.exit(main())
