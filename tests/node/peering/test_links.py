"""Two and three real nodes on loopback: they meet, become equal, and count who holds what."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.peering.wire import LINK_PATH, accept
from ratoon_protocol import kinds
from ratoon_protocol.kinds import Scope
from tests.node.world import Clock, Person, join, person, running

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


async def until(
    true: Callable[[], bool | Awaitable[bool]], node: Node, seconds: float = 20
) -> None:
    """Wait for something, looking again after every commit of the node (and now and then)."""
    async with asyncio.timeout(seconds):
        subscription = node.fanout.subscribe()
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            try:
                async with asyncio.timeout(0.05):
                    await subscription.next()
            except TimeoutError:
                pass


def equal(*nodes: Node) -> bool:
    states = [node.sets.state() for node in nodes]
    return all(state == states[0] for state in states)


async def befriend(one: Node, other: Node, address: str, provider: str) -> None:
    account = await one.hub.meet(address)
    assert account == other.own.account
    await one.ledger.add_peer(account, address, provider, "XX")
    await one.peers_changed()


def someone(node: Node, seed: int) -> Person:
    clock = node.runtime.clock
    assert isinstance(clock, Clock)
    return person(node.settings.network_bytes, random.Random(seed), clock)


async def test_two_fresh_nodes_become_equal(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        running(tmp_path / "a", seed=1, provider="P") as a,
        running(tmp_path / "b", seed=2, provider="Q") as b,
        listening(b) as at_b,
    ):
        ann = someone(a, 3)
        await join(a, ann)
        posts = [ann.post(f"post {number}") for number in range(50)]
        await a.gate.submit([post.encode() for post in posts], API)
        await befriend(a, b, at_b, "Q")
        await until(lambda: equal(a, b) and a.sets.state()[Scope.WINDOW][0] == 50, b)
        late = ann.post("after")
        await a.gate.submit([late.encode()], API)
        counts = await a.receipts.wait([late.id], 2, 10_000)
        assert counts[late.id].providers == 2
        ann.sign(kinds.DELETE, {"ids": [posts[0].id]})
        assert equal(a, b)


async def test_a_node_that_ends_says_so(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        running(tmp_path / "b", seed=2) as b,
        listening(b) as at_b,
    ):
        async with running(tmp_path / "a", seed=1) as a:
            await a.hub.meet(at_b)
            await until(lambda: a.own.account in b.hub.neighbours, b)
            link = b.hub.neighbours[a.own.account].link
        await asyncio.wait_for(link.ended.wait(), 10)
        assert link.closed is not None
        assert (link.closed.code, link.closed.by_peer) == ("shutdown", True)
