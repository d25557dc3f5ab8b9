"""Notifications by cursor, as they may be read now: what is hidden or gone is not among them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ratoon_node.store import notices
from ratoon_node.store.notices import Line, Notice
from ratoon_node.timeline.visibility import Item, Masked, Viewer
from ratoon_node.timeline.walk import Cursor

# Lines looked at for one page: whoever was told of much that is hidden goes on from the cursor.
LOOKED_AT_MAX = 500
# Lines looked at to count what is unread; above it the count says "at least".
UNREAD_MAX = 200

#: Everything.
ALL = tuple(Notice)
# About a record of one's own: nothing is left to tell once that is gone.
_NEEDS_TARGET = frozenset({Notice.REPOST, Notice.REACTION})


class Notification(NamedTuple):
    """Something a person is told; `target` is the id of their record that it is about.

    `id` and `account` are those of the record that says so. `record` is masked only for what
    became of a report, which may be just that.
    """

    line: Line
    id: bytes
    account: bytes
    record: Item | Masked
    target: bytes | None


class Inbox(NamedTuple):
    """A page: `next` is the place to go on from (None: the end), `end` where new ones begin."""

    items: list[Notification]
    next: int | None
    end: int


class Unread(NamedTuple):
    """How much is above a place, by kind; `more`: at least so much."""

    counts: dict[Notice, int]
    more: bool


def page(
    db: sqlite3.Connection,
    viewer: Viewer,
    account: int,
    cursor: Cursor,
    only: Sequence[Notice],
    limit: int,
) -> Inbox:
    """Notifications of an account (by this store's number) beyond a place."""
    end = notices.end(db)
    find = notices.before if cursor.newest_first else notices.since
    items: list[Notification] = []
    position, looked_at = cursor.position, 0
    while looked_at < LOOKED_AT_MAX:
        lines = find(db, account, position, only, limit)
        for found in _readable(db, viewer, lines):
            position = found[0].n
            looked_at += 1
            if found[1] is not None:
                items.append(found[1])
            if len(items) == limit:
                return Inbox(items, position, end)
        if len(lines) < limit:
            return Inbox(items, None, end)
    return Inbox(items, position, end)


def unread(db: sqlite3.Connection, viewer: Viewer, account: int, mark: int) -> Unread:
    """What an account was told above a place and can still read."""
    lines = notices.since(db, account, mark, ALL, UNREAD_MAX)
    counts: dict[Notice, int] = {}
    for line, found in _readable(db, viewer, lines):
        if found is not None:
            counts[line.what] = counts.get(line.what, 0) + 1
    return Unread(counts, len(lines) == UNREAD_MAX)


def _readable(
    db: sqlite3.Connection, viewer: Viewer, lines: Sequence[Line]
) -> list[tuple[Line, Notification | None]]:
    """Each line with what is told of it now; None for what is hidden."""
    targets = [line.target for line in lines if line.target is not None]
    shown = dict(zip(targets, viewer.look_at(targets), strict=True))
    records = [line.record for line in lines]
    ids = notices.ids_of(db, [*targets, *records])
    found: list[tuple[Line, Notification | None]] = []
    for line, record in zip(lines, viewer.look_at(records), strict=True):
        made: Notification | None = None
        if isinstance(record, Item) or (record is not None and line.what is Notice.REPORT):
            target = shown.get(line.target) if line.target is not None else None
            if isinstance(target, Item) or line.what not in _NEEDS_TARGET:
                id_ = ids.get(line.target) if line.target is not None else None
                made = Notification(line, ids[line.record], record.account, record, id_)
        found.append((line, made))
    return found
