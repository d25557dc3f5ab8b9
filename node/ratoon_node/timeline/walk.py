"""Timelines by cursor: public, one author's, home. Nothing is skipped and nothing comes twice.

A position is the journal number at which a record became readable here, so what arrives late is
new, wherever its own date would put it. Cursors move over hidden records too: a page full of
them does not end the walk, it only comes back short.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ratoon_node.store import listed, read
from ratoon_node.store.listed import Listed
from ratoon_node.timeline.visibility import PUBLIC_HIDDEN_FROM, Item, Viewer
from ratoon_protocol.limits import INT_MAX

# Records looked at for one page: a reader of a place full of hidden ones pays for a few pages
# and gets a cursor to go on from.
LOOKED_AT_MAX = 2000
# Follow records read for one home timeline, unfollows too; nobody reads more.
FOLLOWS_MAX = 10_000
# Rows read at once while merging one author among many: most pages take one or two of each.
ROWS_PER_AUTHOR = 4


class Cursor(NamedTuple):
    """Where to go on: below a position with the newest first, or above it with the oldest first."""

    position: int = INT_MAX
    newest_first: bool = True


class Page(NamedTuple):
    """Readable records, the position to go on from (None: the end), and the journal's end.

    Whoever read the newest page goes on with what is above `end`.
    """

    items: list[Item]
    next: int | None
    end: int


#: Rows beyond a position, in the walk's order, at most so many.
Rows = Callable[[int, int], list[Listed]]


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Every query inside sees the same commit."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")


def public(db: sqlite3.Connection, viewer: Viewer, cursor: Cursor, limit: int) -> Page:
    """What everybody posted, as far as this node carries it and shows it in public."""

    def rows(position: int, count: int) -> list[Listed]:
        find = listed.listed_before if cursor.newest_first else listed.listed_since
        return find(db, position, count)

    with snapshot(db):
        return _page(db, viewer, _one_by_one(rows, cursor.position, limit), limit, in_public=True)


def by_author(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, cursor: Cursor, limit: int
) -> Page:
    """What one account posted."""
    with snapshot(db):
        numbers = listed.numbers_of(db, [account])
        walk = _merged(db, numbers, cursor)
        return _page(db, viewer, walk, limit, in_public=False)


def home(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, cursor: Cursor, limit: int
) -> Page:
    """What an account and those it follows posted."""
    with snapshot(db):
        return _page(db, viewer, _merged(db, followed(db, account), cursor), limit, in_public=False)


def followed(db: sqlite3.Connection, account: bytes) -> list[int]:
    """This store's numbers of an account and of those it follows."""
    own = read.account(db, account)
    if own is None:
        return []
    return [own.n, *listed.numbers_of(db, read.follows(db, own.n, FOLLOWS_MAX))]


def readable(found: object, in_public: bool) -> bool:
    """Whether what `Viewer.look` found belongs into a timeline."""
    if not isinstance(found, Item):
        return False
    return not in_public or found.verdict < PUBLIC_HIDDEN_FROM


def _page(
    db: sqlite3.Connection, viewer: Viewer, walk: Iterator[Listed], limit: int, in_public: bool
) -> Page:
    end = read.journal_end(db)
    items: list[Item] = []
    for looked_at, one in enumerate(walk, start=1):
        found = viewer.look(one)
        if isinstance(found, Item) and readable(found, in_public):
            items.append(found)
        if len(items) == limit or looked_at == LOOKED_AT_MAX:
            return Page(items, one.row.shown, end)
    return Page(items, None, end)


def _one_by_one(rows: Rows, position: int, size: int) -> Iterator[Listed]:
    """Every row beyond a position, read some at a time."""
    while True:
        found = rows(position, size)
        yield from found
        if len(found) < size:
            return
        position = _position(found[-1])


def _merged(db: sqlite3.Connection, accounts: Sequence[int], cursor: Cursor) -> Iterator[Listed]:
    """Rows of many authors in one order: one seek an author, then only rows that are taken."""
    sign = -1 if cursor.newest_first else 1
    ends = listed.newest_of if cursor.newest_first else listed.oldest_of
    find = listed.listed_by_before if cursor.newest_first else listed.listed_by_since
    heap = [(sign * at, account) for at, account in ends(db, accounts, cursor.position)]
    heapq.heapify(heap)
    waiting: dict[int, list[Listed]] = {}
    while heap:
        at, account = heapq.heappop(heap)
        if not waiting.get(account):
            # From just before its next position, so that this very row is read too.
            rows = find(db, account, sign * at - sign, ROWS_PER_AUTHOR)
            waiting[account] = rows[::-1]
        yield waiting[account].pop()
        if waiting[account]:
            heapq.heappush(heap, (sign * _position(waiting[account][-1]), account))
        else:
            for following, _ in ends(db, [account], sign * at):
                heapq.heappush(heap, (sign * following, account))


def _position(one: Listed) -> int:
    assert one.row.shown is not None, "timelines list what has a position"
    return one.row.shown
