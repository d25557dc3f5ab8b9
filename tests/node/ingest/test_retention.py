"""The horizon: old bytes of accounts at home elsewhere go, headers and one's own people stay."""

from __future__ import annotations

import random
from pathlib import Path

from ratoon_node.app import Node
from ratoon_node.ingest.retention import horizon_ms
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.operate.keys import make_keys
from ratoon_node.operate.own import OwnAccount
from ratoon_node.store import read
from ratoon_node.store.rows import Bytes
from ratoon_protocol.limits import DAY_MS
from ratoon_protocol.record import Record
from tests.node.peering.meeting import until
from tests.node.world import Clock, Person, join, person, running

API = Origin(Way.API)


def test_the_horizon_is_the_begin_of_a_day() -> None:
    noon = 20_000 * DAY_MS + DAY_MS // 2
    assert horizon_ms(0, noon) == 0
    assert horizon_ms(1, noon) == 19_999 * DAY_MS


async def states(node: Node, *records: Record) -> list[Bytes]:
    rows = await node.db.read(lambda db: read.by_ids(db, [record.id for record in records]))
    return [rows[record.id].bytes_state for record in records]


async def guest(node: Node, clock: Clock) -> tuple[Person, Origin]:
    """An account at home at another node, which the operator added."""
    rng = random.Random(9)
    network = node.settings.network_bytes
    keys = make_keys(network, rng.randbytes(32), rng, clock.now_ms())
    await node.ledger.add_peer(keys.account, None, None, None)
    await node.peers_changed()
    link = Origin(Way.LINK, keys.account)
    other = OwnAccount(keys, node.gate, node.db, clock, rng)
    await node.gate.submit([keys.genesis], link)
    who = person(network, random.Random(10), clock)
    await other.host(who.account)
    outcomes = await node.gate.submit([who.genesis.encode()], link)
    assert outcomes[0].code == "stored"
    return who, link


async def test_old_posts_of_others_are_dropped_and_come_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, horizon_days=30) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        ann = person(node.settings.network_bytes, random.Random(2), clock)
        await join(node, ann)
        bob, link = await guest(node, clock)
        mine, theirs, late = ann.post("mine"), bob.post("theirs"), bob.post("late")
        await node.gate.submit([mine.encode()], API)
        await node.gate.submit([theirs.encode()], link)
        assert await states(node, mine, theirs) == [Bytes.HERE, Bytes.HERE]
        await until(lambda: [count for count, _ in node.sets.state().values()] == [8, 0, 2], node)
        before = node.sets.state()
        clock.offset_ms += 40 * DAY_MS
        after: int | None = 0
        while after is not None:
            after = await node.gate.retention.step(after)
        assert await states(node, mine, theirs) == [Bytes.HERE, Bytes.DROPPED]
        assert node.sets.state() == before, "headers stay in their sets"
        outcomes = await node.gate.submit([late.encode()], link)
        assert outcomes[0].code == "dropped"
        assert await states(node, late) == [Bytes.DROPPED]
