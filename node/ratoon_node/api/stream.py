"""`GET /v1/stream`: one WebSocket to publish many records and to hear of new ones.

To publish, a binary message [request number, [record…]]; the answer is [request number,
[[id or nil, code]…]], or [request number, code, retry_ms] if the whole message was refused.
Requests are answered in the order in which they are done, several are under way at once.

To read, a text message {"subscribe": topic | "none", …} (see `following.TOPICS`). What is told
comes as binary or, with "json": true, as text. Whoever does not keep up is told {"missed": true}
and caught up from the last cursor: nothing is lost, and what waits is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Literal, NamedTuple

import msgpack
from aiohttp import WSCloseCode, WSMsgType, web

from ratoon_node.api import asked, batch
from ratoon_node.api.access import token_of
from ratoon_node.api.answers import error_body, to_json
from ratoon_node.api.following import TOPICS, Reader, Wanted, Word, as_json, as_packed
from ratoon_node.api.ports import Services
from ratoon_node.api.publish import API
from ratoon_node.api.rate import Pool, records_cost
from ratoon_node.api.route import Route
from ratoon_node.api.sending import cut, sent, sent_now
from ratoon_node.api.telling import NoticeReader
from ratoon_node.errors import NodeError
from ratoon_node.timeline.feed import Message
from ratoon_protocol.errors import Code, DecodeError

# Publishing messages of one stream under way at once: enough that the gate is never idle
# between two, and the memory one client can take is this many messages.
UNDER_WAY_MAX = 4
# One message: a good batch. A thousand streams may each have half sent one.
MESSAGE_BYTES_MAX = 1024 * 1024
# A sign of life is asked for this often; who does not answer is gone.
HEARTBEAT_SECONDS = 30.0
# What a client is told to wait while all bodies together are at their bound.
BUSY_RETRY_MS = 1000
# A subscription is one line.
TEXT_CHARS_MAX = 4096


class Subscribe(Wanted, kw_only=True):
    """What a reader wants to hear of, in place of what it heard of before; "none": nothing.

    "notifications" are those of whom `token` speaks for (or the one the stream was opened with),
    and always JSON.
    """

    subscribe: Word | Literal["notifications", "none"]
    json: bool = False
    token: str = ""


class _Way(NamedTuple):
    """How messages are spelt to a client, made once for all who get them so."""

    spell: Callable[[Message], bytes]
    opcode: WSMsgType


_TEXTS, _BINARY = _Way(as_json, WSMsgType.TEXT), _Way(as_packed, WSMsgType.BINARY)


class Streams:
    """The stream's route."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[web.WebSocketResponse, None] = {}

    def routes(self) -> list[Route]:
        """The group's routes."""
        return [
            Route(
                "GET",
                "/v1/stream",
                self.stream,
                "Publish many records and hear of what is new, over one WebSocket",
                "streams",
                codes=(Code.BUSY,),
                holds=True,
            )
        ]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serve one stream until it ends."""
        node = self._services.node
        places = self._services.streams
        with places.one(request.get(asked.CLIENTS, ()), node.settings.streams_max) as count:
            node.metrics.streams.set(count)
            socket = await self._serve(request)
        node.metrics.streams.set(places.open)
        return socket

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            compress=False,
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=MESSAGE_BYTES_MAX,
        )
        await socket.prepare(request)
        transport = request.transport
        self._open[socket] = None
        stream = _Stream(self._services, request, socket)
        try:
            await stream.run()
        finally:
            if socket.close_code == WSCloseCode.ABNORMAL_CLOSURE:
                cut(transport)  # it answers no ping: nobody waits for it to read
            await stream.end()
            del self._open[socket]
        return socket

    async def close(self) -> None:
        """Tell every client that this node is going away."""
        words = Code.SHUTDOWN.value.encode()
        await asyncio.gather(
            *(socket.close(code=1001, message=words) for socket in list(self._open))
        )


class _Stream:
    """One client's stream."""

    def __init__(
        self, services: Services, request: web.Request, socket: web.WebSocketResponse
    ) -> None:
        self._services = services
        self._request = request
        self._socket = socket
        self._room = asyncio.Semaphore(UNDER_WAY_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Read messages until the client leaves."""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                await self._room.acquire()
                # What waits for the gate is counted with the bodies of requests.
                held = self._services.bodies.take(len(message.data))
                self._spawn(self._publish(message.data, held))
            elif message.type is WSMsgType.TEXT:
                await self._subscribe(message.data)

    async def end(self) -> None:
        """Let go of everything; what was submitted is stored all the same."""
        if self._reader is not None:
            self._reader.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._services.node.runtime.spawn(work, "api.stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, data: bytes, opcode: WSMsgType = WSMsgType.BINARY) -> None:
        """Send to somebody who may have left, or does not read."""
        try:
            await sent(self._request, self._socket.send_frame(data, opcode), len(data))
        except ConnectionError:
            await self._socket.close()

    async def _say(self, words: bytes) -> None:
        """Send JSON."""
        await self._send(words, WSMsgType.TEXT)

    async def _note(self, words: bytes, cursor: int | None = None) -> None:
        """See `following.Note`: nobody comes back by themselves here."""
        await self._say(words)

    # --- publishing ----------------------------------------------------------------------

    async def _publish(self, data: bytes, held: bool) -> None:
        """Answer one message; whoever does not read the answers is not read from either, and
        what they sent counts no longer for the room that everybody shares.
        """
        try:
            try:
                answer = await self._answer(data, held)
            finally:
                if held:
                    self._services.bodies.give(len(data))
            await self._send(msgpack.packb(answer))
        finally:
            self._room.release()

    async def _answer(self, data: bytes, held: bool) -> list[Any]:
        number: int | None = None
        try:
            gate = self._services.node.gate
            number, count = batch.count_numbered(data)
            asked.charge(self._request, self._services, 1, Pool.WRITE)
            gate.check_room(API.way, count, len(data))
            number, items = batch.split_numbered(data)
            if not held:
                raise NodeError(Code.BUSY, retry_ms=BUSY_RETRY_MS)
            cost = records_cost(len(items), len(data)) - 1
            asked.charge(self._request, self._services, cost, Pool.WRITE)
            outcomes = await gate.submit(items, API)
            return [number, [[one.id, one.code.value] for one in outcomes]]
        except DecodeError as error:
            return [number, error.code.value, None]
        except NodeError as error:
            return [number, error.code.value, error.retry_ms]

    # --- reading -------------------------------------------------------------------------

    async def _subscribe(self, text: str) -> None:
        """Begin to read, in place of what was read before."""
        try:
            if len(text) > TEXT_CHARS_MAX:
                raise NodeError(Code.TOO_LARGE)
            wanted = asked.parse_json(text, Subscribe)
            asked.charge(self._request, self._services, 1)
            make = TOPICS.get(wanted.subscribe)
            topic = make(wanted) if make is not None else None
        except NodeError as error:
            await self._say(to_json({"error": error_body(error)}))
            return
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._reader = None
        if topic is not None:
            told = partial(asked.sent, self._request, self._services)
            way = _TEXTS if wanted.json else _BINARY
            reader = Reader(
                self._services,
                topic,
                wanted.since,
                partial(self._tell, way),
                self._note,
                told,
                partial(self._tell_now, way),
            )
            self._reader = self._spawn(self._read(reader))
        elif wanted.subscribe == "notifications":
            token = wanted.token or token_of(self._request)
            notices = NoticeReader(
                self._services, token, wanted.since, lambda _, text: self._say(text), self._say
            )
            self._reader = self._spawn(self._read(notices))

    async def _read(self, reader: Reader | NoticeReader) -> None:
        """Read for ever. Whoever is sent nothing more is told so, and goes on from their cursor:
        a stream that is open and silent would lose what came.
        """
        try:
            await reader.run()
        except Exception:
            words = Code.INTERNAL.value.encode()
            with contextlib.suppress(ConnectionError):
                await self._socket.close(code=WSCloseCode.INTERNAL_ERROR, message=words)
            raise

    async def _tell(self, way: _Way, message: Message) -> None:
        await self._send(way.spell(message), way.opcode)

    def _tell_now(self, way: _Way, message: Message) -> bool:
        if self._socket.closed:
            return False
        work = self._socket.send_frame(way.spell(message), way.opcode)
        return sent_now(self._request.transport, work)
