"""A server that sends back what it gets (`/`), or so many bytes (`/body/SIZE`); prints where it is.

It is the library that the node uses, without any of our code.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from aiohttp import WSMsgType, web

from tests.bench.work import python_child


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def _body(request: web.Request) -> web.Response:
    return web.Response(body=bytes(int(request.match_info["size"])))


async def _serve() -> None:
    app = web.Application()
    app.router.add_get("/", _echo)
    app.router.add_get("/body/{size}", _body)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """The server in a process of its own; where it serves."""
    async with python_child("tests.bench.echo") as child:
        assert child.stdout is not None, "the child has a pipe"
        yield (await child.stdout.readline()).decode().strip()


if __name__ == "__main__":
    uvloop.run(_serve())
