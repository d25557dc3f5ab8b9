"""What policy asks of the store, and the marks that it leaves on what is shown."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ratoon_node.store.read import IDS_PER_QUERY_MAX
from ratoon_protocol import kinds

# Labels of all trusted labelers on one record that are looked at.
LABELS_MAX = 64
# Disposition values: see `policy.verdict.Verdict`.
_HOLD = 3


class Marks(NamedTuple):
    """What policy adds to a record that is shown: labels, and that its media is not."""

    labels: tuple[str, ...] = ()
    drop_media: bool = False


NO_MARKS = Marks()


def marks(db: sqlite3.Connection, record: int) -> Marks:
    """As the newest decision about a record (by number) says."""
    found = db.execute(
        "SELECT labels, drop_media FROM decision WHERE record = ? ORDER BY n DESC LIMIT 1",
        (record,),
    ).fetchone()
    return Marks(tuple(found[0].split()), bool(found[1])) if found else NO_MARKS


def given(
    db: sqlite3.Connection, labelers: Sequence[bytes], targets: Sequence[bytes]
) -> list[tuple[bytes, bytes]]:
    """Who of `labelers` labels one of `targets` now, and the payload that says how."""
    who, what = ",".join("?" * len(labelers)), ",".join("?" * len(targets))
    return db.execute(
        "SELECT account.id, record.payload FROM account"
        " CROSS JOIN pointer ON pointer.account = account.n AND pointer.kind = ?"
        f" AND pointer.target IN ({what}) AND pointer.state = 1"
        " JOIN record ON record.n = pointer.record"
        f" WHERE account.id IN ({who}) AND record.payload IS NOT NULL AND record.disposition < ?"
        " LIMIT ?",
        (kinds.LABEL, *targets, *labelers, _HOLD, LABELS_MAX),
    ).fetchall()


def first_seen(db: sqlite3.Connection, accounts: Sequence[bytes]) -> dict[bytes, int]:
    """When those of `accounts` that are known here were first seen."""
    found: dict[bytes, int] = {}
    for at in range(0, len(accounts), IDS_PER_QUERY_MAX):
        part = accounts[at : at + IDS_PER_QUERY_MAX]
        sql = f"SELECT id, first_seen_ms FROM account WHERE id IN ({','.join('?' * len(part))})"
        found.update(db.execute(sql, part).fetchall())
    return found


def follows(db: sqlite3.Connection, who: bytes, whom: bytes) -> bool:
    """Whether an account follows another now."""
    found = db.execute(
        "SELECT pointer.state FROM pointer JOIN account ON account.n = pointer.account"
        " WHERE account.id = ? AND pointer.kind = ? AND pointer.target = ?"
        " ORDER BY pointer.created_ms DESC LIMIT 1",
        (who, kinds.FOLLOW, whom),
    ).fetchone()
    return bool(found and found[0])
