"""What the digest asks the store: records as they are now, and how far it came."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from ratoon_node.store.arrivals import Arrivals, Taken
from ratoon_node.store.read import IDS_PER_QUERY_MAX
from ratoon_node.store.rows import Row, id_is, row
from ratoon_protocol import kinds

_CONSUMER = "digest"
# The row of `position` that says up to which number records were ever looked at.
_RECORDS = "digest.records"

_TAKEN = (
    f"SELECT {', '.join('record.' + name for name in Row._fields)}, account.id"
    " FROM {from_} CROSS JOIN account ON account.n = record.account"
)


def _taken(fields: tuple[Any, ...]) -> Taken:
    return Taken(row(fields[:-1]), fields[-1])


def taken(
    db: sqlite3.Connection, numbers: Sequence[int], arrivals: Arrivals | None = None
) -> dict[int, Taken]:
    """Records by this store's numbers; those that are gone are left out. What is in `arrivals` is
    taken from there, and read no more.
    """
    found = arrivals.take(numbers) if arrivals is not None else {}
    left = [n for n in numbers if n not in found] if found else numbers
    for start in range(0, len(left), IDS_PER_QUERY_MAX):
        part = left[start : start + IDS_PER_QUERY_MAX]
        marks = ",".join("?" * len(part))
        sql = f"{_TAKEN.format(from_='record')} WHERE record.n IN ({marks})"
        for fields in db.execute(sql, part):
            one = _taken(fields)
            found[one.row.n] = one
    return found


def edited_by(db: sqlite3.Connection, edit: int) -> list[Taken]:
    """The posts, of the same account, whose bytes an edit replaces."""
    sql = _TAKEN.format(
        from_=f"edit CROSS JOIN record ON {id_is('edit.post')}"
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


def save_highest(db: sqlite3.Connection, n: int) -> None:
    """Records up to number `n` were looked at."""
    _save(db, _RECORDS, n)


def _save(db: sqlite3.Connection, consumer: str, n: int) -> None:
    db.execute(
        "INSERT INTO position (consumer, n) VALUES (?, ?)"
        " ON CONFLICT (consumer) DO UPDATE SET n = excluded.n",
        (consumer, n),
    )
