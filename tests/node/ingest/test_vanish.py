"""Vanishing: by paper at once, by a lower key after a week, and undone by paper in between."""

from __future__ import annotations

import random
from pathlib import Path

from ratoon_node.ingest import rejudge
from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.identity import Form
from ratoon_protocol.limits import DAY_MS
from ratoon_protocol.record import Record
from ratoon_protocol.status import Status
from tests.node.ingest.replay import AFTERWARDS_MS, Told, in_sets, offer, offer_all, statuses, tell
from tests.node.ingest.test_erasure import API, ann_of, everything, publish, vanish
from tests.node.world import Clock, join, listed_newest, running
from tests.protocol.histories import History


def _in_files(folder: Path, one: Record) -> bool:
    assert one.payload is not None
    return one.payload in everything(folder)


def leaving(undone: bool) -> Told:
    """K1 says vanish; if `undone`, paper then removes K1 on the operation before."""
    h = History()
    g = h.genesis()
    h.chain("D1", 3)
    h.record("D1", kind=kinds.PROFILE, slot="p")
    h.op("K1", g, vanish=True)
    if undone:
        h.op("K0", g, revoke={"K1": (Form.STOLEN, [])})
    return tell(h, undone)


async def test_a_lower_key_takes_a_week_and_paper_undoes_it(tmp_path: Path) -> None:
    told = leaving(undone=True)
    *before, by_thief, by_paper = told.records.values()
    async with running(tmp_path, now_ms=AFTERWARDS_MS) as node:
        await node.own.host(told.account)
        await offer(node, before)
        full = await in_sets(node, told.account)
        assert full == {one.id for one in before}
        await offer(node, [by_thief])
        await node.gate.settled()
        assert await in_sets(node, told.account) == {before[0].id, by_thief.id}
        held = await statuses(node, told.account)
        assert {held[one.id] for one in before[1:]} == {Status.GONE}
        shown = await listed_newest(node)
        assert shown == []
        late = await offer(node, before[1:2])
        assert late[0].code == "gone"
        await offer(node, [by_paper])
        await node.gate.settled()
        assert await in_sets(node, told.account) == full | {by_thief.id, by_paper.id}
        held = await statuses(node, told.account)
        assert {held[one.id] for one in before} == {Status.LIVE}
        shown = await listed_newest(node)
        assert len(shown) == 3


async def test_after_a_week_rows_are_gone_and_paper_brings_them_back_from_others(
    tmp_path: Path,
) -> None:
    told = leaving(undone=True)
    *before, by_thief, by_paper = told.records.values()
    rng = random.Random(1)
    async with running(tmp_path, now_ms=AFTERWARDS_MS) as node:
        await node.own.host(told.account)
        await offer(node, before)
        await offer(node, [by_thief])
        assert any(_in_files(tmp_path, one) for one in before[1:])
    async with running(tmp_path, now_ms=AFTERWARDS_MS + 6 * DAY_MS) as node:
        await node.gate.settled()
        assert len(await statuses(node, told.account)) == len(before) + 1
    async with running(tmp_path, now_ms=AFTERWARDS_MS + 8 * DAY_MS) as node:
        while len(await statuses(node, told.account)) > 2:
            await node.gate.settled()
        await node.gate.settled()
        assert not any(_in_files(tmp_path, one) for one in before[1:])
        assert await node.db.read(lambda db: read.leaving(db, 2**53)) == []
        await offer(node, [by_paper])
        await offer_all(node, told, before, rng)
        held = await statuses(node, told.account)
        assert held == told.real.judge(told.log())
        assert await in_sets(node, told.account) == held.keys()


async def test_follow_unfollow_vanish_and_a_late_copy(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob = ann_of(node), ann_of(node, 3)
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        await join(node, ann)
        await join(node, bob)
        follow = ann.sign(kinds.FOLLOW, {"state": 1}, target=bob.account)
        clock.offset_ms += 1
        unfollow = ann.sign(kinds.FOLLOW, {"state": 0}, target=bob.account)
        await publish(node, [follow])
        row = await node.db.read(lambda db: read.account(db, ann.account))
        assert row is not None
        number = row.n
        assert await node.db.read(lambda db: read.follows(db, number, 9)) == [bob.account]
        await publish(node, [unfollow])
        assert await node.db.read(lambda db: read.follows(db, number, 9)) == []
        again = await node.gate.submit([follow.encode()], API)
        assert again[0].code == "superseded"
        await publish(node, [vanish(ann)])
        for late in (follow, unfollow):
            assert (await node.gate.submit([late.encode()], API))[0].code == "gone"
        await node.gate.settled()
        assert (await statuses(node, ann.account)).keys() == await in_sets(node, ann.account)
        assert not _in_files(tmp_path, follow)


async def test_a_large_account_vanishes_in_slices(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(rejudge, "SLICE_RECORDS_MAX", 10)
    async with running(tmp_path) as node:
        ann = ann_of(node)
        await join(node, ann)
        await publish(node, [ann.post(f"words {number}") for number in range(45)])
        await publish(node, [vanish(ann)])
        await node.gate.settled()
        assert len(await statuses(node, ann.account)) == 2
        assert b"words 1" not in everything(tmp_path)
