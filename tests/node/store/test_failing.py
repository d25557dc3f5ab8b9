"""An outage is said once when it begins and once when it is over."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ratoon_node.store.db import WRITES_CALM, AioDb
from ratoon_node.store.failing import passes
from tests.node.powercut.vfs import FULL, Powercut


def test_a_full_disk_passes_and_a_wrong_statement_does_not() -> None:
    db = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as wrong:
        db.execute("SELECT nothing")
    db.execute("CREATE TABLE t (data BLOB)")
    db.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        db.execute("INSERT INTO t VALUES (zeroblob(100000))")
    db.close()
    assert (passes(full.value), passes(wrong.value), passes(ValueError())) == (True, False, False)


async def test_a_store_that_cannot_write_says_so_once_and_when_it_can_again(
    tmp_path: Path,
) -> None:
    def change(db: sqlite3.Connection) -> None:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('x', zeroblob(10000))")

    with Powercut() as power:
        db = await AioDb.open(tmp_path / "store.sqlite", vfs=power.vfs)
        with capture_logs() as said:
            for _ in range(3):
                power.fail(FULL)
                with pytest.raises(sqlite3.OperationalError):
                    await db.write(change)
                await db.write(change)
            for _ in range(2 * WRITES_CALM):
                await db.write(change)
        await db.close()
    assert [(line["event"], line.get("failed")) for line in said] == [
        ("store_cannot_write", None),
        ("store_cannot_write_no_more", 3),
    ]
