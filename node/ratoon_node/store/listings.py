"""Timelines that are tables: tags, what people at home here say, media of an account.

Derived (`timeline.listings` keeps them). A place is a position and the number of a record.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from ratoon_node.store import bulk, names
from ratoon_node.store.listed import Place
from ratoon_node.store.names import Tally


class Listing(IntEnum):
    """What a table lists; a key says which one of its kind."""

    TAG = 0  # key: the folded tag
    LOCAL = 1  # key: LOCAL_KEY
    MEDIA = 2  # key: the author's number


LOCAL_KEY = ""

Key = str | int


class Entry(NamedTuple):
    """A row: a record in one list."""

    what: int
    key: Key
    position: int
    record: int


# --- what the digest does ----------------------------------------------------------------------


def forget(db: sqlite3.Connection, record: int) -> dict[tuple[int, Key], int]:
    """Take a record out of every list; where it stood, by what and key."""
    found = db.execute(
        "SELECT what, key, position FROM listing WHERE record = ?", (record,)
    ).fetchall()
    db.executemany(
        "DELETE FROM listing WHERE what = ? AND key = ? AND position = ?",
        found,
    )
    _count_local(db, -sum(what == Listing.LOCAL for what, _, _ in found))
    return {(what, key): position for what, key, position in found}


def keep(db: sqlite3.Connection, rows: Sequence[Entry]) -> None:
    """Put records into lists; one that stands there already stays."""
    _keep(db, [one for one in rows if one.what != Listing.LOCAL])
    _count_local(db, _keep(db, [one for one in rows if one.what == Listing.LOCAL]))


def _keep(db: sqlite3.Connection, rows: Sequence[Entry]) -> int:
    into = "listing (what, key, position, record)"
    return bulk.insert(db, into, rows, "ON CONFLICT DO NOTHING")


def _count_local(db: sqlite3.Connection, change: int) -> None:
    if change:
        names.count(db, {Tally.LOCAL_POSTS: change})


def take_out(db: sqlite3.Connection, what: Listing, key: Key, places: Iterable[Place]) -> None:
    """Take records out of one list."""
    gone = db.executemany(
        "DELETE FROM listing WHERE what = ? AND key = ? AND position = ? AND record = ?",
        [(int(what), key, place.position, place.n) for place in places],
    )
    if what is Listing.LOCAL:
        _count_local(db, -gone.rowcount)


# --- who is at home here -------------------------------------------------------------------------


def resident(db: sqlite3.Connection, record: int, account: bytes | None) -> None:
    """A hosting record of this node says that an account lives here; None: nobody any more.

    Whoever it is about, before and now, is put on the list of those to go over.
    """
    before = db.execute(
        "DELETE FROM resident WHERE record = ? RETURNING account", (record,)
    ).fetchall()
    if account is not None:
        db.execute("INSERT INTO resident (record, account) VALUES (?, ?)", (record, account))
    moved = {one for (one,) in before} ^ ({account} if account is not None else set())
    db.executemany(
        "INSERT INTO moving (account, after) SELECT n, 0 FROM account WHERE id = ?"
        " ON CONFLICT (account) DO UPDATE SET after = 0",
        [(one,) for one in moved],
    )


class Moving(NamedTuple):
    """Somebody whose posts are still to be gone over, and how far that came."""

    account: int
    id: bytes
    after: int


def moving(db: sqlite3.Connection) -> Moving | None:
    """The next one to go on with."""
    found = db.execute(
        "SELECT moving.account, account.id, after FROM moving"
        " CROSS JOIN account ON account.n = moving.account ORDER BY moving.account LIMIT 1"
    ).fetchone()
    return Moving(*found) if found else None


def moved(db: sqlite3.Connection, account: int, after: int | None) -> None:
    """How far it came with somebody's posts; None: it is done."""
    if after is None:
        db.execute("DELETE FROM moving WHERE account = ?", (account,))
    else:
        db.execute("UPDATE moving SET after = ? WHERE account = ?", (after, account))


# --- what readers ask ----------------------------------------------------------------------------


def listed_before(
    db: sqlite3.Connection, what: Listing, key: Key, before: int, limit: int
) -> list[Place]:
    """Places in a list below a position, newest first."""
    found = db.execute(
        "SELECT position, record FROM listing WHERE what = ? AND key = ? AND position < ?"
        " ORDER BY position DESC LIMIT ?",
        (int(what), key, before, limit),
    )
    return list(map(Place._make, found))


def listed_since(
    db: sqlite3.Connection, what: Listing, key: Key, since: int, limit: int
) -> list[Place]:
    """Places in a list above a position, oldest first."""
    found = db.execute(
        "SELECT position, record FROM listing WHERE what = ? AND key = ? AND position > ?"
        " ORDER BY position LIMIT ?",
        (int(what), key, since, limit),
    )
    return list(map(Place._make, found))
