"""Whatever is remembered of strangers has a bound: ten times as many are told of, and it holds."""

from __future__ import annotations

import asyncio
import random
import threading
import tracemalloc
from pathlib import Path

import pytest

from ratoon_node.peering import conduct, errands, exchange, receipts, ways
from ratoon_node.peering.conduct import Conduct, Deferred
from ratoon_node.peering.errands import Errands
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Item, Outcome
from ratoon_protocol.framing import pack_item
from ratoon_protocol.limits import FRAME_IDS_MAX
from tests.node.peering.meeting import serving, someone, until
from tests.node.peering.test_misconduct import Hostile
from tests.node.world import Clock, running


def ids(count: int) -> list[bytes]:
    return [number.to_bytes(32) for number in range(count)]


async def test_what_is_remembered_of_peers_and_people_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CVE-2026-69132 (Fedify): the state of a breaker for each host never went."""
    clock = Clock()
    for module, name in (
        (conduct, "PAUSED_MAX"),
        (conduct, "DEFERRED_MAX"),
        (errands, "ASKED_MAX"),
    ):
        monkeypatch.setattr(module, name, 500)  # the same code, ten times less of it
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
    asked = Errands({}, clock)
    for at in range(0, 10 * errands.ASKED_MAX, 50):
        await asked.fetch(ids(10 * errands.ASKED_MAX)[at : at + 50])
    assert len(asked._asked) == errands.ASKED_MAX


async def test_answers_of_peers_that_wait_to_be_written_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "ANSWERS_WAITING_MAX", 500)
    async with running(tmp_path) as node:
        said = [Outcome(id_, Code.STORED) for id_ in ids(300)]
        for _ in range(3):
            node.receipts.note(b"p" * 32, said)
        assert len(node.receipts._noted) == 500


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


async def test_the_tables_of_a_link_take_no_more_than_is_told_of_them(tmp_path: Path) -> None:
    """All full, of ids that nothing else holds; the figure stands in node/ARCHITECTURE.md."""
    rng = random.Random(1)

    def fresh(count: int) -> list[bytes]:
        return [rng.randbytes(32) for _ in range(count)]

    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        there = a.hub.neighbours[(await hostile.link()).account]
        link = there.exchange
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for table, size in (
                (link.seen, exchange.SEEN_MAX),
                (link._refused, exchange.REFUSED_MAX),
                (link._asked_logs, exchange.LOGS_ASKED_MAX),
                (link._offers, exchange.OFFERS_MAX),
            ):
                table.update(dict.fromkeys(fresh(size)))
            link._lost.update(dict.fromkeys(fresh(exchange.LOST_MAX), 1))
            for id_, account in zip(*[iter(fresh(4 * exchange.EARLY_MAX))] * 2, strict=True):
                header, signature = rng.randbytes(100), rng.randbytes(64)
                link._keep_early(Item(id_, header, signature, b"", None))
                if id_ in link._early:
                    link._early[id_] = link._early[id_]._replace(account=account)
            for number in range(ways.IDS_MAX):
                there.way.push(fresh(1), 10**6 + number)
                there.way.offer_later(fresh(1), 10**6 + number, certain=True)
            there.way._offered.update(dict.fromkeys(fresh(ways.IDS_MAX)))
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(link._early) == exchange.EARLY_MAX
        assert after - before <= 24 * 1024 * 1024
        await hostile.close()


async def test_frames_of_one_peer_in_the_gate_are_bounded(tmp_path: Path) -> None:
    """The rest is not read: that is what slows a peer down that sends too much."""
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        there = a.hub.neighbours[peer.account].exchange
        go_on = threading.Event()
        long = asyncio.create_task(a.db.write(lambda db: go_on.wait(30)))
        ann = someone(a, 3)
        for number in range(3 * exchange.FRAMES_IN_GATE_MAX):
            post = ann.post(f"{number}")
            peer.session.push([pack_item(post.header_bytes, post.signature, post.payload)])
        await peer.flush()
        await until(lambda: len(there._taking) >= exchange.FRAMES_IN_GATE_MAX, a)
        for _ in range(20):
            await a.db.read(lambda db: None)
        assert len(there._taking) == exchange.FRAMES_IN_GATE_MAX
        go_on.set()
        await long
        await hostile.close()
