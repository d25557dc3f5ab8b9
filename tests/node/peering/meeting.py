"""Real nodes on loopback sockets: what the tests of links begin with."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Outcome, Way
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.wire import LINK_PATH, Transport, Wire, accept
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import read
from ratoon_protocol.author import Draft, device_row, new_account
from ratoon_protocol.errors import Code
from ratoon_protocol.keys import AgreementKey
from ratoon_protocol.record import Record
from tests.node.world import EVERYTHING, Person, person, running

API = Origin(Way.API)


@asynccontextmanager
async def listening(node: Node) -> AsyncIterator[str]:
    """The node's link end-point on a free port; gives its address."""

    async def link(request: web.Request) -> web.WebSocketResponse:
        response, wire = await accept(request)
        await node.hub.accept(wire)
        return response

    app = web.Application()
    app.router.add_get(LINK_PATH, link)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving(
    folder: Path, seed: int, provider: str = "", **settings: Any
) -> AsyncIterator[tuple[Node, str]]:
    """A node and the address it listens at."""
    os.makedirs(folder, exist_ok=True)
    async with (
        running(folder, seed=seed, provider=provider, **settings) as node,
        listening(node) as address,
    ):
        yield node, address


async def until(
    true: Callable[[], bool | Awaitable[bool]], node: Node, seconds: float = 30
) -> None:
    """Wait for something, looking again after every commit of the node (and now and then)."""
    async with asyncio.timeout(seconds):
        subscription = node.fanout.subscribe()
        try:
            while True:
                found = true()
                if found if isinstance(found, bool) else await found:
                    return
                try:
                    async with asyncio.timeout(0.05):
                        await subscription.next()
                except TimeoutError:
                    pass
        finally:
            node.fanout.unsubscribe(subscription)


def equal(*nodes: Node) -> bool:
    states = [node.sets.state() for node in nodes]
    return all(state == states[0] for state in states)


async def befriend(one: Node, other: Node, address: str, provider: str | None) -> None:
    """The operator of `one` adds `other`, as the command does."""
    account = await one.hub.meet(address)
    assert account == other.own.account
    await one.ledger.add_peer(account, address, provider, "XX" if provider else None)
    await one.peers_changed()


async def befriended(a: Node, at_a: str, b: Node, at_b: str) -> None:
    """Each adds the other."""
    await befriend(a, b, at_b, b.settings.provider or None)
    await befriend(b, a, at_a, a.settings.provider or None)


async def block(node: Node, subject: Subject, entity: bytes) -> None:
    """What the operator's command does."""
    now_ms = node.runtime.clock.now_ms()
    entry = ListEntry(subject, entity.hex(), Verdict.WITHHOLD, "blocked", None, "operator", now_ms)
    await node.ledger.block(entry)
    await node.roster.load()


def someone(node: Node, seed: int) -> Person:
    return person(node.settings.network_bytes, random.Random(seed), node.runtime.clock)


def at_home(node: Node, seed: int, *homes: Node) -> Person:
    """Somebody whose genesis lists homes."""
    who = someone(node, seed)
    network, author = node.settings.network_bytes, who.author
    agreement = AgreementKey(who.rng.randbytes(32))
    row = device_row(network, who.paper.public, author.key, agreement.public, EVERYTHING)
    draft = Draft(devices=[row], homes=[home.own.account for home in homes])
    now_ms = who.clock.now_ms()
    who.account, who.genesis = new_account(network, who.paper, draft, now_ms, who.rng.randbytes(16))
    author.account = who.account
    return who


async def publish(node: Node, *records: Record) -> list[Outcome]:
    return await node.gate.submit([one.encode() for one in records], API)


async def code(node: Node, id_: bytes) -> Code | None:
    """What is true of a record at a node."""
    row = await node.db.read(lambda db: read.by_id(db, id_))
    return read.code_of(row) if row else None


def neighbour(node: Node, other: Node) -> Neighbour | None:
    return node.hub.neighbours.get(other.own.account)


def linked(one: Node, other: Node) -> bool:
    return neighbour(one, other) is not None and neighbour(other, one) is not None


class CountedWire:
    """A wire that counts what goes over it, both ways."""

    def __init__(self, wire: Wire, sizes: list[int]) -> None:
        self._wire = wire
        self._sizes = sizes

    async def send(self, message: bytes) -> None:
        self._sizes.append(len(message))
        await self._wire.send(message)

    async def receive(self) -> bytes | None:
        message = await self._wire.receive()
        self._sizes.append(len(message or b""))
        return message

    async def close(self) -> None:
        await self._wire.close()


class CountingTransport:
    """Notes the size of every message of each wire that is dialled, in order."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.wires: list[list[int]] = []

    async def dial(self, address: str) -> Wire:
        wire = await self._transport.dial(address)
        self.wires.append([])
        return CountedWire(wire, self.wires[-1])

    async def close(self) -> None:
        await self._transport.close()
