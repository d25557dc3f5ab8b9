"""A failing script is cut down to what makes it fail, and no further than it may cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim import checks, fleet
from tests.sim.notes import Broken
from tests.sim.plan import Plan
from tests.sim.script import Fault
from tests.sim.shrink import Shrinker, smallest
from tests.sim.simulation import Failed

ITEMS = list(range(20))


@given(st.sets(st.sampled_from(ITEMS), max_size=4))
def test_what_is_left_is_exactly_what_it_takes(guilty):
    assert smallest(ITEMS, lambda part: guilty <= set(part)) == sorted(guilty)


@given(st.sets(st.sampled_from(ITEMS), min_size=1), st.integers(1, 3))
def test_of_several_causes_one_is_left(guilty, needed):
    def fails(part: list[int]) -> bool:
        return len(guilty & set(part)) >= min(needed, len(guilty))

    found = smallest(ITEMS, fails)
    assert len(found) == min(needed, len(guilty))
    assert fails(found)


def crash(number: int, machine: str) -> Fault:
    params = {"machine": machine, "silent": False, "off_s": 0.1}
    return Fault(number, 2.0 * number, "crash", params)


def slow(number: int) -> Fault:
    return Fault(number, 2.0 * number, "delay", {"delay_s": 0.05, "for_s": 1})


SCRIPT = (slow(1), crash(2, "n0"), slow(3), crash(4, "n2"), crash(5, "n1"), slow(6))
PLAN = Plan(3, nodes=3, minutes=0.25, people=3, script=SCRIPT)


@pytest.fixture
def planted(monkeypatch):
    """A promise that is broken where both n0 and n1 have crashed."""
    check_all = checks.check_all

    def check(machines, notes):
        check_all(machines, notes)
        if machines[0]._lives > 1 and machines[1]._lives > 1:
            raise Broken("planted")

    monkeypatch.setattr(checks, "check_all", check)


def failure() -> Failed:
    with pytest.raises(Failed) as found:
        fleet.run_one(PLAN)
    return found.value


def test_a_failing_world_is_shrunk_to_the_faults_that_do_it(planted):
    found = Shrinker(failure(), fleet.run_one).shrink()
    assert [fault.number for fault in found.script] == [2, 5]
    assert "--seed 3" in found.again
    assert "--only 2,5" in found.again
    assert "n1 is off for 0.1 s" in found.again
    with pytest.raises(Failed) as again:
        fleet.run_one(found.plan)
    assert (again.value.kind, again.value.story) == (found.kind, found.story)


def test_another_failure_is_not_taken_for_the_same(planted):
    whole = failure()

    def run(plan: Plan) -> None:
        raise Failed(plan, "another kind", [], "")

    assert Shrinker(whole, run).shrink() is whole


def test_shrinking_costs_no_more_than_it_may(planted):
    shrinker = Shrinker(failure(), fleet.run_one, trials_max=2)
    assert len(shrinker.shrink().script) > 2
    assert shrinker.trials == 2
    assert Shrinker(failure(), fleet.run_one, seconds_max=0).shrink().script == list(SCRIPT)
