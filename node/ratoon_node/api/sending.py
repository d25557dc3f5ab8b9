"""Sending to clients that may not read: what waits for one is bounded, and so is for how long.

A connection takes 64 KiB before whoever sends must wait. Who waits holds a client's place, its
messages and its buffers, and a client that never reads would have them kept for ever: closing does
not end that, because a connection that is closed still wants to send what it has.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from collections.abc import Awaitable, Coroutine

from aiohttp import web

# A client is looked at so often; one that took too little of what waits for it since is cut off.
SEND_MS_MAX = 30_000
# What it has to take: a bad connection of a phone does, and a page of 4 MB is read in 8 minutes.
SEND_BYTES_PER_S_MIN = 8 * 1024
# What a connection takes at once; nobody waits, so no time need be watched.
AT_ONCE_BYTES = 32 * 1024


def _waiting(transport: asyncio.Transport) -> int:
    """Bytes that the client has not taken: here, and in the kernel, which asks for more only when
    a large part of its megabytes is free.
    """
    here = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    try:
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # no such question on this system, or it is closed already
        return here
    return here + int.from_bytes(queued, sys.byteorder)


class _Pace:
    """Looks now and then whether what waits in a connection gets less, and ends the wait if not."""

    def __init__(self, transport: asyncio.Transport, size: int, limit: asyncio.Timeout) -> None:
        self._transport = transport
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._waiting = _waiting(transport) + size
        self._next = self._loop.call_later(SEND_MS_MAX / 1000, self._look)

    def _look(self) -> None:
        waiting = _waiting(self._transport)
        if (self._waiting - waiting) * 1000 < SEND_BYTES_PER_S_MIN * SEND_MS_MAX:
            self._limit.reschedule(self._loop.time())
            return
        self._waiting = waiting
        self._next = self._loop.call_later(SEND_MS_MAX / 1000, self._look)

    def end(self) -> None:
        """All was taken, or nobody waits any more."""
        self._next.cancel()


async def sent(request: web.BaseRequest, work: Awaitable[object], size: int) -> None:
    """Wait for `work`, which sends `size` bytes to the client.

    Raises ConnectionError if it is gone, or reads too slowly: then it is cut off.
    """
    transport = request.transport
    if transport is None or transport.get_write_buffer_size() + size <= AT_ONCE_BYTES:
        await work
        return
    try:
        async with asyncio.timeout(None) as limit:
            pace = _Pace(transport, size, limit)
            try:
                await work
            finally:
                pace.end()
    except TimeoutError:
        transport.abort()
        raise ConnectionResetError("the client does not read") from None


def sent_now(transport: asyncio.Transport | None, work: Coroutine[object, None, object]) -> bool:
    """Have `work` write to a client for whom nothing waits; False, and nothing done, if something
    does or the client is gone. Raises what `work` raises.
    """
    try:
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return False
        work.send(None)  # it writes, and then waits for room for more, which is the next one's turn
    except StopIteration:
        pass
    finally:
        work.close()
    return True


def cut(transport: asyncio.Transport | None) -> None:
    """End a connection at once, whatever still waits to be sent."""
    if transport is not None:
        transport.abort()
