"""A hostile peer costs a bounded amount, loses its link with a code, and has to wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.app import Node
from ratoon_node.peering.conduct import FAULTS_MAX, PACE_BURST_MS, Pace
from ratoon_node.peering.exchange import GETS_MAX
from ratoon_node.peering.wire import SocketTransport, Wire
from ratoon_protocol.errors import Code
from ratoon_protocol.events import Closed, Event, Ready
from ratoon_protocol.frames import FIND_ACCOUNT, Get, Outcome, Packed
from ratoon_protocol.framing import pack_item
from ratoon_protocol.introduction import Introduced, Side
from ratoon_protocol.limits import ANSWER_MS_MAX, PUSH_WINDOW_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX
from ratoon_protocol.session import PeerSession
from tests.node.peering.meeting import (
    befriend,
    code,
    equal,
    linked,
    neighbour,
    publish,
    serving,
    someone,
    until,
)
from tests.node.world import Clock, join
from tests.protocol.linked import node as raw_node


class RawPeer:
    """A peer that does what a test says: an honest session without a node behind it."""

    def __init__(self, node: Node, wire: Wire, word: str = "mallory") -> None:
        network = node.settings.network_bytes
        own = raw_node(word, network=network)
        self.account = own.account
        self.wire = wire
        self.sent: list[bytes] = []
        self.events: list[Event] = []
        rng = random.Random(word)
        self.session = PeerSession(
            Side.DIALER, network, own, rng.randbytes(32), rng.randbytes(32), 0
        )
        self._clock = node.runtime.clock

    async def flush(self) -> None:
        for message in self.session.data_to_send():
            self.sent.append(message)
            await self.wire.send(message)

    async def until(self, true: Callable[[Event], bool]) -> Event:
        """Read until something happens."""
        async with asyncio.timeout(20):
            while True:
                await self.flush()
                message = await self.wire.receive()
                if message is None:
                    raise EOFError
                self.session.receive(message, 0)
                for event in self.session.events():
                    self.events.append(event)
                    if isinstance(event, Introduced):
                        self.session.welcome(
                            horizon_ms=0,
                            identity_head=bytes(32),
                            admitted=[],
                            clock_ms=self._clock.now_ms(),
                            counts=(0, 0, 0),
                        )
                    if true(event):
                        return event

    async def closed(self) -> Code:
        event = await self.until(lambda event: isinstance(event, Closed))
        assert isinstance(event, Closed)
        return event.code


class Hostile:
    """Dials a node as somebody who means no good."""

    def __init__(self, node: Node, address: str) -> None:
        self._node = node
        self._address = address
        self._transport = SocketTransport(private=True)

    async def wire(self) -> Wire:
        return await self._transport.dial(self._address)

    async def link(self, word: str = "mallory") -> RawPeer:
        peer = RawPeer(self._node, await self.wire(), word)
        await peer.until(lambda event: isinstance(event, Ready))
        await peer.flush()
        await until(lambda: peer.account in self._node.hub.neighbours, self._node)
        return peer

    async def close(self) -> None:
        await self._transport.close()


def spoilt(node: Node, count: int) -> list[Packed]:
    """Records whose payload their author never signed."""
    who = someone(node, 99)
    posts = [who.post(f"post {number}") for number in range(count)]
    wrong = bytes(64)
    return [pack_item(one.header_bytes, one.signature, wrong) for one in posts]


async def test_garbage_ends_the_wire_and_nothing_else(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1) as (a, at_a),
        serving(tmp_path / "b", 2) as (b, _),
    ):
        await b.hub.meet(at_a)
        hostile = Hostile(a, at_a)
        for garbage in (random.Random(1).randbytes(60_000), b"", b"\0", bytes(65_535)):
            wire = await hostile.wire()
            await wire.send(garbage)
            while await wire.receive() is not None:
                pass
        await hostile.close()
        assert linked(a, b)
        await until(lambda: a.hub._links == 1, a)


async def test_a_handshake_cannot_be_played_again(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        await peer.wire.close()
        await until(lambda: not a.hub.neighbours, a)
        wire = await hostile.wire()
        for message in peer.sent:
            with suppress(OSError):
                await wire.send(message)
        while await wire.receive() is not None:
            pass
        await hostile.close()
        assert not a.hub.neighbours


async def test_wrong_payloads_cost_the_link_and_then_a_pause(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        assert peer.session.push(spoilt(a, FAULTS_MAX)) == FAULTS_MAX
        assert await peer.closed() is Code.PAYLOAD_MISMATCH
        await until(lambda: not a.hub.neighbours, a)
        assert a.hub.shuns(peer.account)
        again = RawPeer(a, await hostile.wire())
        assert await again.closed() is Code.BLOCKED
        await until(lambda: scored(a, peer.account), a)
        await hostile.close()


async def scored(node: Node, account: bytes) -> bool:
    await node.roster.load()
    return node.roster.peers[account].faults >= FAULTS_MAX


async def test_offers_that_cannot_be_delivered_cost_the_link(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        rng = random.Random(1)
        peer.session.have([rng.randbytes(32) for _ in range(1024)])

        def answer(event: Event) -> bool:
            if isinstance(event, Get):
                absent = [Outcome(id_, Code.NOT_FOUND) for id_ in event.ids]
                peer.session.reply(event.request, [], absent)
            return isinstance(event, Closed)

        closed = await peer.until(answer)
        assert isinstance(closed, Closed)
        assert closed.code is Code.SYNC_MALFORMED
        await hostile.close()


async def test_the_end_of_a_link_is_counted_with_its_reason(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        peer.session.reconcile(0, None, 0, b"\x61\xff\xff")
        assert await peer.closed() is Code.SYNC_MALFORMED
        await until(lambda: a.hub._links == 0, a)
        assert b'links_closed_total{code="sync_malformed"} 1.0' in a.metrics.text()
        await hostile.close()


class ByHand(Clock):
    """Time passes by sleeping alone."""

    at_ms = 0

    def monotonic_ms(self) -> int:
        return self.at_ms

    async def sleep_ms(self, ms: int) -> None:
        self.at_ms += max(ms, 0)


async def test_strangers_share_what_a_node_gives_whatever_each_asks_for() -> None:
    clock = ByHand()
    pace = Pace(clock, 1000)
    for _ in range(20):
        await pace.pay(900)
        await pace.pay(100)
    assert clock.at_ms == 20_000 - PACE_BURST_MS
    clock.at_ms += 60_000
    await pace.pay(1000)
    await pace.pay(1)
    assert clock.at_ms == 80_001 - PACE_BURST_MS
    await Pace(clock, 0).pay(10**12)
    assert clock.at_ms == 80_001 - PACE_BURST_MS


async def test_who_asks_for_the_same_again_and_again_pays_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking costs 32 bytes an id, and on each of several links the answers were all sent."""
    paid: list[int] = []

    async def pay(self: Pace, size: int) -> None:
        paid.append(size)

    monkeypatch.setattr(Pace, "pay", pay)
    async with serving(tmp_path / "a", 1) as (a, at_a), serving(tmp_path / "b", 2) as (b, at_b):
        ann = someone(a, 3)
        await join(a, ann)
        post = ann.post("x" * 8000)
        await publish(a, post)
        await b.hub.meet(at_a)
        await until(lambda: linked(a, b) and equal(a, b), b)
        link = neighbour(b, a)
        assert link is not None
        paid.clear()
        for _ in range(3):
            await link.exchange.fetch([post.id] * 2)
        assert len(paid) == 3
        assert all(size > 8000 for size in paid)
        await befriend(a, b, at_b, None)
        await until(lambda: linked(a, b), b)
        found = neighbour(b, a)
        assert found is not None
        paid.clear()
        await found.exchange.fetch([post.id])
        assert not paid, "whom the operator added"


async def test_an_id_that_never_comes_is_not_asked_for_again(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        asked: list[bytes] = []

        def answer(event: Event) -> bool:
            if isinstance(event, Get):
                asked.extend(event.ids)
                peer.session.reply(
                    event.request, [], [Outcome(id_, Code.NOT_FOUND) for id_ in event.ids]
                )
            return isinstance(event, Get)

        for _ in range(3):
            peer.session.have([b"\1" * 32])
            await peer.until(answer)
        await peer.flush()
        there = a.hub.neighbours[peer.account]
        await until(lambda: there.exchange._lost.get(b"\1" * 32) == 3, a)
        peer.session.have([b"\1" * 32, b"\2" * 32])
        await peer.until(answer)
        assert asked == [b"\1" * 32] * 3 + [b"\2" * 32]
        await hostile.close()


async def test_questions_given_up_at_a_silent_peer_make_no_later_one_fail(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        exchange, rng = a.hub.neighbours[peer.account].exchange, random.Random(1)
        for _ in range(2 * REQUESTS_IN_FLIGHT_MAX):  # readers wait for a second, then no longer
            asked = asyncio.create_task(exchange.bring([rng.randbytes(32)]))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait([asked])
            assert asked.cancelled() or asked.exception() is None
        assert exchange.link.session.credit.requests == 0
        await exchange.bring([rng.randbytes(32)])
        await exchange.find(FIND_ACCOUNT, rng.randbytes(32))
        await hostile.close()


async def test_readers_do_not_wait_for_a_peer_that_never_answers(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        link, rng = a.hub.neighbours[peer.account].link, random.Random(1)
        for _ in range(2 * GETS_MAX):
            errand = asyncio.create_task(a.hub.errands.fetch([rng.randbytes(32)]))
            for _ in range(4):
                await asyncio.sleep(0)
            errand.cancel()
            await asyncio.wait([errand])
        assert REQUESTS_IN_FLIGHT_MAX - link.session.credit.requests == GETS_MAX + 1
        await asyncio.wait_for(a.hub.errands.find(FIND_ACCOUNT, rng.randbytes(32)), 1)
        await hostile.close()


async def test_who_never_answers_loses_the_link_and_others_go_on(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1) as (a, at_a),
        serving(tmp_path / "b", 2) as (b, at_b),
    ):
        ann = someone(b, 3)
        await join(b, ann)
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        peer.session.have([b"\1" * 32])
        await peer.until(lambda event: isinstance(event, Get))
        there = a.hub.neighbours[peer.account]
        await befriend(a, b, at_b, None)
        post = ann.post("while somebody stalls")
        await publish(b, post)
        await until(lambda: has(a, post.id), a)
        now_ms = a.runtime.clock.monotonic_ms()
        there.link.session.expire(now_ms)
        there.link.session.expire(now_ms + ANSWER_MS_MAX)
        there.link.flush()
        assert await peer.closed() is Code.TIMEOUT
        await until(lambda: peer.account not in a.hub.neighbours, a)
        assert linked(a, b)
        await hostile.close()


async def has(node: Node, id_: bytes) -> bool:
    return await code(node, id_) is Code.STORED


async def test_a_slow_peer_costs_a_bounded_queue_and_is_compared_later(tmp_path: Path) -> None:
    bound = 256 * 1024
    async with serving(tmp_path / "a", 1, link_queue_bytes_max=bound) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()  # it reads nothing from here on and acknowledges nothing
        there = a.hub.neighbours[peer.account]
        there.catchup.nodes = frozenset(a.gate.admission.nodes)
        ann = someone(a, 3)
        await join(a, ann)
        there.link.behind.clear()
        most = 0
        for number in range(60):
            await publish(a, *(ann.post(f"{number} {at} " + 4000 * "x") for at in range(20)))
            most = max(most, there.link._queue_bytes)
        await until(lambda: there.link.behind.is_set(), a)
        assert most <= bound
        assert there.link.session.credit.push_bytes >= 0
        await hostile.close()


async def test_bringing_a_slow_peer_up_to_date_waits_for_room(tmp_path: Path) -> None:
    bound = 256 * 1024
    async with serving(tmp_path / "a", 1, link_queue_bytes_max=bound) as (a, at_a):
        hostile = Hostile(a, at_a)
        peer = await hostile.link()  # it reads nothing from here on and acknowledges nothing
        link = a.hub.neighbours[peer.account].link
        ann = someone(a, 3)
        posts = [ann.post(f"{number}" + 4000 * "x") for number in range(700)]
        items = [pack_item(one.header_bytes, one.signature, one.payload) for one in posts]
        most = max(item.size for item in items)
        assert sum(item.size for item in items) > PUSH_WINDOW_BYTES_MAX + 2 * bound
        pushing = asyncio.create_task(link.push(items))
        await until(lambda: pushing.done() or link._queue_bytes > bound - most, a)
        assert link._queue_bytes <= bound
        assert not pushing.done()
        await hostile.close()
        link.close(Code.SHUTDOWN)
        await pushing


async def test_nothing_is_left_of_a_link_that_ended(tmp_path: Path) -> None:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    async with (
        serving(tmp_path / "a", 1) as (a, _),
        serving(tmp_path / "b", 2) as (b, at_b),
    ):
        alone = {task.get_name() for task in a.runtime.spawner._tasks}
        await befriend(a, b, at_b, None)
        await until(lambda: linked(a, b) and equal(a, b), a)
        there = neighbour(a, b)
        assert there is not None
        pending = there.exchange.start_fetch([b"\1" * 32])
        there.link.close(Code.SHUTDOWN)
        await until(lambda: pending.done() and neighbour(a, b) is not there, a)
        a.dialer._begin = lambda *_: None
        b.dialer._begin = lambda *_: None
        for found in list(a.hub.neighbours.values()):
            found.link.close(Code.SHUTDOWN)
        await until(lambda: names(a) <= alone, a)
        assert there.exchange._requests == {}
    assert unhandled == []


def names(node: Node) -> set[str]:
    return {task.get_name() for task in node.runtime.spawner._tasks}
