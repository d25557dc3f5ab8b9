"""Fifty worlds with loss, delay, reordering, partitions and crashes; and the same world twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.plan import Plan
from tests.sim.simulation import simulate

SEEDS = 50
# Worlds in one test, so that they spread over the processes that run tests.
CHUNK = 5
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_promises_are_kept_whatever_happens(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = simulate(Plan(seed), tmp_path / str(seed))
        assert outcome.promises > outcome.nodes


def test_one_seed_is_one_world(tmp_path: Path) -> None:
    one, again, other = (
        simulate(Plan(seed, nodes=3, minutes=1), tmp_path / name)
        for name, seed in (("one", 7), ("again", 7), ("other", 8))
    )
    assert one == again
    assert one.trace_hash != other.trace_hash


def test_one_seed_is_one_world_in_every_process(tmp_path: Path) -> None:
    here = simulate(Plan(9, nodes=3, minutes=1), tmp_path)
    words = [sys.executable, "-m", "tests.sim", "--seed", "9", "--nodes", "3", "--minutes", "1"]
    for hash_seed in ("1", "2"):
        paths = os.pathsep.join(str(ROOT / part) for part in ("", "protocol", "node"))
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths}
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert here.trace_hash in done.stdout
