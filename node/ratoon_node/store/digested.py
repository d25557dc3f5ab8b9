"""What the digest asks the store: records as they are now, and how far it came."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from ratoon_node.store.read import IDS_PER_QUERY_MAX
from ratoon_node.store.rows import Bytes, Row, row
from ratoon_protocol import kinds
from ratoon_protocol.status import Status

_CONSUMER = "digest"
# The row of `position` that says up to which number records were ever looked at.
_RECORDS = "digest.records"
# The strongest disposition whose content may be read: limit (see `policy.verdict`).
_READABLE_MAX = 2


class Taken(NamedTuple):
    """A record with its author."""

    row: Row
    account: bytes

    @property
    def readable(self) -> bool:
        """Whether its content may be read, as far as the record's own row says."""
        return (
            self.row.status is Status.LIVE
            and self.row.bytes_state is Bytes.HERE
            and self.row.disposition <= _READABLE_MAX
        )


_TAKEN = (
    f"SELECT {', '.join('record.' + name for name in Row._fields)}, account.id"
    " FROM {from_} CROSS JOIN account ON account.n = record.account"
)


def _taken(fields: tuple[Any, ...]) -> Taken:
    return Taken(row(fields[:-1]), fields[-1])


def taken(db: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, Taken]:
    """Records by this store's numbers; those that are gone are left out."""
    found: dict[int, Taken] = {}
    for start in range(0, len(numbers), IDS_PER_QUERY_MAX):
        part = numbers[start : start + IDS_PER_QUERY_MAX]
        marks = ",".join("?" * len(part))
        sql = f"{_TAKEN.format(from_='record')} WHERE record.n IN ({marks})"
        for fields in db.execute(sql, part):
            one = _taken(fields)
            found[one.row.n] = one
    return found


def edited_by(db: sqlite3.Connection, edit: int) -> list[Taken]:
    """The posts, of the same account, whose bytes an edit replaces."""
    sql = _TAKEN.format(
        from_="edit CROSS JOIN record ON record.id = edit.post"
        " CROSS JOIN record AS version ON version.n = edit.record"
    )
    found = db.execute(
        f"{sql} WHERE edit.record = ? AND record.account = version.account AND record.kind = ?",
        (edit, kinds.POST),
    )
    return [_taken(fields) for fields in found]


def position(db: sqlite3.Connection) -> int:
    """The last journal line that is in the derived tables."""
    found = db.execute("SELECT n FROM position WHERE consumer = ?", (_CONSUMER,)).fetchone()
    return int(found[0]) if found else 0


def save_position(db: sqlite3.Connection, n: int) -> None:
    """Everything up to line `n` is in the derived tables."""
    _save(db, _CONSUMER, n)


def highest(db: sqlite3.Connection) -> int:
    """The highest number of a record that was ever looked at: of one above it nothing is kept.

    It stays when the position is set back, and a number that is used again lies below it.
    """
    found = db.execute("SELECT n FROM position WHERE consumer = ?", (_RECORDS,)).fetchone()
    return int(found[0]) if found else 0


def begin_highest(db: sqlite3.Connection) -> None:
    """For a store of a program that did not note it: the digest may have looked at all that were
    ever told of, also at those that are gone and whose numbers may be given again.

    Changes nothing where it is noted, or nothing was ever looked at.
    """
    if not highest(db) and position(db):
        found = db.execute("SELECT coalesce(max(record), 0) FROM journal").fetchone()
        save_highest(db, found[0])


def save_highest(db: sqlite3.Connection, n: int) -> None:
    """Records up to number `n` were looked at."""
    _save(db, _RECORDS, n)


def _save(db: sqlite3.Connection, consumer: str, n: int) -> None:
    db.execute(
        "INSERT INTO position (consumer, n) VALUES (?, ?)"
        " ON CONFLICT (consumer) DO UPDATE SET n = excluded.n",
        (consumer, n),
    )
