"""Two hundred worlds in which everything goes wrong; and the same world twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.fleet import run_one
from tests.sim.loop import run
from tests.sim.plan import Plan
from tests.sim.world import World

SEEDS = 200
# Worlds in one test, so that they spread over the processes that run tests.
CHUNK = 10
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_promises_are_kept_whatever_happens(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = run_one(Plan(seed))
        assert outcome.promises > outcome.nodes


def test_one_seed_is_one_world() -> None:
    one, again, other = (run_one(Plan(seed, nodes=3)) for seed in (7, 7, 8))
    assert one == again
    assert one.trace_hash != other.trace_hash


def test_one_seed_is_one_world_in_every_process() -> None:
    here = run_one(Plan(9, nodes=3, minutes=0.5))
    words = [sys.executable, "-m", "tests.sim", "--seed", "9", "--nodes", "3", "--minutes", "0.5"]
    for hash_seed in ("1", "2"):
        paths = os.pathsep.join(str(ROOT / part) for part in ("", "protocol", "node"))
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths}
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert here.trace_hash in done.stdout


def said(plan: Plan, folder: Path) -> list[bytes]:
    """All words that anybody wrote in the world of a plan."""

    async def live() -> list[bytes]:
        world = World(plan, folder)
        await world.run()
        return sorted(world.notes.words.values())

    return run(live(), plan.seed)


def test_what_people_say_does_not_depend_on_what_goes_wrong(tmp_path: Path) -> None:
    whole = Plan(11, nodes=3)
    none = Plan(11, nodes=3, only=frozenset())
    assert said(whole, tmp_path / "whole") == said(none, tmp_path / "none")
