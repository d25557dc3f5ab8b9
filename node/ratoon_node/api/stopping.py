"""How requests end when the node does: what is under way gets a moment, the rest is told.

Nothing acknowledged depends on this: an acknowledgement leaves after its commit. It spares clients
the guess whether a request was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from aiohttp import web

from ratoon_node.api.answers import failure
from ratoon_node.api.route import Handler
from ratoon_node.errors import NodeError
from ratoon_node.runtime import timeout_ms
from ratoon_protocol.errors import Code

# What is under way gets this long to end by itself, then this long to be told.
GRACE_MS = 1500
TELL_MS = 500
# When it makes sense to ask again: most stops are followed by a start.
RETRY_MS = 5000
#: Answered to the very end: whoever watches the node must see it stop.
WATCHED = frozenset({"/livez", "/readyz", "/metrics"})


class Stopping:
    """The requests under way. `begun` says whether the node was told to stop."""

    def __init__(self, begun: Callable[[], bool]) -> None:
        self._begun = begun
        self._cut = False
        self._tasks: dict[asyncio.Task[object], None] = {}
        self._idle = asyncio.Event()

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request, or say that the node stops."""
        if self._begun() and request.path not in WATCHED:
            return _shutdown()
        task = asyncio.current_task()
        assert task is not None, "requests are answered in tasks"
        self._tasks[task] = None
        self._idle.clear()
        try:
            return await handler(request)
        except asyncio.CancelledError:
            if not self._cut or request.writer.output_size:
                raise
            task.uncancel()
            return _shutdown()
        finally:
            del self._tasks[task]
            if not self._tasks:
                self._idle.set()

    async def end(self) -> None:
        """Return when nothing is under way, or nothing more can be done about it."""
        await self._wait(GRACE_MS)
        self._cut = True
        for task in list(self._tasks):
            task.cancel()
        await self._wait(TELL_MS)

    async def _wait(self, ms: int) -> None:
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                async with timeout_ms(ms):
                    await self._idle.wait()


def _shutdown() -> web.Response:
    response = failure(NodeError(Code.SHUTDOWN, retry_ms=RETRY_MS))
    response.force_close()
    return response
