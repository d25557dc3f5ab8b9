"""A node that comes back from an old backup, or runs twice, does not fork its chain unnoticed."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.operate.twins import RUN, Run, Standing, Twins
from ratoon_node.peering import heads, hub
from ratoon_node.store import read
from ratoon_protocol.errors import Code
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import HANDSHAKE_MS_MAX
from tests.node.peering.meeting import (
    befriend,
    befriended,
    equal,
    linked,
    neighbour,
    serving,
    until,
)
from tests.node.world import running

ONE, TWO, THREE = 1, 2, 3


def accounts(count: int) -> list[bytes]:
    rng = random.Random(5)
    return [rng.randbytes(32) for _ in range(count)]


async def chain_of(node: Node, whose: Node) -> tuple[int, bool]:
    """As `node` holds it: the highest seq of the log chain of a node's key, and if it is forked."""

    def look(db):
        row = read.account(db, whose.own.account)
        found = read.heads(db, row.n) if row else []
        key = whose.own.device.public
        return next(
            (one.seq, one.forked) for one in found if (one.key, one.lane) == (key, Lane.LOG)
        )

    return await node.db.read(look)


async def has(node: Node, whose: Node, seq: int) -> bool:
    return (await chain_of(node, whose))[0] >= seq


def copied(folder: Path, to: Path) -> None:
    """What a backup of a node that runs takes: the store and its log."""
    to.mkdir()
    for path in folder.glob("ratoon.sqlite*"):
        shutil.copyfile(path, to / path.name)


async def test_a_restored_backup_goes_on_behind_what_peers_know(tmp_path: Path) -> None:
    first, second, third = accounts(3)
    async with serving(tmp_path / "b", TWO) as (b, at_b):
        async with serving(tmp_path / "a", ONE) as (a, at_a):
            await befriended(a, at_a, b, at_b)
            await a.own.host(first)
            await until(lambda: equal(a, b), b)
            copied(tmp_path / "a", tmp_path / "old")
            await a.own.host(second)
            seq, _ = await chain_of(a, a)
            await until(lambda: has(b, a, seq), b)
        async with serving(tmp_path / "old", ONE) as (a, _):
            assert (await chain_of(a, a))[0] < seq
            record = await a.own.host(third)
            assert record.header.seq > seq
            await until(lambda: has(b, a, record.header.seq), b)
            assert not (await chain_of(b, a))[1]
            assert a.own.twins.standing is Standing.ALONE


async def test_who_knows_nobody_signs_at_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(heads, "WAIT_MS_MAX", 10**9)
    async with running(tmp_path) as node:
        await node.own.host(accounts(1)[0])


async def test_who_reaches_nobody_signs_in_the_end(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(tmp_path / "b", TWO) as (b, at_b), serving(tmp_path / "a", ONE) as (a, _):
        await befriend(a, b, at_b, None)
    monkeypatch.setattr(heads, "WAIT_MS_MAX", 50)
    async with running(tmp_path / "a", ONE) as a:
        await a.own.host(accounts(1)[0])
        assert "signing_unasked" in capsys.readouterr().out


def aged(node: Node, other: Node) -> None:
    """Their link is no longer one that may have crossed another."""
    for one, its in ((node, other), (other, node)):
        found = neighbour(one, its)
        assert found is not None
        found.opened_ms -= 2 * HANDSHAKE_MS_MAX


async def test_two_machines_with_one_key_find_out_and_the_later_falls_silent(
    tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hub, "YIELD_MS", 50)
    first, second = accounts(2)
    async with (
        serving(tmp_path / "b", TWO) as (b, at_b),
        serving(tmp_path / "a", ONE) as (a, at_a),
    ):
        await befriended(a, at_a, b, at_b)
        await until(lambda: equal(a, b) and linked(a, b), b)
        aged(a, b)
        copied(tmp_path / "a", tmp_path / "copy")
        async with serving(tmp_path / "copy", ONE) as (copy, _):
            copy.own.twins = Twins(b"c" * 16, copy.runtime.clock.now_ms())  # chance is seeded here
            assert copy.own.account == a.own.account
            await until(lambda: copy.own.twins.standing is Standing.SILENT, b)
            await until(lambda: a.own.twins.standing is Standing.SHARED, b)
            with pytest.raises(NodeError, match="busy"):
                await copy.own.host(first)
            await a.own.host(second)
            lines = [
                line
                for line in capsys.readouterr().out.splitlines()
                if "another_machine_has_the_key" in line
            ]
            assert sorted("signing=False" in line for line in lines) == [False, True]


async def test_who_comes_back_while_its_old_link_still_hangs_is_let_in(tmp_path: Path) -> None:
    """The lower of the two dialled it, so that of two links that cross the old one would stay."""
    async with (
        serving(tmp_path / "b", TWO) as (b, at_b),
        serving(tmp_path / "a", ONE) as (a, at_a),
    ):
        lower, at_higher, higher, at_lower = (
            (a, at_b, b, at_a) if a.own.account < b.own.account else (b, at_a, a, at_b)
        )
        await lower.hub.meet(at_higher)
        await until(lambda: linked(a, b), b)
        old = neighbour(lower, higher)
        assert old is not None
        aged(a, b)
        del higher.hub.neighbours[lower.own.account]  # as after a crash
        await higher.hub.meet(at_lower)
        await until(lambda: old.link.over and linked(a, b), b)


async def test_a_peer_that_lets_go_of_links_does_not_silence_a_node(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "b", TWO) as (b, at_b),
        serving(tmp_path / "a", ONE) as (a, at_a),
    ):
        await befriended(a, at_a, b, at_b)
        await until(lambda: linked(a, b), b)
        link = neighbour(b, a)
        assert link is not None
        link.link.close(Code.REPLACED)
        await until(lambda: a.own.twins.said is not None, a)
        await a.own.host(accounts(1)[0])
        assert a.own.twins.standing is Standing.ALONE
        assert a.hub.waits(b.own.account)
        assert not a.hub.shuns(b.own.account)


def test_the_pause_between_links_that_are_taken_grows() -> None:
    from ratoon_node.peering.conduct import YIELD_MS, YIELD_MS_MAX, Conduct
    from tests.node.world import Clock

    class Standing(Clock):
        at_ms = 0

        def monotonic_ms(self) -> int:
            return self.at_ms

    clock = Standing()
    conduct = Conduct(clock, YIELD_MS, YIELD_MS_MAX)
    waited = []
    for _ in range(12):
        conduct.pause(bytes(32))
        begun_ms = clock.at_ms
        while conduct.paused(bytes(32)):
            clock.at_ms += YIELD_MS
        waited.append(clock.at_ms - begun_ms)
    assert waited[:3] == [YIELD_MS, 2 * YIELD_MS, 4 * YIELD_MS]
    assert waited[-1] == YIELD_MS_MAX


def test_a_run_that_nobody_answers_is_not_there() -> None:
    """Other lives of this node have named themselves too, and hints come from whom they may."""
    now = Twins(b"n" * 16, 100)
    assert now.hint()
    assert not now.hint()
    assert now.hear(Run(b"o" * 16, 50, None))
    assert now.standing is Standing.ALONE
    assert not now.hear(Run(b"o" * 16, 50, None))
    assert not now.hear(Run(b"n" * 16, 100, b"o" * 16))
    assert now.standing is Standing.ALONE


def test_two_runs_agree_on_who_is_the_later_whatever_their_order() -> None:
    for times in ((1, 2), (2, 1), (1, 1)):
        one, other = Twins(b"1" * 16, times[0]), Twins(b"2" * 16, times[1])
        assert one.hint()
        for _ in range(3):
            for hears, says in ((other, one), (one, other)):
                if says.said is not None:
                    hears.hear(says.said)
        standings = sorted((one.standing, other.standing))
        assert standings == [Standing.SHARED, Standing.SILENT]
        later = other if times[0] <= times[1] else one
        assert later.standing is Standing.SILENT


@pytest.mark.parametrize(
    "value", [None, [], [b"x" * 16, 1], [b"x" * 15, 1, None], ["x" * 16, 1, None], 7]
)
def test_what_names_no_run_is_passed_over(value: object) -> None:
    assert Run.of({RUN: value}) is None
