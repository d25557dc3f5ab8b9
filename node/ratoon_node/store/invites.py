"""Invitations: what is left of them, and who came by which."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple


class InviteRow(NamedTuple):
    """An invite as stored; `uses` are those left."""

    code: str
    uses: int
    made_ms: int
    expires_ms: int | None
    note: str
    revoked_ms: int | None


class Invited(NamedTuple):
    """Who came by an invite."""

    account: bytes
    code: str
    at_ms: int


def add(
    db: sqlite3.Connection, code: str, uses: int, now_ms: int, expires_ms: int | None, note: str
) -> None:
    """A new invite that lets `uses` accounts in."""
    db.execute(
        "INSERT INTO invite (code, uses, made_ms, expires_ms, note) VALUES (?, ?, ?, ?, ?)",
        (code, uses, now_ms, expires_ms, note),
    )


def use(db: sqlite3.Connection, code: str, account: bytes, now_ms: int) -> bool:
    """Let an account in; False if the invite is unknown, used up, expired or revoked."""
    taken = db.execute(
        "UPDATE invite SET uses = uses - 1 WHERE code = ? AND uses > 0 AND revoked_ms IS NULL"
        " AND (expires_ms IS NULL OR expires_ms > ?)",
        (code, now_ms),
    )
    if taken.rowcount:
        db.execute(
            "INSERT OR REPLACE INTO invited (account, code, at_ms) VALUES (?, ?, ?)",
            (account, code, now_ms),
        )
    return taken.rowcount > 0


def give_back(db: sqlite3.Connection, code: str, account: bytes) -> None:
    """The account did not come in after all."""
    gone = db.execute("DELETE FROM invited WHERE account = ? AND code = ?", (account, code))
    if gone.rowcount:
        db.execute("UPDATE invite SET uses = uses + 1 WHERE code = ?", (code,))


def revoke(db: sqlite3.Connection, code: str, now_ms: int) -> bool:
    """Let nobody in by it any more; False if there is no such invite."""
    found = db.execute(
        "UPDATE invite SET revoked_ms = coalesce(revoked_ms, ?) WHERE code = ?", (now_ms, code)
    )
    return found.rowcount > 0


def newest(db: sqlite3.Connection, limit: int) -> list[InviteRow]:
    """The invites made last, newest first."""
    found = db.execute(
        f"SELECT {', '.join(InviteRow._fields)} FROM invite ORDER BY made_ms DESC LIMIT ?", (limit,)
    )
    return [InviteRow(*row) for row in found]


def come_by(db: sqlite3.Connection, code: str, limit: int) -> list[Invited] | None:
    """Who came by an invite, in the order of their coming; None if there is no such invite."""
    if db.execute("SELECT 1 FROM invite WHERE code = ?", (code,)).fetchone() is None:
        return None
    found = db.execute(
        "SELECT account, code, at_ms FROM invited WHERE code = ? ORDER BY at_ms LIMIT ?",
        (code, limit),
    )
    return [Invited(*row) for row in found]


def came_by(db: sqlite3.Connection, account: bytes) -> str | None:
    """The invite by which an account came."""
    found = db.execute("SELECT code FROM invited WHERE account = ?", (account,)).fetchone()
    return found[0] if found else None
