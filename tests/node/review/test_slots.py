"""A slot costs the same however many revoked values a thief has left in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ratoon_node.store import index
from ratoon_node.store.db import AioDb
from ratoon_node.store.rows import Flag
from ratoon_protocol import kinds

VALUES = 20_000
SLOT = bytes(16)
ADD = (
    "INSERT INTO record (id, account, chain, kind, seq, created_ms, slot, status, flags,"
    " disposition, bytes_state, header, signature)"
    " VALUES (?, 1, 1, ?, ?, ?, ?, 0, ?, 0, 0, x'', x'')"
)


async def test_the_winner_is_found_without_walking_over_what_was_revoked(tmp_path: Path) -> None:
    db = await AioDb.open(tmp_path / "store.sqlite")

    def fill(at: sqlite3.Connection) -> None:
        rows = [(n, Flag.REVOKED if n else 0) for n in range(VALUES)]
        at.executemany(
            ADD, ((n.to_bytes(32), kinds.REACTION, n, n, SLOT, int(flag)) for n, flag in rows)
        )

    def steps(at: sqlite3.Connection) -> int:
        """Hundreds of steps of SQLite's machine that one look-up takes."""
        count = 0

        def one() -> int:
            nonlocal count
            count += 1
            return 0

        at.set_progress_handler(one, 100)
        winner = index.slot_winner(at, 1, SLOT, kinds.REACTION)
        at.set_progress_handler(None, 0)
        assert winner is not None
        assert winner.seq == 0
        return count

    try:
        await db.write(fill)
        assert await db.read(steps) < 5
    finally:
        await db.close()
