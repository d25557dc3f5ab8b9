"""Whom an account follows, who follows it, its lists: live values of slots, by cursor.

An account may have said two things about one target (its slots were salted twice): the newest
word counts alone.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from ratoon_protocol import kinds

# Nothing newer was said by the same account about the same target: one seek, however often it
# spoke.
_NEWEST = (
    "pointer.record = (SELECT other.record FROM pointer AS other"
    " WHERE other.account = pointer.account AND other.kind = pointer.kind"
    " AND other.target = pointer.target"
    " ORDER BY other.created_ms DESC, other.state DESC, other.record DESC LIMIT 1)"
)


class Said(NamedTuple):
    """What an account says about a target: `state` 0 is that it does no longer."""

    target: bytes
    record: int
    created_ms: int
    state: int


def said_after(
    db: sqlite3.Connection, account: int, kind: int, after: bytes, limit: int
) -> list[Said]:
    """What an account says about targets above `after`, in their order."""
    found = db.execute(
        "SELECT target, record, created_ms, state FROM pointer"
        f" WHERE account = ? AND kind = ? AND target > ? AND {_NEWEST} ORDER BY target LIMIT ?",
        (account, kind, after, limit),
    )
    return list(map(Said._make, found))


class Follower(NamedTuple):
    """Somebody who said something about following; `record` is where the list goes on."""

    record: int
    n: int
    id: bytes
    created_ms: int
    state: int


def followers_before(
    db: sqlite3.Connection, account: bytes, before: int, limit: int
) -> list[Follower]:
    """Who follows an account, or did: those heard of last first."""
    found = db.execute(
        "SELECT pointer.record, account.n, account.id, pointer.created_ms, pointer.state"
        " FROM pointer CROSS JOIN account ON account.n = pointer.account"
        f" WHERE pointer.target = ? AND pointer.kind = ? AND pointer.record < ? AND {_NEWEST}"
        " ORDER BY pointer.record DESC LIMIT ?",
        (account, kinds.FOLLOW, before, limit),
    )
    return list(map(Follower._make, found))


def followers(db: sqlite3.Connection, account: bytes, limit: int) -> list[int]:
    """Numbers of accounts that follow one now, at most so many."""
    found = db.execute(
        "SELECT account FROM pointer WHERE target = ? AND kind = ? AND state = 1"
        f" AND {_NEWEST} LIMIT ?",
        (account, kinds.FOLLOW, limit),
    )
    return [number for (number,) in found]


def count_follows(db: sqlite3.Connection, account: int, limit: int) -> int:
    """How many accounts one follows now, at most so many."""
    found = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM pointer WHERE account = ? AND kind = ? AND state = 1"
        f" AND {_NEWEST} LIMIT ?)",
        (account, kinds.FOLLOW, limit),
    ).fetchone()
    return int(found[0])


def count_posts(db: sqlite3.Connection, account: int, limit: int) -> int:
    """How many of an account's records stand in timelines, at most so many."""
    found = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM record WHERE account = ? AND shown IS NOT NULL"
        " LIMIT ?)",
        (account, limit),
    ).fetchone()
    return int(found[0])
