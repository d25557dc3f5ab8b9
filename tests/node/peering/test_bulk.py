"""Much at once over a link: full messages, more than a queue holds, and nothing sent back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.peering.wire import LINK_PATH, SocketTransport, accept
from ratoon_protocol.kinds import Scope
from ratoon_protocol.limits import NOISE_MESSAGE_BYTES_MAX
from tests.node.peering.meeting import befriend, equal, listening, someone, until
from tests.node.world import join, running

POSTS = 400
TEXT = "x" * 1500
# Far less than the posts take together.
QUEUE = 256 * 1024


async def test_a_message_of_the_longest_length_passes_both_ways() -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        response, wire = await accept(request)
        while (message := await wire.receive()) is not None:
            await wire.send(message)
        return response

    app = web.Application()
    app.router.add_get(LINK_PATH, echo)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    transport = SocketTransport(private=True)
    try:
        wire = await transport.dial(f"http://127.0.0.1:{runner.addresses[0][1]}")
        longest = bytes(NOISE_MESSAGE_BYTES_MAX)
        async with asyncio.timeout(10):
            await wire.send(longest)
            assert await wire.receive() == longest
        await wire.close()
    finally:
        await transport.close()
        await runner.cleanup()


async def test_more_than_a_queue_is_pushed_and_none_of_it_comes_back(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        running(tmp_path / "a", seed=1, provider="P", link_queue_bytes_max=QUEUE) as a,
        running(tmp_path / "b", seed=2, provider="Q", link_queue_bytes_max=QUEUE) as b,
        listening(b) as at_b,
    ):
        ann = someone(a, 3)
        await join(a, ann)
        posts = [ann.post(f"{TEXT} {number}") for number in range(POSTS)]
        await a.gate.submit([post.encode() for post in posts], Origin(Way.API))
        await befriend(a, b, at_b, "Q")
        await until(lambda: equal(a, b) and b.sets.state()[Scope.WINDOW][0] == POSTS, b)
        sent_back = a.hub.neighbours[b.own.account].exchange.seen
        assert not sent_back.keys() & {post.id for post in posts}
