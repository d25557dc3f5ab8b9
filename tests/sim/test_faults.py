"""Each kind of fault really happens, touches something, and the world heals."""

from __future__ import annotations

import random

import pytest

from tests.sim import faults, hostile_fault
from tests.sim.fleet import run_one
from tests.sim.plan import Plan
from tests.sim.script import Fault, Place, Shape, draw

KINDS = [kind for kind in faults.ALL if kind not in hostile_fault.KINDS]
SHAPE = Shape(
    places=(Place("n0", "P"), Place("n1", "Q"), Place("n2", "R")),
    people=("p0", "p1", "p2"),
    seconds=60,
    unlucky="Q",
)
# Worlds tried until a fault matters: what is drawn may come at a moment when nothing happens.
WORLDS_MAX = 6


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_matters_and_the_world_heals(kind) -> None:
    for seed in range(1, WORLDS_MAX + 1):
        rng = random.Random(f"{kind.name} {seed}")
        script = tuple(
            Fault(at, 5.0 * at, kind.name, params)
            for at in (1, 2, 3)
            if at <= kind.most and (params := kind.draw(rng, SHAPE)) is not None
        )
        outcome = run_one(Plan(seed, nodes=3, minutes=0.5, people=3, script=script))
        if any(fault.mattered for fault in outcome.faults):
            return
    pytest.fail(f"{kind.name} never mattered in {WORLDS_MAX} worlds")


def test_a_script_is_drawn_the_same_and_numbered_in_order_of_time() -> None:
    script = draw(random.Random(3), SHAPE, faults.ALL)
    assert script == draw(random.Random(3), SHAPE, faults.ALL)
    assert [fault.number for fault in script] == list(range(1, len(script) + 1))
    assert [fault.at_s for fault in script] == sorted(fault.at_s for fault in script)


def test_every_fault_says_what_it_does() -> None:
    for seed in range(40):
        for fault in draw(random.Random(seed), SHAPE, faults.ALL):
            assert "{" not in fault.words(faults.KINDS)


def test_disks_forget_at_one_provider_alone() -> None:
    for seed in range(40):
        for fault in draw(random.Random(seed), SHAPE, faults.ALL):
            if fault.kind in ("old backup", "bit rot", "ruined store"):
                assert fault.params["machine"] == "n1"
