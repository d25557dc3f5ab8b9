"""`GET /v1/stream`: one WebSocket to publish many records and to hear of new ones.

To publish, a binary message [request number, [record…]]; the answer is [request number,
[[id or nil, code]…]], or [request number, code, retry_ms] if the whole message was refused.
Requests are answered in the order in which they are done, several are under way at once.

To read, a text message {"subscribe": "public" | "home" | "account" | "none", "account"?: hex,
"since"?: cursor, "json"?: true}. Each record comes as a binary message [cursor, record] or as
text {"cursor", "record"}. Whoever does not keep up is told {"missed": true} and caught up from
the last cursor: nothing is lost, and no more than a bounded queue is ever kept.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Literal

import msgpack
import msgspec
from aiohttp import WSMsgType, web

from ratoon_node.api import asked, batch
from ratoon_node.api.answers import error_body, to_json
from ratoon_node.api.ports import Services
from ratoon_node.api.publish import API, RECORDS_PER_REQUEST
from ratoon_node.api.view import item_view
from ratoon_node.errors import NodeError
from ratoon_node.policy.engine import Policy
from ratoon_node.store import read
from ratoon_node.timeline import walk
from ratoon_node.timeline.feed import Follower
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_node.timeline.walk import Cursor, Page
from ratoon_protocol.errors import Code, DecodeError
from ratoon_protocol.limits import INT_MAX

# Publishing messages of one stream under way at once: enough that the gate is never idle
# between two, and the memory one client can take is this many messages.
UNDER_WAY_MAX = 4
# One message: a good batch. A thousand streams may each have half sent one.
MESSAGE_BYTES_MAX = 1024 * 1024
# A sign of life is asked for this often; who does not answer is gone.
HEARTBEAT_SECONDS = 30.0
# What a client is told to wait while all bodies together are at their bound.
BUSY_RETRY_MS = 1000
# Records of one step of catching up.
CATCH_UP_RECORDS = 200
# A subscription is one line.
TEXT_CHARS_MAX = 4096


class Subscribe(msgspec.Struct, forbid_unknown_fields=True):
    """What a reader wants to hear of; `since` is a position of a timeline."""

    subscribe: Literal["public", "home", "account", "none"]
    account: str = ""
    since: int | None = None
    json: bool = False


class Streams:
    """The stream's route."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: dict[web.WebSocketResponse, None] = {}

    def routes(self) -> list[web.RouteDef]:
        """The group's routes."""
        return [web.get("/v1/stream", self.stream)]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serve one stream until it ends."""
        node = self._services.node
        if len(self._open) >= node.settings.streams_max:
            raise NodeError(Code.BUSY, retry_ms=1000)
        socket = web.WebSocketResponse(
            compress=False,
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=MESSAGE_BYTES_MAX,
        )
        await socket.prepare(request)
        self._open[socket] = None
        node.metrics.streams.set(len(self._open))
        stream = _Stream(self._services, request, socket)
        try:
            await stream.run()
        finally:
            await stream.end()
            del self._open[socket]
            node.metrics.streams.set(len(self._open))
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

    async def _send(self, message: bytes | str) -> None:
        """Send to somebody who may have left."""
        try:
            if isinstance(message, bytes):
                await self._socket.send_bytes(message)
            else:
                await self._socket.send_str(message)
        except ConnectionError:
            await self._socket.close()

    # --- publishing ----------------------------------------------------------------------

    async def _publish(self, data: bytes, held: bool) -> None:
        """Answer one message; whoever does not read the answers is not read from either."""
        try:
            await self._send(msgpack.packb(await self._answer(data, held)))
        finally:
            self._room.release()
            if held:
                self._services.bodies.give(len(data))

    async def _answer(self, data: bytes, held: bool) -> list[Any]:
        number: int | None = None
        try:
            number, items = batch.split_numbered(data)
            if not held:
                raise NodeError(Code.BUSY, retry_ms=BUSY_RETRY_MS)
            asked.charge(self._request, self._services, len(items) / RECORDS_PER_REQUEST)
            outcomes = await self._services.node.gate.submit(items, API)
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
            account = b""
            if wanted.subscribe in ("home", "account"):
                account = asked.id_in(wanted.account, "account")
            if wanted.since is not None and not 0 <= wanted.since <= INT_MAX:
                raise NodeError(Code.OUT_OF_RANGE)
        except NodeError as error:
            await self._send(to_json({"error": error_body(error)}).decode())
            return
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._reader = None
        if wanted.subscribe != "none":
            reader = Reader(self._services, wanted, account, self._send)
            self._reader = self._spawn(reader.run())


class Reader:
    """Follows one timeline for one client: from the store up to now, then from the feed."""

    def __init__(
        self,
        services: Services,
        wanted: Subscribe,
        account: bytes,
        send: Callable[[bytes | str], Awaitable[None]],
    ) -> None:
        self._services = services
        self._wanted = wanted
        self._account = account
        self._send = send
        self._waiting_max = services.node.settings.stream_queue_max

    async def run(self) -> None:
        """Send for ever; ends when cancelled."""
        feed = self._services.feed
        follower = Follower(self._waiting_max, feed.position)
        self._sent = follower.since if self._wanted.since is None else self._wanted.since
        try:
            await self._join(follower)
            await self._catch_up()
            while True:
                item = await follower.next()
                if item is not None:
                    await self._tell(item)
                    continue
                if follower.stale:
                    feed.leave(follower)
                    await self._join(follower)
                else:
                    self._services.node.metrics.streams_cut.inc()
                    await self._send(to_json({"missed": True}).decode())
                await self._catch_up()
        finally:
            feed.leave(follower)

    async def _join(self, follower: Follower) -> None:
        """Have the feed offer what is wanted."""
        feed = self._services.feed
        follower.stale = False
        if self._wanted.subscribe == "public":
            feed.follow_everything(follower)
        elif self._wanted.subscribe == "account":
            feed.follow_accounts(follower, [self._account])
        else:
            # On the list of homes before it is read, so that no follow falls in between.
            feed.follow_home(follower, self._account, [self._account])
            feed.follow_accounts(follower, await self._services.node.db.read(self._followed))

    def _followed(self, db: sqlite3.Connection) -> list[bytes]:
        own = read.account(db, self._account)
        return read.follows(db, own.n, walk.FOLLOWS_MAX) if own else []

    async def _catch_up(self) -> None:
        """Everything above the last cursor that is in the store."""
        make: Callable[..., Page] = walk.network
        if self._wanted.subscribe != "public":
            walks = {"account": walk.by_author, "home": walk.home}
            make = partial(walks[self._wanted.subscribe], account=self._account)
        node = self._services.node
        while True:
            policy, now_ms = node.gate.policy, node.runtime.clock.now_ms()
            cursor = Cursor(self._sent, newest_first=False)

            def look(
                db: sqlite3.Connection,
                policy: Policy = policy,
                now_ms: int = now_ms,
                cursor: Cursor = cursor,
            ) -> Page:
                viewer = Viewer(db, policy, now_ms)
                return make(db, viewer, cursor=cursor, limit=CATCH_UP_RECORDS)

            page = await node.db.read(look)
            for item in page.items:
                await self._tell(item)
            if page.next is None:
                self._sent = max(self._sent, page.end)
                return
            self._sent = max(self._sent, page.next)

    async def _tell(self, item: Item) -> None:
        """Send one item, unless it was sent while catching up."""
        if item.position is None or item.position <= self._sent:
            return
        self._sent = item.position
        self._services.node.metrics.stream_records.inc()
        if self._wanted.json:
            view = {"cursor": item.position, "record": item_view(item)}
            await self._send(to_json(view).decode())
        else:
            await self._send(msgpack.packb([item.position, item.record.encode()]))
