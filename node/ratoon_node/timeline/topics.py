"""What a stream can be about: what the feed offers it, and how it catches up from the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

from ratoon_node.policy import fold
from ratoon_node.store import digested, listed, listings, memory, references
from ratoon_node.store.listed import Place
from ratoon_node.store.listings import LOCAL_KEY, Listing
from ratoon_node.store.references import Relation
from ratoon_node.timeline import feed, walk
from ratoon_node.timeline.feed import Key, Message
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_node.timeline.walk import Cursor
from ratoon_protocol import kinds

# Records of one step of catching up.
STEP_RECORDS = 200
# Journal lines gone over to tell what went away since a cursor: some 50 ms of a reader's time.
LINES_MAX = 10_000


class Topic(Protocol):
    """One timeline as a stream.

    `derived`: its index lags behind the journal. `owner`: whose follows or lists say what is in
    it. `in_public`: it shows what public timelines show.
    """

    @property
    def derived(self) -> bool:
        """See above."""
        ...

    @property
    def in_public(self) -> bool:
        """See above."""
        ...

    @property
    def owner(self) -> bytes | None:
        """See above."""
        ...

    def keys(self, db: sqlite3.Connection, viewer: Viewer) -> list[Key]:
        """What the feed is to offer."""
        ...

    def places(self, db: sqlite3.Connection, viewer: Viewer, since: int) -> Iterator[Place]:
        """Everything in it above a position, oldest first."""
        ...


class Network:
    """What this node shows in public."""

    derived, in_public, owner = False, True, None

    def keys(self, db: sqlite3.Connection, viewer: Viewer) -> list[Key]:
        """See `Topic`."""
        return [feed.NETWORK]

    def places(self, db: sqlite3.Connection, viewer: Viewer, since: int) -> Iterator[Place]:
        """See `Topic`."""
        return walk.one_by_one(_from(listed.places_since, db), since, STEP_RECORDS)


class Listed:
    """A list that the digest keeps: what people at home here say, or what has a tag."""

    derived, in_public, owner = True, True, None

    def __init__(self, what: Listing, key: str, offered: Key) -> None:
        self._what = what
        self._key = key
        self._offered = offered

    @classmethod
    def local(cls) -> Listed:
        """What people at home here say in public."""
        return cls(Listing.LOCAL, LOCAL_KEY, feed.LOCAL)

    @classmethod
    def tag(cls, tag: str) -> Listed:
        """What has a tag."""
        folded = fold.tag(tag)
        return cls(Listing.TAG, folded, feed.tag_key(folded))

    def keys(self, db: sqlite3.Connection, viewer: Viewer) -> list[Key]:
        """See `Topic`."""
        return [self._offered]

    def places(self, db: sqlite3.Connection, viewer: Viewer, since: int) -> Iterator[Place]:
        """See `Topic`."""

        def places(position: int, limit: int) -> list[Place]:
            return listings.listed_since(db, self._what, self._key, position, limit)

        return walk.one_by_one(places, since, STEP_RECORDS)


class Thread:
    """A post and everything said below the root it belongs to."""

    derived, in_public, owner = True, False, None

    def __init__(self, id_: bytes) -> None:
        self._id = id_

    def _root(self, db: sqlite3.Connection, viewer: Viewer) -> bytes:
        one = listed.listed_id(db, self._id)
        found = viewer.look(one) if one is not None else None
        if isinstance(found, Item) and found.card.kind == kinds.POST:
            return bytes(found.body.get("root", self._id))
        return self._id

    def keys(self, db: sqlite3.Connection, viewer: Viewer) -> list[Key]:
        """See `Topic`."""
        return [feed.thread_key(self._root(db, viewer))]

    def places(self, db: sqlite3.Connection, viewer: Viewer, since: int) -> Iterator[Place]:
        """See `Topic`."""
        root = self._root(db, viewer)

        def places(position: int, limit: int) -> list[Place]:
            return references.referring_since(db, Relation.THREAD, root, position, limit)

        return walk.one_by_one(places, since, STEP_RECORDS)


class Authors:
    """What some accounts post: one, those of a home, the members of a list."""

    derived, in_public = False, False

    def __init__(self, owner: bytes | None, accounts: Accounts) -> None:
        self.owner = owner
        self._accounts = accounts

    @classmethod
    def one(cls, account: bytes) -> Authors:
        """What one account posts."""
        return cls(None, lambda db, viewer: [account])

    @classmethod
    def home(cls, account: bytes) -> Authors:
        """What an account and those it follows post."""

        def followed(db: sqlite3.Connection, viewer: Viewer) -> Sequence[bytes]:
            return [account, *memory.followed_ids(db, account, walk.FOLLOWS_MAX)]

        return cls(account, followed)

    @classmethod
    def members(cls, account: bytes, target: bytes) -> Authors:
        """What the members of an account's list post."""

        def listed(db: sqlite3.Connection, viewer: Viewer) -> Sequence[bytes]:
            return walk.members(db, viewer, account, target) or ()

        return cls(account, listed)

    def keys(self, db: sqlite3.Connection, viewer: Viewer) -> list[Key]:
        """See `Topic`: also those who are not here yet, who may come."""
        return list(map(feed.account_key, dict.fromkeys(self._accounts(db, viewer))))

    def places(self, db: sqlite3.Connection, viewer: Viewer, since: int) -> Iterator[Place]:
        """See `Topic`."""
        numbers = walk.numbers_of(viewer, self._accounts(db, viewer))
        return walk.merged(db, viewer, numbers, Cursor(since, newest_first=False))


#: Says which accounts are in a topic.
Accounts = Callable[[sqlite3.Connection, Viewer], Sequence[bytes]]


def _from(
    find: Callable[[sqlite3.Connection, int, int], list[Place]], db: sqlite3.Connection
) -> Callable[[int, int], list[Place]]:
    return lambda position, limit: find(db, position, limit)


# --- catching up -------------------------------------------------------------------------------


class Step(NamedTuple):
    """What a follower missed, up to a position. `lost`: what went away is not known any more.

    Messages about what went away or changed come first and say nothing new about the position.
    """

    messages: list[Message]
    upto: int
    more: bool
    lost: bool


def catch_up(
    db: sqlite3.Connection,
    viewer: Viewer,
    topic: Topic,
    keys: Collection[Key],
    since: int,
    node: bytes,
) -> Step:
    """The next step from a cursor to now (as far as the topic's index is)."""
    end = min(viewer.end, digested.position(db)) if topic.derived else viewer.end
    places = topic.places(db, viewer, since)
    found, following = walk.take(viewer, places, STEP_RECORDS, topic.in_public)
    upto = max(since, end) if following is None else following
    changed, lost = _changed(db, viewer, keys, since, upto, node)
    now_ms = viewer.now_ms
    new = [Message(place.position, item.account, now_ms, item) for place, item in found]
    return Step([*changed, *new], upto, following is not None, lost)


def _changed(
    db: sqlite3.Connection,
    viewer: Viewer,
    keys: Collection[Key],
    since: int,
    upto: int,
    node: bytes,
) -> tuple[list[Message], bool]:
    """What went away between two positions, and what was shown before and has other words now."""
    if since == 0:  # nothing was shown yet
        return [], False
    if upto - since > LINES_MAX:
        return [], True
    lines = [line for line in memory.changed(db, since, upto - since) if line.position <= upto]
    wide = any(key[0] != "account" for key in keys)
    messages: list[Message] = []
    for message in feed.told(db, viewer, lines, node):
        concerned = (message.wide and wide) or not set(keys).isdisjoint(message.keys)
        if not concerned or (message.item is not None and _is_new(message.item, since)):
            continue
        message.cursor = since
        messages.append(message)
    return messages, False


def _is_new(item: Item, since: int) -> bool:
    return item.position is not None and item.position > since
