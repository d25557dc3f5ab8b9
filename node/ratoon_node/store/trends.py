"""Who uses a tag, or answers, shows or likes a post, by the hour: what trends are made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple


class Trend(IntEnum):
    """What can trend; targets are a folded tag, or a post's id."""

    TAG = 0
    POST = 1


Target = str | bytes


class Use(NamedTuple):
    """A record by `author` (this store's number) that uses a target in an hour (since 1970)."""

    record: int
    what: Trend
    target: Target
    hour: int
    author: int


def replace(db: sqlite3.Connection, records: Sequence[int], uses: Sequence[Use]) -> None:
    """Keep these uses of these records and no other."""
    db.executemany("DELETE FROM trend_use WHERE record = ?", [(n,) for n in records])
    db.executemany(
        "INSERT INTO trend_use (record, what, target, hour, author) VALUES (?, ?, ?, ?, ?)", uses
    )


def prune(db: sqlite3.Connection, before_hour: int, rows_max: int, at_once: int) -> None:
    """Take out some of what is older, and of what was noted first if there are too many rows."""
    db.execute(
        "DELETE FROM trend_use WHERE n IN (SELECT n FROM trend_use WHERE hour < ? LIMIT ?)",
        (before_hour, at_once),
    )
    first, last = db.execute(
        "SELECT (SELECT min(n) FROM trend_use), (SELECT max(n) FROM trend_use)"
    ).fetchone()
    if first is not None and last - first >= rows_max:
        highest = min(last - rows_max, first + at_once - 1)
        db.execute("DELETE FROM trend_use WHERE n <= ?", (highest,))


def busiest(
    db: sqlite3.Connection, what: Trend, hours: range, accounts_min: int, limit: int
) -> list[Target]:
    """Targets that enough accounts used within some hours, most accounts first.

    Reads every use of those hours: for the background, not for a request.
    """
    found = db.execute(
        "SELECT target FROM trend_use WHERE hour BETWEEN ? AND ? AND what = ? GROUP BY target"
        " HAVING count(DISTINCT author) >= ?"
        " ORDER BY count(DISTINCT author) DESC, target LIMIT ?",
        (hours[0], hours[-1], what, accounts_min, limit),
    )
    return [target for (target,) in found]


class User(NamedTuple):
    """An account that uses a target, and the newest record in which it does."""

    author: int
    record: int


def users(
    db: sqlite3.Connection, what: Trend, target: Target, hours: range, limit: int
) -> list[User]:
    """Who used a target within some hours, each once."""
    found = db.execute(
        "SELECT author, max(record) FROM trend_use"
        " WHERE what = ? AND target = ? AND hour BETWEEN ? AND ? GROUP BY author LIMIT ?",
        (what, target, hours[0], hours[-1], limit),
    )
    return list(map(User._make, found))


def by_hour(
    db: sqlite3.Connection, what: Trend, target: Target, hours: range, limit: int
) -> list[tuple[int, int]]:
    """(hour, author) of the uses of a target, the newest hours first."""
    return db.execute(
        "SELECT DISTINCT hour, author FROM trend_use"
        " WHERE what = ? AND target = ? AND hour BETWEEN ? AND ? ORDER BY hour DESC LIMIT ?",
        (what, target, hours[0], hours[-1], limit),
    ).fetchall()
