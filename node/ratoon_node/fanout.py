"""Who hears of a commit: bounded queues of what changed, filled once for everybody.

A subscriber that does not keep up loses its queue and is told so; it then catches up from the
journal, which misses nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from ratoon_node.store.rows import Change
from ratoon_protocol.record import Record

# Commits a subscriber may lag behind before it has to catch up from the journal.
COMMITS_WAITING_MAX = 256
# Bytes that those commits may hold in memory.
BYTES_WAITING_MAX = 32 * 1024 * 1024
# A change with its ids; and a record with its header, read and unread, beside its payload.
CHANGE_BYTES = 400
RECORD_BYTES = 1500


class Committed(NamedTuple):
    """One commit: its journal lines, and the records whose bytes it brought and may be shown."""

    changes: tuple[Change, ...]
    records: dict[bytes, Record]

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        payloads = sum(len(record.payload or b"") for record in self.records.values())
        return payloads + CHANGE_BYTES * len(self.changes) + RECORD_BYTES * len(self.records)


class Subscription:
    """One reader's queue. `missed` is set once commits were dropped from it."""

    def __init__(self, waiting_max: int) -> None:
        self._queue: deque[tuple[Committed, int]] = deque()
        self._waiting_max = waiting_max
        self._bytes = 0
        self._ready = asyncio.Event()
        self.missed = False

    def offer(self, commit: Committed, size: int) -> None:
        """Append a commit of `size` bytes, or drop all that wait when the reader is too slow."""
        large = bool(self._queue) and self._bytes + size > BYTES_WAITING_MAX
        if large or len(self._queue) >= self._waiting_max:
            self._queue.clear()
            self._bytes = 0
            self.missed = True
        else:
            self._queue.append((commit, size))
            self._bytes += size
        self._ready.set()

    def drop(self) -> None:
        """Forget what waits: the reader has it from the journal."""
        self._queue.clear()
        self._bytes = 0
        self.missed = False

    @property
    def idle(self) -> bool:
        """Whether nothing happened that the reader has not seen."""
        return not self._queue and not self.missed

    async def next(self) -> Committed | None:
        """The next commit; None once after some were missed: catch up from the journal."""
        while not self._queue and not self.missed:
            self._ready.clear()
            await self._ready.wait()
        if self.missed:
            self.missed = False
            return None
        commit, size = self._queue.popleft()
        self._bytes -= size
        return commit


class Fanout:
    """All subscriptions of one node."""

    def __init__(self) -> None:
        self._subscriptions: dict[Subscription, None] = {}

    def subscribe(self, waiting_max: int = COMMITS_WAITING_MAX) -> Subscription:
        """A queue that gets every commit from now on."""
        subscription = Subscription(waiting_max)
        self._subscriptions[subscription] = None
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a queue."""
        self._subscriptions.pop(subscription, None)

    def publish(self, commit: Committed) -> None:
        """Tell everybody; called on the event loop, after the commit reached the disk."""
        size = commit.size
        for subscription in self._subscriptions:
            subscription.offer(commit, size)
