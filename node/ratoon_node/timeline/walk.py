"""Timelines by cursor: network, one author's, home. Nothing is skipped and nothing comes twice.

A position is the journal number at which a record became readable here, so what arrives late is
new, wherever its own date would put it. Cursors move over hidden records too: a page full of
them does not end the walk, it only comes back short.

A walk is a row of places, read from indexes alone; `page` looks at the records they name.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ratoon_node.store import listed, read
from ratoon_node.store.listed import Place
from ratoon_node.timeline.cards import PLACES_MAX
from ratoon_node.timeline.visibility import PUBLIC_HIDDEN_FROM, Item, Viewer, snapshot
from ratoon_protocol import kinds
from ratoon_protocol.limits import INT_MAX

# Records looked at for one page: a reader of a place full of hidden ones pays for a few pages
# and gets a cursor to go on from.
LOOKED_AT_MAX = 2000
# Follow records read for one home timeline, unfollows too; nobody reads more.
FOLLOWS_MAX = 10_000
# Places read at once while merging one author among many: most pages take one or two of each.
PLACES_PER_AUTHOR = 8


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


#: Places beyond a position, in the walk's order, at most so many.
Places = Callable[[int, int], list[Place]]


def network(db: sqlite3.Connection, viewer: Viewer, cursor: Cursor, limit: int) -> Page:
    """What everybody posted, as far as this node carries it and shows it in public."""

    def places(position: int, count: int) -> list[Place]:
        find = listed.places_before if cursor.newest_first else listed.places_since
        return find(db, position, count)

    with snapshot(db):
        return page(viewer, one_by_one(places, cursor.position, limit), limit, in_public=True)


def by_author(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, cursor: Cursor, limit: int
) -> Page:
    """What one account posted."""
    with snapshot(db):
        return page(viewer, merged(db, viewer, numbers_of(viewer, [account]), cursor), limit)


def by_authors(
    db: sqlite3.Connection, viewer: Viewer, accounts: Sequence[bytes], cursor: Cursor, limit: int
) -> Page:
    """What some accounts posted (a list's members)."""
    with snapshot(db):
        return page(viewer, merged(db, viewer, numbers_of(viewer, accounts), cursor), limit)


def home(
    db: sqlite3.Connection, viewer: Viewer, account: bytes, cursor: Cursor, limit: int
) -> Page:
    """What an account and those it follows posted."""
    with snapshot(db):
        return page(viewer, merged(db, viewer, followed(db, viewer, account), cursor), limit)


def followed(db: sqlite3.Connection, viewer: Viewer, account: bytes) -> Sequence[int]:
    """This store's numbers of an account and of those it follows."""
    own = viewer.known(account)
    if own is None:
        return []
    return viewer.cards.home(db, own.n, viewer.end, FOLLOWS_MAX)


def numbers_of(viewer: Viewer, accounts: Sequence[bytes]) -> list[int]:
    """This store's numbers of those accounts that are here."""
    return list(dict.fromkeys(one.n for one in map(viewer.known, accounts) if one is not None))


def members(
    db: sqlite3.Connection, viewer: Viewer, owner: bytes, target: bytes
) -> tuple[bytes, ...] | None:
    """Who is on an account's list now; None if there is no such list to be read."""
    known = viewer.known(owner)
    row = read.current(db, known.n, kinds.LIST, target) if known is not None else None
    found = viewer.look_at([row.n])[0] if row is not None else None
    if not isinstance(found, Item) or not found.body["state"]:
        return None
    return tuple(found.body["members"])


def readable(found: object, in_public: bool) -> bool:
    """Whether what a `Viewer` found belongs into a timeline."""
    if not isinstance(found, Item):
        return False
    return not in_public or found.verdict < PUBLIC_HIDDEN_FROM


def _any(item: Item, place: Place) -> bool:
    return True


def page(
    viewer: Viewer,
    walk: Iterator[Place],
    limit: int,
    in_public: bool = False,
    end: int | None = None,
    wanted: Callable[[Item, Place], bool] = _any,
) -> Page:
    """The next readable records of a walk. `end`: how far its index is, if not the journal's."""
    found, following = take(viewer, walk, limit, in_public, wanted)
    end = viewer.end if end is None else end
    return Page([item for _, item in found], following, end)


def take(
    viewer: Viewer,
    walk: Iterator[Place],
    limit: int,
    in_public: bool = False,
    wanted: Callable[[Item, Place], bool] = _any,
) -> tuple[list[tuple[Place, Item]], int | None]:
    """The next readable records of a walk with their places, and the position to go on from."""
    found: list[tuple[Place, Item]] = []
    looked_at = 0
    while True:
        most = min(limit - len(found), LOOKED_AT_MAX - looked_at)
        part = list(islice(walk, most))
        seen = viewer.look_at([place.n for place in part])
        for place, one in zip(part, seen, strict=True):
            if isinstance(one, Item) and readable(one, in_public) and wanted(one, place):
                found.append((place, one))
        looked_at += len(part)
        if len(part) < most:
            return found, None
        if len(found) == limit or looked_at == LOOKED_AT_MAX:
            return found, part[-1].position


def one_by_one(places: Places, position: int, size: int) -> Iterator[Place]:
    """Every place beyond a position, read some at a time."""
    while True:
        found = places(position, size)
        yield from found
        if len(found) < size:
            return
        position = found[-1].position


# --- many authors in one order -----------------------------------------------------------


def merged(
    db: sqlite3.Connection, viewer: Viewer, accounts: Sequence[int], cursor: Cursor
) -> Iterator[Place]:
    """Places of many authors in one order: from memory where it reaches, else one seek an author;
    then only places that are taken.
    """
    sign = -1 if cursor.newest_first else 1
    # (order, author's number, places known to follow, where among them); all numbers differ.
    heap: list[tuple[int, int, Sequence[int], int]] = []
    seek: list[int] = []
    remembered = _next_newest if cursor.newest_first else _next_oldest
    newest = viewer.cards.newest(db, accounts, viewer.end)
    # What is newest of all stands first, and nearly every page begins there.
    top = min(cursor.position, viewer.end + 1) if cursor.newest_first else 0
    for account, known in zip(accounts, newest, strict=True):
        if known and known[0] < top:
            heap.append((-known[0], account, known, 0))
            continue
        first = remembered(known, cursor.position, viewer.end)
        if first is None:
            seek.append(account)
        elif first >= 0:
            heap.append((sign * known[first], account, known, first))
    ends = listed.newest_of if cursor.newest_first else listed.oldest_of
    for position, account in ends(db, seek, cursor.position) if seek else ():
        heap.append((sign * position, account, (), 0))
    heapq.heapify(heap)
    find = listed.places_by_before if cursor.newest_first else listed.places_by_since
    step = -2 * sign
    while heap:
        order, account, places, at = heap[0]
        if not 0 <= at < len(places):
            # From just before its next position, so that this very place is read too.
            rows = find(db, account, sign * order - sign, PLACES_PER_AUTHOR)
            places, at = _flat(rows, sign), 0 if sign < 0 else 2 * len(rows) - 2
        yield Place(places[at], places[at + 1])
        at += step
        if not 0 <= at < len(places):
            rows = find(db, account, sign * order, PLACES_PER_AUTHOR)
            places, at = _flat(rows, sign), 0 if sign < 0 else 2 * len(rows) - 2
        if places:
            heapq.heapreplace(heap, (sign * places[at], account, places, at))
        else:
            heapq.heappop(heap)


def _flat(rows: Sequence[Place], sign: int) -> list[int]:
    """Places as they are remembered: position, number, and so on, the newest first."""
    return [number for place in rows[::-sign] for number in place]


def _next_newest(places: Sequence[int], before: int, end: int) -> int | None:
    """Where an author's newest place below a position is among those remembered.

    -1: there is none at all; None: memory does not reach. It may know more than the snapshot.
    """
    for at in range(0, len(places), 2):
        if places[at] <= end and places[at] < before:
            return at
    return -1 if len(places) < 2 * PLACES_MAX else None


def _next_oldest(places: Sequence[int], since: int, end: int) -> int | None:
    """As `_next_newest`, for the oldest place above a position."""
    found = -1
    for at in range(0, len(places), 2):
        if places[at] <= since:
            return found
        if places[at] <= end:
            found = at
    return found if len(places) < 2 * PLACES_MAX else None
