"""Sending to clients that may not read: what waits for one is bounded, and so is for how long.

A connection takes 64 KiB before whoever sends must wait. Who waits holds a client's place, its
messages and its buffers, and a client that never reads would have them kept for ever: closing does
not end that, because a connection that is closed still wants to send what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from aiohttp import web

from ratoon_node.runtime import timeout_ms

# A client that has taken nothing of what waits for it by then is cut off.
SEND_MS_MAX = 30_000
# What a connection takes at once; nobody waits, so no time need be watched.
AT_ONCE_BYTES = 32 * 1024


async def sent(request: web.BaseRequest, work: Awaitable[object], size: int) -> None:
    """Wait for `work`, which sends `size` bytes to the client.

    Raises ConnectionError if it is gone, or takes nothing for too long: then it is cut off.
    """
    transport = request.transport
    if transport is None or transport.get_write_buffer_size() + size <= AT_ONCE_BYTES:
        await work
        return
    try:
        async with timeout_ms(SEND_MS_MAX):
            await work
    except TimeoutError:
        transport.abort()
        raise ConnectionResetError("the client does not read") from None


def cut(transport: asyncio.Transport | None) -> None:
    """End a connection at once, whatever still waits to be sent."""
    if transport is not None:
        transport.abort()
