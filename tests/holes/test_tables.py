"""Whatever is remembered of strangers has a bound: ten times as many are told of, and it holds."""

from __future__ import annotations

import random
from pathlib import Path

from ratoon_node.peering import conduct, exchange, ways
from ratoon_node.peering.conduct import Conduct, Deferred
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import FRAME_IDS_MAX
from tests.node.peering.meeting import serving, until
from tests.node.peering.test_misconduct import Hostile
from tests.node.world import Clock


def ids(count: int) -> list[bytes]:
    return [number.to_bytes(32) for number in range(count)]


def test_what_is_remembered_of_peers_and_people_is_bounded() -> None:
    """CVE-2026-69132 (Fedify): the state of a breaker for each host never went."""
    clock = Clock()
    pauses = Conduct(clock)
    for node in ids(10 * conduct.PAUSED_MAX):
        pauses.pause(node)
    assert len(pauses._pauses) == conduct.PAUSED_MAX
    assert pauses.paused(ids(10 * conduct.PAUSED_MAX)[-1])
    deferred = Deferred(clock)
    many = ids(10 * conduct.DEFERRED_MAX)
    for id_ in many:
        deferred.note(id_, Code.UNSUPPORTED)
    assert len(deferred._until) == conduct.DEFERRED_MAX
    assert deferred.due(many[-2:]) == []


def test_what_gossip_remembers_of_a_way_is_bounded() -> None:
    way = ways.Way()
    many = ids(10 * ways.IDS_MAX)
    way.push(many, 0)
    assert len(way._pushed) == ways.IDS_MAX
    assert not way.offer_later(many, 0, certain=True), "too many are left to a comparison"
    assert not way._waiting
    for at in range(0, len(many), ways.IDS_MAX):
        assert way.offer_later(many[at : at + ways.IDS_MAX], 0, certain=True)
        way.settle((), ways.OFFER_MS)
    assert len(way._offered) == ways.IDS_MAX


async def test_what_a_link_remembers_is_bounded(tmp_path: Path) -> None:
    """A peer that offers without end, and brings nothing of it."""
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        there = a.hub.neighbours[peer.account].exchange
        rng = random.Random(1)
        many = [rng.randbytes(32) for _ in range(10 * exchange.SEEN_MAX)]
        for at in range(0, len(many), FRAME_IDS_MAX):
            peer.session.have(many[at : at + FRAME_IDS_MAX])
            await peer.flush()
            assert len(there._offers) <= exchange.OFFERS_MAX
        await until(lambda: many[-1] in there.seen, a)
        assert len(there.seen) == exchange.SEEN_MAX
        assert len(there._requests) <= exchange.GETS_MAX
        assert there.link.behind.is_set(), "a comparison would bring what is not remembered"
        await hostile.close()
