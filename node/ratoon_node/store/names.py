"""Names that this node gives out, what it found of handles, and which names look alike."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from ratoon_node.store import bulk
from ratoon_node.store.read import IDS_PER_QUERY_MAX

# --- names of this node's domain ---------------------------------------------------------------


def holder(db: sqlite3.Connection, name: str) -> bytes | None:
    """The account that was given a name; whether it still counts is for the caller to see."""
    found = db.execute("SELECT account FROM name WHERE name = ?", (name,)).fetchone()
    return found[0] if found else None


class Held(NamedTuple):
    """A name that was given out; `lapsed_ms` is when it was seen that it no longer counts."""

    name: str
    account: bytes
    at_ms: int
    lapsed_ms: int | None


def held_like(db: sqlite3.Connection, likeness: str) -> Held | None:
    """The name that looks like this."""
    sql = "SELECT name, account, at_ms, lapsed_ms FROM name WHERE likeness = ?"
    found = db.execute(sql, (likeness,)).fetchone()
    return Held(*found) if found else None


def give(db: sqlite3.Connection, name: str, likeness: str, account: bytes, now_ms: int) -> None:
    """Write a name down as an account's."""
    row = (name, likeness, account, now_ms)
    db.execute("INSERT INTO name (name, likeness, account, at_ms) VALUES (?, ?, ?, ?)", row)


def lapse(db: sqlite3.Connection, name: str, now_ms: int | None) -> None:
    """A name no longer counts, from now on; None: it does again."""
    sql = (
        "UPDATE name SET lapsed_ms = CASE WHEN ? IS NULL THEN NULL ELSE coalesce(lapsed_ms, ?) END"
    )
    db.execute(f"{sql} WHERE name = ?", (now_ms, now_ms, name))


def take_back(db: sqlite3.Connection, name: str) -> None:
    """A name is free again."""
    db.execute("DELETE FROM name WHERE name = ?", (name,))


def held_by(db: sqlite3.Connection, account: bytes) -> list[str]:
    """The names of an account, those given last first."""
    sql = "SELECT name FROM name WHERE account = ? ORDER BY at_ms DESC, name"
    found = db.execute(sql, (account,))
    return [name for (name,) in found]


# --- handles ---------------------------------------------------------------------------------


class Due(NamedTuple):
    """A handle whose domain is to be asked."""

    account: int
    id: bytes
    handle: str
    failures: int


def expect(db: sqlite3.Connection, account: int, handles: Sequence[str], now_ms: int) -> None:
    """These are the handles that an account lists now; what was found of others is forgotten."""
    marks = ",".join("?" * len(handles))
    db.execute(
        f"DELETE FROM handle WHERE account = ? AND handle NOT IN ({marks})", (account, *handles)
    )
    db.executemany(
        "INSERT INTO handle (account, handle, place, next_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (account, handle) DO UPDATE SET place = excluded.place",
        [(account, handle, place, now_ms) for place, handle in enumerate(handles)],
    )


def due(db: sqlite3.Connection, now_ms: int, limit: int) -> list[Due]:
    """Handles whose time has come, those that waited longest first."""
    found = db.execute(
        "SELECT handle.account, account.id, handle.handle, handle.failures FROM handle"
        " CROSS JOIN account ON account.n = handle.account"
        " WHERE handle.next_ms <= ? ORDER BY handle.next_ms LIMIT ?",
        (now_ms, limit),
    )
    return [Due(*row) for row in found]


def put_off(db: sqlite3.Connection, turns: Iterable[tuple[Due, int]]) -> None:
    """Not now: come back for each at its time."""
    db.executemany(
        "UPDATE handle SET next_ms = ? WHERE account = ? AND handle = ?",
        [(next_ms, one.account, one.handle) for one, next_ms in turns],
    )


def note_finding(
    db: sqlite3.Connection, asked: Due, verified: bool | None, now_ms: int, next_ms: int
) -> None:
    """What the domain said: it names the account, it does not, or (None) nobody answered."""
    keep = {True: str(now_ms), False: "NULL", None: "verified_ms"}[verified]
    failures = 0 if verified else asked.failures + 1
    db.execute(
        f"UPDATE handle SET verified_ms = {keep}, checked_ms = ?, next_ms = ?, failures = ?"
        " WHERE account = ? AND handle = ?",
        (now_ms, next_ms, failures, asked.account, asked.handle),
    )


def listed_as(db: sqlite3.Connection, account: bytes, handle: str) -> Due | None:
    """The row of one account's handle, if its head lists that."""
    found = db.execute(
        "SELECT handle.account, account.id, handle.handle, handle.failures FROM account"
        " CROSS JOIN handle ON handle.account = account.n AND handle.handle = ?"
        " WHERE account.id = ?",
        (handle, account),
    ).fetchone()
    return Due(*found) if found else None


def verified_account(db: sqlite3.Connection, handle: str, since_ms: int) -> bytes | None:
    """The account whose handle this is, as was found not longer ago than `since_ms`."""
    found = db.execute(
        "SELECT account.id FROM handle CROSS JOIN account ON account.n = handle.account"
        " WHERE handle.handle = ? AND verified_ms >= ? ORDER BY verified_ms DESC LIMIT 1",
        (handle, since_ms),
    ).fetchone()
    return found[0] if found else None


def verified_handles(
    db: sqlite3.Connection, accounts: Collection[int], since_ms: int
) -> dict[int, str]:
    """The first verified handle of each account that has one."""
    found: dict[int, str] = {}
    numbers = list(accounts)
    for at in range(0, len(numbers), IDS_PER_QUERY_MAX):
        some = numbers[at : at + IDS_PER_QUERY_MAX]
        rows = db.execute(
            "SELECT account, handle FROM handle"
            f" WHERE account IN ({','.join('?' * len(some))}) AND verified_ms >= ?"
            " ORDER BY place DESC",
            (*some, since_ms),
        )
        found.update(rows)
    return found


# --- what looks alike ------------------------------------------------------------------------


def forget_likenesses(db: sqlite3.Connection, records: Iterable[int]) -> None:
    """Profiles say nothing any more."""
    db.executemany("DELETE FROM likeness WHERE record = ?", [(n,) for n in records])


def keep_likeness(db: sqlite3.Connection, record: int, account: int, likeness: str) -> None:
    """What the name of a profile looks like."""
    row = (likeness, account, record)
    db.execute("INSERT INTO likeness (likeness, account, record) VALUES (?, ?, ?)", row)


def others_like(db: sqlite3.Connection, looks: Mapping[int, str]) -> set[int]:
    """Of accounts with what their names look like, those that another account resembles."""
    found = db.execute(
        "SELECT wanted.key FROM json_each(?) AS wanted WHERE EXISTS (SELECT 1 FROM likeness"
        " WHERE likeness = wanted.value AND account <> CAST(wanted.key AS INTEGER))",
        (json.dumps(looks),),
    )
    return {int(account) for (account,) in found}


# --- counters --------------------------------------------------------------------------------


class Tally(IntEnum):
    """What is counted."""

    LOCAL_POSTS = 0  # in the list of what people at home here say
    RESIDENTS = 1  # hosting records of this node that hold


def tally(
    db: sqlite3.Connection, before: Iterable[int], now: Iterable[tuple[int, Tally | None]]
) -> None:
    """Count records that may have counted `before` as what they are `now` (None: nothing)."""
    change = Counter[int]()
    for n in before:
        for (what,) in db.execute("DELETE FROM tallied WHERE record = ? RETURNING what", (n,)):
            change[what] -= 1
    counted = [(n, int(what)) for n, what in now if what is not None]
    bulk.insert(db, "tallied (record, what)", counted)
    change.update(what for _, what in counted)
    count(db, change)


def count(db: sqlite3.Connection, change: Mapping[int, int]) -> None:
    """Count some things up or down."""
    db.executemany(
        "INSERT INTO tally (what, count) VALUES (?, ?)"
        " ON CONFLICT (what) DO UPDATE SET count = count + excluded.count",
        [(what, by) for what, by in change.items() if by],
    )


def tallies(db: sqlite3.Connection) -> dict[Tally, int]:
    """All counters."""
    found = dict.fromkeys(Tally, 0)
    found.update((Tally(what), count) for what, count in db.execute("SELECT * FROM tally"))
    return found
