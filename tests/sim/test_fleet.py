"""Many worlds at once: all are run, whatever the size of a wave, and what they did is counted."""

from __future__ import annotations

import pytest

from tests.sim import faults, fleet
from tests.sim.plan import Done, Outcome, Plan


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(fleet, "WORLDS_A_PROCESS", 1)


def test_worlds_of_several_waves_all_run(small, capsys):
    plans = [Plan(seed, nodes=3, minutes=0.05, people=3) for seed in (1, 2, 3)]
    ships = fleet.Fleet(processes=2, measure=False)
    assert ships.run(plans) == 0
    assert "3 worlds, 0 failed" in capsys.readouterr().out


def test_what_happened_and_what_mattered_are_counted_apart():
    done = (Done("crash", True, True), Done("crash", True, False), Done("loss", False, False))
    tally = fleet.Tally()
    tally.add(
        Outcome(
            seed=1,
            trace_hash="",
            nodes=3,
            records=1,
            promises=1,
            seconds=1.0,
            steps=1,
            faults=done,
            answered_ms=(),
        )
    )
    counts = {line.split("  ")[0]: line.split()[-3:] for line in tally.lines()}
    assert counts["crash"] == ["2", "2", "1"]
    assert counts["loss"] == ["1", "0", "0"]
    assert counts.keys() >= faults.KINDS.keys()
