"""`GET /v1/events`: streams as server-sent events, for `curl` and browsers (the HTML standard,
"Server-sent events").

Each event is a line of JSON as on `/v1/stream`; its `id` is the cursor, so that a browser that was
cut goes on from it by itself (`Last-Event-ID`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from functools import partial
from typing import Any, Literal

from aiohttp import web

from ratoon_node.api import asked
from ratoon_node.api.access import signed_in, token_of
from ratoon_node.api.following import TOPICS, Reader, Wanted, Word, as_json
from ratoon_node.api.ports import Services
from ratoon_node.api.route import Example, Route
from ratoon_node.api.sending import sent
from ratoon_node.api.telling import NoticeReader
from ratoon_node.runtime import Clock
from ratoon_node.timeline.feed import Message
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import INT_MAX

EVENTS_TYPE = "text/event-stream"
# A comment is sent this often: proxies cut what is silent for a minute, and who is gone shows.
HEARTBEAT_MS = 15_000
# How long a browser waits before it comes again.
RETRY_MS = 2000
# Nobody in between may keep the answer back or change it (nginx reads the last line).
_HEADERS = {
    "Content-Type": EVENTS_TYPE,
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
}


class EventsQuery(Wanted, kw_only=True):
    """Which topic, and which one of its kind; from `since` on, or from now. "notifications" are
    those of whoever is signed in.
    """

    topic: Word | Literal["notifications"]


class Events:
    """The route of server-sent events."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[asyncio.Task[None], None] = {}

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "GET",
                "/v1/events",
                self.events,
                "What is new in a timeline, as server-sent events, until the client leaves",
                "streams",
                query=EventsQuery,
                media=(EVENTS_TYPE,),
                codes=(Code.BUSY, Code.UNAUTHORISED),
                example=Example(query={"topic": "network"}),
                holds=True,
            )
        ]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it leaves or the node stops."""
        query = asked.query(request, EventsQuery)
        make = TOPICS.get(query.topic)
        topic = make(query) if make is not None else None
        token = token_of(request)
        if topic is None:
            await signed_in(self._services, token)
        since = query.since
        last = request.headers.get("Last-Event-ID", "").strip()
        if last:
            since = asked.number_in(last, "Last-Event-ID", INT_MAX)
        node = self._services.node
        response = web.StreamResponse(headers=_HEADERS)
        client = _Client(request, response, node.runtime.clock)
        clients = request.get(asked.CLIENTS, ())
        with self._services.streams.one(clients, node.settings.streams_max) as count:
            node.metrics.streams.set(count)
            await response.prepare(request)
            reader: Reader | NoticeReader
            if topic is None:
                reader = NoticeReader(self._services, token, since, client.send, client.note)
            else:
                told = partial(asked.sent, request, self._services)
                reader = Reader(self._services, topic, since, client.tell, client.note, told)
            await self._serve(reader, client)
        node.metrics.streams.set(self._services.streams.open)
        return response

    async def _serve(self, reader: Reader | NoticeReader, client: _Client) -> None:
        """Both the reader and the heartbeat, until one of them ends."""
        spawn = self._services.node.runtime.spawn
        tasks = [
            spawn(_until_gone(reader.run()), "api.events"),
            spawn(_until_gone(client.beat()), "api.events.beat"),
        ]
        self._open |= dict.fromkeys(tasks)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
                self._open.pop(task, None)
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """End every client's events: they come again, to this node or another."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class _Client:
    """What one client is sent. A client that does not read holds up its own reader alone."""

    def __init__(self, request: web.Request, response: web.StreamResponse, clock: Clock) -> None:
        self._request = request
        self._response = response
        self._clock = clock

    async def tell(self, message: Message) -> None:
        """An event."""
        await self.send(message.cursor, as_json(message))

    async def send(self, cursor: int, text: bytes) -> None:
        """An event as JSON."""
        await self._write(b"id: %d\ndata: %b\n\n" % (cursor, text))

    async def note(self, words: bytes, cursor: int | None = None) -> None:
        """Words about the stream itself: the client's cursor stays, unless one is given."""
        if cursor is not None:
            await self.send(cursor, words)
        else:
            await self._write(b"data: %b\n\n" % words)

    async def _write(self, data: bytes) -> None:
        await sent(self._request, self._response.write(data), len(data))

    async def beat(self) -> None:
        """Comments for ever."""
        await self._write(b"retry: %d\n\n" % RETRY_MS)
        while True:
            await self._clock.sleep_ms(HEARTBEAT_MS)
            await self._write(b": still here\n\n")


async def _until_gone(work: Coroutine[Any, Any, None]) -> None:
    """Work until the client has left."""
    with contextlib.suppress(ConnectionError):
        await work
