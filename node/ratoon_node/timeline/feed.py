"""New records to those who follow streams: one read and one encoding, however many follow.

The feed is a consumer of the journal with a position of its own: a commit only wakes it, what it
tells it reads. Subscriptions are inverted: a message goes to those who asked for one of its keys
and wakes nobody else. Followers wait on bounded queues; one that does not keep up loses its queue,
is told so, and catches up from its cursor, which misses nothing. What comes alone goes at once to
those who wait for nothing else: a turn of the event loop each would be half of the time it takes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from ratoon_node.fanout import Committed, Fanout
from ratoon_node.policy import fold
from ratoon_node.store import memory, read
from ratoon_node.store.db import Db
from ratoon_node.store.memory import Changed
from ratoon_node.store.rows import TIMELINE_KINDS, What
from ratoon_node.timeline.visibility import PUBLIC_HIDDEN_FROM, Item, Masked, Sight, Viewer
from ratoon_protocol import bodies, kinds

K = TypeVar("K", bound=Hashable)

# Journal lines read at once: some milliseconds of a reader's time.
READ_MAX = 500
# What may wait in the queues of all followers together; a message counts in each of them, so
# the memory is less: they share it.
WAITING_BYTES_MAX = 64 * 1024 * 1024
# A message beside its records.
MESSAGE_BYTES = 200

#: What followers ask for: a topic's word, and which one of them.
Key = tuple[str, bytes | str]
NETWORK: Key = ("network", "")
LOCAL: Key = ("local", "")


def account_key(account: bytes) -> Key:
    """What an account posts."""
    return ("account", account)


def tag_key(tag: str) -> Key:
    """What is posted with a tag, folded."""
    return ("tag", tag)


def thread_key(root: bytes) -> Key:
    """A post and what is said below it."""
    return ("thread", root)


class Message:
    """Something to tell: a record that can be read now (new, or in other words), or ids of records
    of an account that no longer can.

    `cursor` is the journal line that led to it; `seen_ms` when it was seen that it may be read.
    With `wide` it also goes to whoever asked for more
    than accounts: of what is gone nobody knows any more which tags and threads it had. `json` and
    `packed` are what a layer above made of it, once for everybody.
    """

    __slots__ = (
        "account",
        "cursor",
        "gone",
        "item",
        "json",
        "keys",
        "packed",
        "seen_ms",
        "size",
        "wide",
    )

    def __init__(
        self,
        cursor: int,
        account: bytes,
        seen_ms: int,
        item: Item | None = None,
        gone: Sequence[bytes] = (),
        keys: Sequence[Key] = (),
        wide: bool = False,
    ) -> None:
        self.cursor = cursor
        self.account = account
        self.seen_ms = seen_ms
        self.item = item
        self.gone = tuple(gone)
        self.keys = keys
        self.wide = wide
        self.json = b""
        self.packed = b""
        self.size = MESSAGE_BYTES + (item.card.cost if item else 32 * len(self.gone))


class Waiting:
    """Bytes that wait in all queues."""

    def __init__(self) -> None:
        self.bytes = 0


class Follower:
    """One reader's queue of messages, oldest first; None in `next` says that some were missed."""

    def __init__(self, waiting_max: int, feed: Feed) -> None:
        self._waiting_max = waiting_max
        self._waiting = feed.waiting
        self._queue: deque[Message] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()
        self._missed = False
        #: The reader has told all it got, and waits in `next`.
        self._idle = False
        #: Tells the client a message now, or returns False: then it waits for its turn.
        self.at_once: Callable[[Message], bool] = _not_now
        #: The feed's position when the reader came: what is above it will be offered.
        self.since = feed.position
        #: Those it follows have changed: ask again whom to offer.
        self.stale = False
        #: Where the feed has it on its lists.
        self.keys: list[Key] = []
        self.owner: bytes | None = None

    def offer(self, message: Message, alone: bool = False) -> None:
        """Append a message, or drop all that wait if the reader is too slow. One that comes `alone`
        to a reader that is idle is told at once.
        """
        if self._missed:
            return
        if alone and self._idle and not self._queue and not self.stale and self.at_once(message):
            return
        full = self._waiting.bytes + message.size > WAITING_BYTES_MAX
        if full or len(self._queue) >= self._waiting_max:
            self.clear()
            self._missed = True
        else:
            self._queue.append(message)
            self._count(message.size)
        self._ready.set()

    def clear(self) -> None:
        """Drop what waits."""
        self._queue.clear()
        self._count(-self._bytes)

    def _count(self, size: int) -> None:
        self._bytes += size
        self._waiting.bytes += size

    def refollow(self) -> None:
        """Wake the reader because it follows others now."""
        self.stale = True
        self._ready.set()

    async def next(self) -> Message | None:
        """The next message; None if some were missed, or if `stale` was set."""
        while not self._queue and not self._missed and not self.stale:
            self._ready.clear()
            self._idle = True
            try:
                await self._ready.wait()
            finally:
                self._idle = False
        if self._missed or self.stale:
            self._missed = False
            return None
        message = self._queue.popleft()
        self._count(-message.size)
        return message


class Feed:
    """All followers of one node, by what they want to hear of."""

    def __init__(self, db: Db, fanout: Fanout, sight: Sight, node: bytes) -> None:
        self._db = db
        self._fanout = fanout
        self._sight = sight
        self._node = node
        self._followers: dict[Key, dict[Follower, None]] = {}
        #: Followers that ask for more than accounts: any record may have been shown to them.
        self._wide: dict[Follower, None] = {}
        self._owners: dict[bytes, dict[Follower, None]] = {}
        self._commits = fanout.subscribe()
        self.waiting = Waiting()
        #: Held by whoever reads a step of the past: those who are too slow for what is new catch up
        #: one after the other, or readers of pages would wait behind all of them.
        self.past = asyncio.Lock()
        #: Everything up to here was offered.
        self.position = 0

    def follow(self, follower: Follower, keys: Iterable[Key], owner: bytes | None = None) -> None:
        """Offer what has one of these keys; `owner`'s follows and lists say which they are."""
        self.leave(follower)
        for key in keys:
            self._followers.setdefault(key, {})[follower] = None
            follower.keys.append(key)
            if key[0] != "account":
                self._wide[follower] = None
        if owner is not None:
            self.watch(follower, owner)

    def watch(self, follower: Follower, owner: bytes) -> None:
        """Say when an account follows others or changes a list."""
        self._owners.setdefault(owner, {})[follower] = None
        follower.owner = owner

    def leave(self, follower: Follower) -> None:
        """Offer nothing more."""
        self._wide.pop(follower, None)
        for key in follower.keys:
            _forget(self._followers, key, follower)
        follower.keys.clear()
        if follower.owner is not None:
            _forget(self._owners, follower.owner, follower)
            follower.owner = None

    async def start(self) -> None:
        """Begin at the journal's end; `run` goes on from there."""
        self.position = await self._db.read(read.journal_end)

    async def run(self) -> None:
        """Follow the journal for ever."""
        try:
            while True:
                commit = await self._commits.next()
                self._note_owners(commit)
                if self._followers:
                    await self._advance()
                elif commit is None:
                    self.position = await self._db.read(read.journal_end)
                else:
                    self.position = max(self.position, commit.changes[-1].n)
        finally:
            self._fanout.unsubscribe(self._commits)

    def _note_owners(self, commit: Committed | None) -> None:
        """Those whose follows or lists changed; all of them if commits were missed."""
        if commit is None:
            changed = list(self._owners)
        else:
            changed = [c.account for c in commit.changes if c.kind in (kinds.FOLLOW, kinds.LIST)]
        for account in changed:
            for follower in self._owners.get(account, ()):
                follower.refollow()

    async def _advance(self) -> None:
        """Offer everything that happened since the last time."""
        more = True
        while more:
            since = self.position

            def look(
                db: sqlite3.Connection, viewer: Viewer, since: int = since
            ) -> tuple[list[Message], int, bool]:
                lines = memory.changed(db, since, READ_MAX)
                more = len(lines) == READ_MAX
                messages = told(db, viewer, lines, self._node)
                return messages, lines[-1].position if more else viewer.end, more

            messages, self.position, more = await self._sight.read(look)
            for message in messages:
                self._offer(message, alone=len(messages) == 1)

    def _offer(self, message: Message, alone: bool) -> None:
        concerned = dict.fromkeys(
            follower for key in message.keys for follower in self._followers.get(key, ())
        )
        for follower in concerned:
            follower.offer(message, alone)
        if message.wide:
            for follower in self._wide:
                if follower not in concerned:
                    follower.offer(message, alone)


def _not_now(_: Message) -> bool:
    return False


def _forget(table: dict[K, dict[Follower, None]], key: K, follower: Follower) -> None:
    """Take a follower off one list; an empty list goes too."""
    followers = table.get(key, {})
    followers.pop(follower, None)
    if not followers:
        table.pop(key, None)


def told(
    db: sqlite3.Connection, viewer: Viewer, lines: Sequence[Changed], node: bytes
) -> list[Message]:
    """What some lines of the journal mean to readers, in order of cursors. `node` is the own one.

    A record is told as it is now, once, with the last line about it. Ids of what went away may
    be of records that nobody was shown.
    """
    newest: dict[int, Changed] = {}
    lost: dict[bytes, dict[bytes, int]] = {}
    for line in lines:
        if line.record is None or line.kind is None:
            if line.what == What.REMOVED and line.id is not None and line.account is not None:
                lost.setdefault(line.account, {})[line.id] = line.position
        elif line.kind == kinds.EDIT:
            newest |= dict.fromkeys(memory.posts_of_edit(db, line.record), line)
        elif line.kind in TIMELINE_KINDS:
            newest[line.record] = line
    messages: list[Message] = []
    for line, found in zip(newest.values(), viewer.look_at(list(newest)), strict=True):
        if isinstance(found, Item):
            messages += _of_item(viewer, found, line, node)
        elif isinstance(found, Masked) and (line.what == What.STATUS or line.kind == kinds.EDIT):
            id_ = found.record.id if found.record is not None else line.id
            if id_ is not None:
                lost.setdefault(found.account, {})[id_] = line.position
    for account, ids in lost.items():
        keys = (account_key(account),)
        at, now_ms = max(ids.values()), viewer.now_ms
        messages.append(Message(at, account, now_ms, gone=list(ids), keys=keys, wide=True))
    return sorted(messages, key=lambda message: message.cursor)


def _of_item(viewer: Viewer, item: Item, line: Changed, node: bytes) -> list[Message]:
    """A readable record to those who may hear of it; if it left public places, to those too."""
    account, at, now_ms = item.account, line.position, viewer.now_ms
    own = [account_key(account)]
    public = [NETWORK]
    known = viewer.known(account)
    if known is not None and node in viewer.hosts(known):
        public.append(LOCAL)
    if item.card.kind == kinds.POST:
        own += map(thread_key, dict.fromkeys((item.id, item.body.get("root", item.id))))
        public += map(tag_key, dict.fromkeys(map(fold.tag, bodies.tags(kinds.POST, item.body))))
    if item.verdict < PUBLIC_HIDDEN_FROM:
        return [Message(at, account, now_ms, item, keys=[*own, *public])]
    limited = [Message(at, account, now_ms, item, keys=own)]
    if line.what == What.STATUS:
        limited.append(Message(at, account, now_ms, gone=[item.id], keys=public))
    return limited
