"""Many rows in few statements are the same rows; ids that begin alike are told apart."""

from __future__ import annotations

import sqlite3

import pytest

from ratoon_node.store import bulk, read, references, schema
from ratoon_node.store.rows import Row, row


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 200])
def test_every_row_is_added_once(count: int) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    rows = [(n, str(n)) for n in range(count)]
    assert bulk.insert(db, "t (a, b)", rows) == count
    assert db.execute("SELECT a, b FROM t ORDER BY a").fetchall() == rows
    more = [(n, "again") for n in range(count + 5)]
    assert bulk.insert(db, "t (a, b)", more, "ON CONFLICT DO NOTHING") == 5
    assert db.execute("SELECT count(*) FROM t WHERE b = 'again'").fetchone() == (5,)


def test_ids_that_begin_alike_are_told_apart() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    ids = [b"12345678" + bytes([n]) * 24 for n in range(3)]
    into = f"record ({', '.join(Row._fields)})"
    values = [
        (n, id_, 1, 1, 2, n, 0, None, 0, 0, 0, 0, None, b"", b"", b"") for n, id_ in enumerate(ids)
    ]
    bulk.insert(db, into, values[:2])
    found = {id_: row(fields) for id_, fields in zip(ids, values[:2], strict=False)}
    for id_ in ids:
        assert read.by_id(db, id_) == found.get(id_)
    assert read.by_ids(db, ids) == found
    assert read.known(db, ids).keys() == found.keys()
    assert references.numbers_by_id(db, ids) == {id_: one.n for id_, one in found.items()}
