"""Timelines that the digest keeps as tables: local, tag, media, an author's replies, and what
refers to a post. They reach as far as the digest does (`Page.end`), which is a moment behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from ratoon_node.policy import fold
from ratoon_node.store import digested, listings, references
from ratoon_node.store.listed import Place
from ratoon_node.store.listings import LOCAL_KEY, Key, Listing
from ratoon_node.store.references import Relation, Reply
from ratoon_node.timeline import walk
from ratoon_node.timeline.visibility import Item, Viewer, snapshot
from ratoon_node.timeline.walk import Cursor, Page

#: Places beyond a position, in one direction, at most so many.
Find = Callable[[int, int], list[Place]]


def local(db: sqlite3.Connection, viewer: Viewer, cursor: Cursor, limit: int) -> Page:
    """What people at home on this node posted, as far as it is shown in public."""
    return _list(db, viewer, Listing.LOCAL, LOCAL_KEY, cursor, limit, in_public=True)


def tag(db: sqlite3.Connection, viewer: Viewer, tag: str, cursor: Cursor, limit: int) -> Page:
    """Posts with a tag, however it is written, as far as they are shown in public."""
    return _list(db, viewer, Listing.TAG, fold.tag(tag), cursor, limit, in_public=True)


def media_by(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, cursor: Cursor, limit: int
) -> Page:
    """An account's posts with media."""
    known = viewer.known(account)
    number = known.n if known is not None else 0
    return _list(db, viewer, Listing.MEDIA, number, cursor, limit, in_public=False)


def own_posts(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, cursor: Cursor, limit: int
) -> Page:
    """What an account posted that answers nobody; no table, so that it is there at once."""
    with snapshot(db):
        places = walk.merged(db, viewer, walk.numbers_of(viewer, [account]), cursor)
        return walk.page(viewer, places, limit, wanted=_answers_nobody)


def _answers_nobody(item: Item, place: Place) -> bool:
    return "parent" not in item.body


def replies_by(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, cursor: Cursor, limit: int
) -> Page:
    """An account's answers to others and to itself."""
    known = viewer.known(account)
    number = known.n if known is not None else 0
    before = partial(references.replies_by_before, db, number)
    since = partial(references.replies_by_since, db, number)
    return _page(db, viewer, before, since, cursor, limit, in_public=False)


def referring(
    db: sqlite3.Connection, viewer: Viewer, how: Relation, id_: bytes, cursor: Cursor, limit: int
) -> Page:
    """What answers, quotes or reposts a post."""
    before = partial(references.referring_before, db, how, id_)
    since = partial(references.referring_since, db, how, id_)
    return _page(db, viewer, before, since, cursor, limit, in_public=False)


def in_thread(db: sqlite3.Connection, viewer: Viewer, root: bytes, before: int, limit: int) -> Page:
    """What stands in the thread of a root (without it) below a position, newest first."""
    with snapshot(db):
        end = digested.position(db)
        find = partial(references.thread_before, db, root)
        places = walk.one_by_one(find, min(before, end + 1), limit)
        return walk.page(viewer, places, limit, end=end, wanted=in_place)


def _list(
    db: sqlite3.Connection,
    viewer: Viewer,
    what: Listing,
    key: Key,
    cursor: Cursor,
    limit: int,
    in_public: bool,
) -> Page:
    before = partial(listings.listed_before, db, what, key)
    since = partial(listings.listed_since, db, what, key)
    return _page(db, viewer, before, since, cursor, limit, in_public)


def _page(
    db: sqlite3.Connection,
    viewer: Viewer,
    before: Find,
    since: Find,
    cursor: Cursor,
    limit: int,
    in_public: bool,
) -> Page:
    with snapshot(db):
        end = digested.position(db)

        def places(position: int, count: int) -> list[Place]:
            if cursor.newest_first:
                return before(position, count)
            return [place for place in since(position, count) if place.position <= end]

        # What stands above the end stands there too early: the digest saw a record as it is now,
        # and comes to that line later.
        start = min(cursor.position, end + 1) if cursor.newest_first else cursor.position
        found = walk.one_by_one(places, start, limit)
        return walk.page(viewer, found, limit, in_public, end, in_place)


def in_place(item: Item, place: Place | Reply) -> bool:
    """Whether an entry is still true: a record that became readable again stands further up."""
    return item.position is not None and item.position <= place.position
