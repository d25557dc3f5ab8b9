"""A node whose clock is far from everybody else's says so, and then signs nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ratoon_node.errors import NodeError
from ratoon_node.peering.clocks import Clocks
from ratoon_node.telemetry import Metrics
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import DAY_MS, FUTURE_SKEW_MS_MAX
from tests.node.peering.meeting import linked, serving, until
from tests.node.world import Clock, join, movable, person, running

MINUTE_MS = 60_000


def clocks(*skews_ms: int) -> tuple[Clocks, Clock]:
    clock = Clock()
    found = Clocks(clock, Metrics("test"))
    for number, skew_ms in enumerate(skews_ms):
        found.heard(bytes([number]) * 32, skew_ms)
    return found, clock


@pytest.mark.parametrize(
    ("skews_ms", "sound"),
    [
        ((), True),
        ((0, 0, 0), True),
        ((9 * MINUTE_MS, 9 * MINUTE_MS), True),
        ((11 * MINUTE_MS, 11 * MINUTE_MS), False),
        ((-11 * MINUTE_MS, -12 * MINUTE_MS), False),
        ((11 * MINUTE_MS,), True),  # one peer may be the one that is wrong
        ((0, -DAY_MS), True),  # nor one of two
        ((0, DAY_MS), True),
        ((0, 0, 60 * MINUTE_MS), True),
        ((0, 11 * MINUTE_MS, 60 * MINUTE_MS), False),
    ],
)
def test_the_median_of_the_peers_decides(skews_ms: tuple[int, ...], sound: bool) -> None:
    assert clocks(*skews_ms)[0].sound() is sound


def test_one_peer_bounds_how_far_ahead_a_node_signs() -> None:
    found, clock = clocks(-60 * MINUTE_MS)
    assert found.sound()
    latest_ms = found.latest_ms()
    assert latest_ms is not None
    assert abs(latest_ms - (clock.now_ms() - 50 * MINUTE_MS)) < 1000
    assert clocks()[0].latest_ms() is None


async def test_a_clock_ahead_that_nobody_confirms_does_not_poison_the_chain(tmp_path: Path) -> None:
    """A machine starts with its clock years ahead; others would refuse all that it says for years,
    and what it says after its clock was set, because time never goes back along a chain.
    """
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(3), node.runtime.clock)
        await join(node, who)
        newest_ms = who.genesis.header.created_ms
        movable(node.runtime.clock).offset_ms = 3000 * DAY_MS
        first = await node.own.host(bytes(32))
        second = await node.own.host(bytes(32), hosting=False)
        assert first.header.created_ms < second.header.created_ms
        assert second.header.created_ms <= newest_ms + FUTURE_SKEW_MS_MAX + 1
        movable(node.runtime.clock).offset_ms = 0
        third = await node.own.host(bytes(32))
        assert third.header.created_ms < node.runtime.clock.now_ms() + FUTURE_SKEW_MS_MAX


async def test_a_clock_ahead_of_the_one_peer_dates_nothing_that_the_peer_refuses(
    tmp_path: Path,
) -> None:
    async with (
        serving(tmp_path / "a", 1) as (a, at_a),
        serving(tmp_path / "b", 2) as (b, _),
    ):
        await b.hub.meet(at_a)
        await until(lambda: linked(a, b), a)
        movable(a.runtime.clock).offset_ms = DAY_MS
        found = await a.own.host(bytes(32))
        assert found.header.created_ms <= b.runtime.clock.now_ms() + FUTURE_SKEW_MS_MAX


def test_a_clock_that_is_set_right_is_believed_again() -> None:
    found, clock = clocks(11 * MINUTE_MS, 11 * MINUTE_MS)
    assert not found.sound()
    clock.offset_ms += 11 * MINUTE_MS
    assert found.sound()
    assert abs(found.skew_ms()) < 1000


def test_what_is_reported_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = clocks(1 * MINUTE_MS, 1 * MINUTE_MS)
    assert "clock_" not in capsys.readouterr().out
    found.heard(bytes(32), 3 * MINUTE_MS)
    found.heard(b"\1" * 32, 3 * MINUTE_MS)
    assert "clock_off" in capsys.readouterr().out
    found.heard(bytes(32), 30 * MINUTE_MS)
    found.heard(b"\1" * 32, 30 * MINUTE_MS)
    assert "clock_wrong" in capsys.readouterr().out
    assert 1799 < found._metrics.clock_skew_seconds._value.get() < 1801


async def test_a_node_with_a_wrong_clock_signs_nothing(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1) as (a, at_a),
        serving(tmp_path / "b", 2) as (b, _),
        serving(tmp_path / "c", 3) as (c, _),
    ):
        # It joins the network with the right time, and then its clock goes wrong.
        await b.hub.meet(at_a)
        await c.hub.meet(at_a)
        await until(lambda: linked(a, b) and linked(a, c), a)
        movable(a.runtime.clock).offset_ms = -11 * MINUTE_MS
        with pytest.raises(NodeError) as error:
            await a.own.host(bytes(32))
        assert error.value.code is Code.CLOCK
        movable(a.runtime.clock).offset_ms = 0
        await a.own.host(bytes(32))
