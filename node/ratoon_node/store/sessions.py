"""Sessions of people who signed in, and how far they have read: both are no records."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from ratoon_node.store import read
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.operation import Device
from ratoon_protocol.record import decode_payload


class Session(NamedTuple):
    """A device that is signed in. `token` is the hash of what the client holds."""

    token: bytes
    account: bytes
    key: bytes
    made_ms: int
    expires_ms: int


_COLUMNS = ", ".join(Session._fields)


def find(db: sqlite3.Connection, token: bytes) -> Session | None:
    """The session of a hashed token, over or not."""
    found = db.execute(f"SELECT {_COLUMNS} FROM session WHERE token = ?", (token,)).fetchone()
    return Session(*found) if found else None


def add(
    db: sqlite3.Connection, session: Session, now_ms: int, account_max: int, all_max: int
) -> None:
    """Write a session down; those that are over go, then the oldest of too many."""
    db.execute("DELETE FROM session WHERE expires_ms <= ?", (now_ms,))
    db.execute(
        "DELETE FROM session WHERE token IN (SELECT token FROM session WHERE account = ?"
        " ORDER BY made_ms DESC LIMIT -1 OFFSET ?)",
        (session.account, account_max - 1),
    )
    db.execute(
        "DELETE FROM session WHERE token IN (SELECT token FROM session WHERE expires_ms > 0"
        " ORDER BY expires_ms DESC LIMIT -1 OFFSET ?)",
        (all_max - 1,),
    )
    db.execute(f"INSERT INTO session ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", session)


def renew(db: sqlite3.Connection, token: bytes, expires_ms: int) -> None:
    """The session was used: it ends later."""
    db.execute("UPDATE session SET expires_ms = ? WHERE token = ?", (expires_ms, token))


def end(db: sqlite3.Connection, token: bytes) -> None:
    """Sign a client out."""
    db.execute("DELETE FROM session WHERE token = ?", (token,))


def end_all(db: sqlite3.Connection, account: bytes) -> int:
    """Sign every client of an account out; how many there were."""
    return db.execute("DELETE FROM session WHERE account = ?", (account,)).rowcount


def device(db: sqlite3.Connection, account: read.AccountRow, key: bytes) -> Device | None:
    """The row of a device key in the account's head; None if it is not listed there."""
    head = read.by_id(db, account.head) if account.head else None
    if head is None or head.payload is None:
        return None
    try:
        rows = decode_payload(head.payload)["devices"]
    except ProtocolError:  # a disk has changed it
        return None
    return next((Device(*row) for row in rows if row[0] == key), None)


# --- read marks --------------------------------------------------------------------------


def marks(db: sqlite3.Connection, account: bytes) -> dict[str, tuple[int, int]]:
    """(position, when it was set) of each timeline that somebody marked."""
    found = db.execute(
        "SELECT timeline, position, at_ms FROM read_mark WHERE account = ? ORDER BY timeline",
        (account,),
    )
    return {timeline: (position, at_ms) for timeline, position, at_ms in found}


def mark(db: sqlite3.Connection, account: bytes, timeline: str) -> int:
    """How far somebody has read; 0 for nothing yet."""
    found = db.execute(
        "SELECT position FROM read_mark WHERE account = ? AND timeline = ?", (account, timeline)
    ).fetchone()
    return int(found[0]) if found else 0


def set_mark(
    db: sqlite3.Connection,
    account: bytes,
    timeline: str,
    position: int,
    now_ms: int,
    back: bool,
) -> None:
    """Read up to `position`. It moves back only with `back`: devices tell it late."""
    db.execute(
        "INSERT INTO read_mark (account, timeline, position, at_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (account, timeline) DO UPDATE SET position = excluded.position,"
        " at_ms = excluded.at_ms WHERE excluded.position > position OR ?",
        (account, timeline, position, now_ms, back),
    )
