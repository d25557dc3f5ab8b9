"""New records to those who follow the stream: one read and one encoding, however many follow.

The feed is a consumer of the journal with a position of its own: a commit only wakes it, what it
sends it reads. Followers wait on bounded queues; one that does not keep up loses its queue, is
told so, and catches up from its cursor, which misses nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable

from ratoon_node.fanout import Committed, Fanout
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import Clock
from ratoon_node.store import listed, read
from ratoon_node.store.db import Db
from ratoon_node.timeline import walk
from ratoon_node.timeline.visibility import Item, Viewer, snapshot
from ratoon_protocol import kinds

# Records read at once: some milliseconds of a reader's time.
READ_MAX = 500


class Follower:
    """One reader's queue of items, oldest first; None in `next` says that some were missed."""

    def __init__(self, waiting_max: int, since: int) -> None:
        self._waiting_max = waiting_max
        self._queue: deque[Item] = deque()
        self._ready = asyncio.Event()
        self._missed = False
        #: The feed's position when the reader came: what is above it will be offered.
        self.since = since
        #: Those it follows have changed: ask again whom to offer.
        self.stale = False
        #: Where the feed has it on its lists.
        self.accounts: list[bytes] = []

    def offer(self, item: Item) -> None:
        """Append an item, or drop all that wait if the reader is too slow."""
        if len(self._queue) >= self._waiting_max:
            self.miss()
        elif not self._missed:
            self._queue.append(item)
            self._ready.set()

    def miss(self) -> None:
        """Drop what waits; the reader catches up from the store."""
        self._queue.clear()
        self._missed = True
        self._ready.set()

    def refollow(self) -> None:
        """Wake the reader because it follows others now."""
        self.stale = True
        self._ready.set()

    async def next(self) -> Item | None:
        """The next item; None if some were missed, or if `stale` was set."""
        while not self._queue and not self._missed and not self.stale:
            self._ready.clear()
            await self._ready.wait()
        if self._missed or self.stale:
            self._missed = False
            return None
        return self._queue.popleft()


class Feed:
    """All followers of one node, by what they want to hear of."""

    def __init__(self, db: Db, fanout: Fanout, clock: Clock, policy: Callable[[], Policy]) -> None:
        self._db = db
        self._fanout = fanout
        self._clock = clock
        self._policy = policy
        self._everything: dict[Follower, None] = {}
        self._by_account: dict[bytes, dict[Follower, None]] = {}
        self._homes: dict[bytes, dict[Follower, None]] = {}
        self._commits = fanout.subscribe()
        #: Everything up to here was offered.
        self.position = 0

    def follow_everything(self, follower: Follower) -> None:
        """Offer what public timelines show."""
        self._everything[follower] = None

    def follow_accounts(self, follower: Follower, accounts: Iterable[bytes]) -> None:
        """Offer what these accounts post."""
        for account in accounts:
            self._by_account.setdefault(account, {})[follower] = None
            follower.accounts.append(account)

    def follow_home(self, follower: Follower, account: bytes, accounts: Iterable[bytes]) -> None:
        """Offer what `accounts` post, and say when `account` follows others."""
        self._homes.setdefault(account, {})[follower] = None
        follower.accounts.append(account)
        self.follow_accounts(follower, accounts)

    def leave(self, follower: Follower) -> None:
        """Offer nothing more."""
        self._everything.pop(follower, None)
        for account in follower.accounts:
            for table in (self._by_account, self._homes):
                followers = table.get(account, {})
                if followers.pop(follower, follower) is None and not followers:
                    del table[account]
        follower.accounts.clear()

    async def start(self) -> None:
        """Begin at the journal's end; `run` goes on from there."""
        self.position = await self._db.read(read.journal_end)

    async def run(self) -> None:
        """Follow the journal for ever."""
        try:
            while True:
                commit = await self._commits.next()
                self._note_follows(commit)
                if self._everything or self._by_account:
                    await self._advance()
                elif commit is None:
                    self.position = await self._db.read(read.journal_end)
                else:
                    self.position = max(self.position, commit.changes[-1].n)
        finally:
            self._fanout.unsubscribe(self._commits)

    def _note_follows(self, commit: Committed | None) -> None:
        """Homes whose owner follows somebody new; all of them if commits were missed."""
        if commit is None:
            changed = list(self._homes)
        else:
            changed = [c.account for c in commit.changes if c.kind == kinds.FOLLOW]
        for account in changed:
            for follower in self._homes.get(account, ()):
                follower.refollow()

    async def _advance(self) -> None:
        """Offer everything that became readable since the last time."""
        while True:
            policy, now_ms, since = self._policy(), self._clock.now_ms(), self.position

            def look(
                db: sqlite3.Connection,
                policy: Policy = policy,
                now_ms: int = now_ms,
                since: int = since,
            ) -> tuple[list[Item], int, bool]:
                viewer = Viewer(db, policy, now_ms)
                with snapshot(db):
                    rows = listed.places_since(db, since, READ_MAX)
                    found = viewer.look_at([row.n for row in rows])
                    more = len(rows) == READ_MAX
                    end = rows[-1].position if more else read.journal_end(db)
                items = [item for item in found if isinstance(item, Item)]
                return items, max(since, end or 0), more

            items, self.position, more = await self._db.read(look)
            for item in items:
                self._offer(item)
            if not more:
                return

    def _offer(self, item: Item) -> None:
        if walk.readable(item, in_public=True):
            for follower in self._everything:
                follower.offer(item)
        for follower in self._by_account.get(item.account, ()):
            follower.offer(item)
