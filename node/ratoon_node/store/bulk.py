"""Many rows in few statements.

A statement gives the interpreter's lock up while it runs and has to get it back, whoever works
meanwhile; and it is started and ended. With many rows in one of them that is paid once for all.

Not for full-text tables: they write down what they have before each statement of many rows, so
that it can be undone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

#: Rows of one statement: these sizes, so that few different statements are compiled.
_SIZES = (64, 8, 1)


def insert(
    db: sqlite3.Connection, into: str, rows: Sequence[Sequence[Any]], after: str = ""
) -> int:
    """Add rows; how many were added. `into`: the table and its columns; `after`: what the statement
    ends with.
    """
    at, count, added = 0, len(rows), 0
    while at < count:
        size = next(size for size in _SIZES if size <= count - at)
        some = rows[at : at + size]
        sql = _statement(into, len(some[0]), size, after)
        added += db.execute(sql, tuple(chain.from_iterable(some))).rowcount
        at += size
    return added


@lru_cache(maxsize=256)
def _statement(into: str, columns: int, rows: int, after: str) -> str:
    one = f"({', '.join('?' * columns)})"
    # What was added before a row that fails stays, and is undone with the transaction: to undo a
    # statement alone, SQLite would keep a copy of each page that it touches.
    return f"INSERT OR FAIL INTO {into} VALUES {', '.join([one] * rows)} {after}"
