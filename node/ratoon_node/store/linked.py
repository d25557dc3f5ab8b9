"""Questions of links: whose records a peer may see, and what it says it holds (R-64, R-79)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ratoon_node.store import read
from ratoon_protocol.errors import Code
from ratoon_protocol.kinds import Lane
from ratoon_protocol.status import Status

# Rows looked through for one that a certain node holds.
_LOOKED_MAX = 512


def private_accounts(db: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, bytes]]:
    """(number, id) of accounts with private records here, by number above `after`."""
    found = db.execute(
        "SELECT DISTINCT account.n, account.id FROM chain JOIN account ON account.n = chain.account"
        " WHERE chain.account > ? AND lane >= ? ORDER BY chain.account LIMIT ?",
        (after, int(Lane.SELF), limit),
    )
    return [(number, id_) for number, id_ in found]


def hosts_of(db: sqlite3.Connection, accounts: Sequence[bytes]) -> dict[bytes, frozenset[bytes]]:
    """For each account the nodes that stand for it: those that host it, and itself."""
    return {account: frozenset((*read.hosts(db, account), account)) for account in accounts}


class Held(NamedTuple):
    """A record that a node says it holds, and its payload here."""

    id: bytes
    payload: bytes


def claimed(db: sqlite3.Connection, node: bytes, chance: float) -> Held | None:
    """A record that `node` acknowledged as stored, at a place that `chance` (0 … 1) picks."""
    (last,) = db.execute("SELECT coalesce(max(record), 0) FROM ack").fetchone()
    for start in (int(chance * (last + 1)), 0):
        found = db.execute(
            f"SELECT record FROM (SELECT record, node, code FROM ack WHERE record >= ?"
            f" ORDER BY record LIMIT {_LOOKED_MAX}) WHERE node = ? AND code = ? LIMIT 1",
            (start, node, Code.STORED.value),
        ).fetchone()
        if found is not None:
            row = db.execute(
                "SELECT id, payload FROM record WHERE n = ? AND status = ?",
                (found[0], int(Status.LIVE)),
            ).fetchone()
            return Held(*row) if row is not None and row[1] is not None else None
    return None


def newest_of_others(db: sqlite3.Connection, own: bytes) -> int:
    """The newest `created_ms` among the records that came last and are not by `own`; 0 for none."""
    found = db.execute(
        "SELECT max(created_ms) FROM (SELECT created_ms, account FROM record ORDER BY n DESC"
        " LIMIT 256) WHERE account IS NOT (SELECT n FROM account WHERE id = ?)",
        (own,),
    ).fetchone()
    return found[0] or 0
