"""The store of an older program: made by its own migrations, with what is in a newer one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ratoon_node.operate.folder import STORE
from ratoon_node.store import schema


def make_older(folder: Path, version: int) -> None:
    """Put in the place of a folder's store one of the schema `version`, as that program left it.

    Records and what belongs to them are carried over, and nearly all of the journal is left to the
    digest. Up to which record it has looked only the newest programs note.
    """
    newer, older = folder / STORE, folder / f"{STORE}.older"
    with closing(sqlite3.connect(older, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        for number, script in enumerate(schema.MIGRATIONS[:version], start=1):
            for statement in schema._statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
        db.execute("ATTACH ? AS newer", (str(newer),))
        db.execute("BEGIN")
        for table in _tables(db, "main"):
            both = ", ".join(sorted(_columns(db, "main", table) & _columns(db, "newer", table)))
            db.execute(f"DELETE FROM main.{table}")
            db.execute(f"INSERT INTO main.{table} ({both}) SELECT {both} FROM newer.{table}")
        db.execute("UPDATE main.position SET n = 1 WHERE consumer = 'digest'")
        db.execute("DELETE FROM main.position WHERE consumer = 'digest.records'")
        db.execute("COMMIT")
        db.execute("DETACH newer")
    for name in (f"{STORE}-wal", f"{STORE}-shm"):
        (folder / name).unlink(missing_ok=True)
    older.rename(newer)


def _tables(db: sqlite3.Connection, of: str) -> list[str]:
    """Tables of rows; those of words to search for are made anew."""
    rows = db.execute(
        f"SELECT name FROM {of}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " AND name != 'word_shard'"
    )
    return [name for (name,) in rows]


def _columns(db: sqlite3.Connection, of: str, table: str) -> set[str]:
    return {row[1] for row in db.execute(f"PRAGMA {of}.table_info({table})")}
