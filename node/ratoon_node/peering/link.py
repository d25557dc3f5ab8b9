"""A link: the pump between a wire and a `PeerSession`, the same in production and simulation.

One task reads the wire, one writes it, one watches the clock. What the session says is handed to
the exchange in order; the exchange calls the session and then `flush`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from ratoon_node.peering.wire import Wire
from ratoon_node.runtime import Clock, Spawn, timeout_ms
from ratoon_protocol.errors import Code
from ratoon_protocol.events import Closed, Event
from ratoon_protocol.frames import Packed
from ratoon_protocol.session import PeerSession, State

# Longest sleep of the watch between two looks at the session's deadline.
WATCH_MS_MAX = 10_000
# Records moved from the queue to the session at once.
PUSH_RECORDS_MAX = 256
# Last words to a peer that may not be reading any more.
GOODBYE_MS_MAX = 1000

Handler = Callable[["Link", Event], Awaitable[None]]


class Link:
    """One end of a link. `address` is where it was dialled, None for one that was accepted."""

    def __init__(
        self, session: PeerSession, wire: Wire, clock: Clock, address: str | None, queue_bytes: int
    ) -> None:
        self.session = session
        self.address = address
        self.closed: Closed | None = None
        #: Set when the wire is closed and nothing more happens.
        self.ended = asyncio.Event()
        #: The nodes that this side said it lets in, when it said hello.
        self.admitted: tuple[bytes, ...] = ()
        #: Something for this peer was dropped: only a reconciliation makes it whole again.
        self.behind = asyncio.Event()
        self._wire = wire
        self._clock = clock
        self._queue: deque[Packed] = deque()
        self._queue_bytes = 0
        self._queue_bytes_max = queue_bytes
        self._ready = asyncio.Event()
        self._drained = asyncio.Event()

    @property
    def peer(self) -> bytes:
        """The peer's node account; only once it has introduced itself."""
        assert self.session.peer is not None, "the peer has introduced itself"
        return self.session.peer.account

    @property
    def open(self) -> bool:
        """Whether records may be exchanged."""
        return self.session.state is State.OPEN

    @property
    def over(self) -> bool:
        """Whether the link has ended."""
        return self.session.state is State.CLOSED

    def flush(self) -> None:
        """Write what the session wants to send."""
        self._ready.set()

    def queue(self, items: Iterable[Packed]) -> None:
        """Push records as credit allows; a peer too slow for them is reconciled later instead."""
        for item in items:
            self._queue.append(item)
            self._queue_bytes += item.size
        if self._queue_bytes > self._queue_bytes_max:
            self._queue.clear()
            self._queue_bytes = 0
            self.behind.set()
        self._ready.set()

    async def writable(self) -> None:
        """Return once the session has room for more to send."""
        while self.open and not self.session.can_send:
            self._drained.clear()
            await self._drained.wait()

    async def push(self, items: Sequence[Packed]) -> None:
        """Push records and wait for room: for a peer that is being brought up to date."""
        for item in items:
            while self.open and self._queue_bytes + item.size > self._queue_bytes_max:
                self._ready.set()
                self._drained.clear()
                await self._drained.wait()
            self._queue.append(item)
            self._queue_bytes += item.size
        self._ready.set()

    def close(self, code: Code) -> None:
        """End the link with a word to the peer."""
        self.session.close(code)
        self._ready.set()

    async def run(self, handle: Handler, spawn: Spawn) -> None:
        """Pump until the link ends; every event goes to `handle`, `Closed` last."""
        writer, watch = spawn(self._write(), "link.write"), spawn(self._watch(), "link.watch")
        try:
            await self._read(handle)
        finally:
            self.session.close(Code.SHUTDOWN)
            self._drained.set()
            watch.cancel()
            await self._say_goodbye(writer)
            await self._wire.close()
            self.ended.set()

    async def _say_goodbye(self, writer: asyncio.Task[None]) -> None:
        """Let what is still to be sent go out: the peer learns from it why the link ends."""
        self._ready.set()
        try:
            async with timeout_ms(GOODBYE_MS_MAX):
                await asyncio.wait([writer])
        except TimeoutError:
            pass
        writer.cancel()

    async def _read(self, handle: Handler) -> None:
        while not self.over:
            message = await self._wire.receive()
            if message is None:
                self.session.close(Code.TIMEOUT)
            else:
                self.session.receive(message, self._clock.monotonic_ms())
            await self._tell(handle)
            self._ready.set()
        await self._tell(handle)  # the end, if it was whoever handled the last event who made it

    async def _tell(self, handle: Handler) -> None:
        for event in self.session.events():
            if isinstance(event, Closed):
                self.closed = event
            await handle(self, event)

    async def _write(self) -> None:
        while True:
            self._ready.clear()
            self._push_waiting()
            try:
                for message in self.session.data_to_send():
                    await self._wire.send(message)
                self._drained.set()
            except OSError:  # the connection broke; the reader finds out as well
                self.session.close(Code.TIMEOUT)
            if self.over:
                await self._wire.close()
                return
            await self._ready.wait()

    def _push_waiting(self) -> None:
        while self._queue and self.open and self.session.can_send:
            batch = [self._queue[at] for at in range(min(len(self._queue), PUSH_RECORDS_MAX))]
            taken = self.session.push(batch)
            for _ in range(taken):
                self._queue_bytes -= self._queue.popleft().size
            self._drained.set()
            if taken < len(batch):
                return

    async def _watch(self) -> None:
        while not self.over:
            now_ms = self._clock.monotonic_ms()
            deadline_ms = self.session.next_deadline_ms()
            wait_ms = WATCH_MS_MAX if deadline_ms is None else max(1, deadline_ms - now_ms)
            await self._clock.sleep_ms(min(wait_ms, WATCH_MS_MAX))
            self.session.expire(self._clock.monotonic_ms())
            self._ready.set()
