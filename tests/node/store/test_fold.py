"""Folding the log zeroes gaps of pages, and nothing but gaps, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from ratoon_node.store import fold, schema
from ratoon_node.store.db import AioDb
from tests.node.powercut.disk import File, Write
from tests.node.powercut.vfs import FULL, Powercut
from tests.node.store.btree import stale

STORE = "store.sqlite"
ROWS = 600


def text(n: int) -> bytes:
    return random.Random(n).randbytes(40 + n % 7 * 90)


def fill(db: sqlite3.Connection) -> None:
    """Rows whose bytes come after them, in any order, as records' do that were wanted."""
    order = list(range(1, ROWS + 1))
    values = [(n, n.to_bytes(32, "big"), n.to_bytes(160, "big")) for n in order]
    db.executemany(
        "INSERT INTO record (n, id, account, chain, kind, seq, created_ms, status, flags,"
        " disposition, bytes_state, header, signature)"
        " VALUES (?, ?, 1, 1, 1, 1, 1, 1, 0, 0, 1, ?, zeroblob(64))",
        values,
    )
    random.Random(1).shuffle(order)
    db.executemany("UPDATE record SET payload = ? WHERE n = ?", [(text(n), n) for n in order])


def erase(db: sqlite3.Connection) -> None:
    db.execute("UPDATE record SET payload = NULL WHERE n % 2 = 0")


def content(path: Path) -> list[tuple[int, bytes | None]]:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return db.execute("SELECT n, payload FROM record ORDER BY n").fetchall()


EXPECTED = [(n, text(n) if n % 2 else None) for n in range(1, ROWS + 1)]


def old_store(path: Path) -> None:
    """A store of the first schema, as the program that made it left it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA secure_delete = ON")
        for statement in schema._statements(schema.MIGRATIONS[0]):
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
        fill(db)
        erase(db)


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def log_bytes(path: Path) -> int:
    return log_of(path).stat().st_size


def gone_texts(data: bytes) -> list[int]:
    return [n for n in range(2, ROWS + 1, 2) if text(n)[8:32] in data]


async def test_a_store_of_an_older_program_is_cleaned_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / STORE
    old_store(path)
    assert stale(path)
    assert gone_texts(path.read_bytes()), "secure_delete alone leaves copies"
    db = await AioDb.open(path)
    try:
        assert await db.read(schema.version) == len(schema.MIGRATIONS)
        assert stale(path) == []
        assert gone_texts(path.read_bytes()) == []
    finally:
        await db.close()
    assert content(path) == EXPECTED


async def test_what_is_erased_is_gone_and_comes_back_with_no_later_write(tmp_path: Path) -> None:
    path = tmp_path / STORE
    db = await AioDb.open(path)
    try:
        await db.write(fill)
        await db.write(erase)
        assert await db.checkpoint()
        assert stale(path) == []
        assert gone_texts(path.read_bytes()) == []
        # The same pages again, from what the writer remembers of them.
        await db.write(lambda at: at.execute("UPDATE record SET kind = 2, seq = 2"))
        log = log_of(path).read_bytes()
        assert sum(text(n) in log for n in range(1, 100, 14)) == 8, "the pages are in the log"
        assert gone_texts(log) == []
    finally:
        await db.close()
    assert stale(path) == []
    assert content(path) == EXPECTED


def touch(db: sqlite3.Connection, n: int) -> None:
    db.execute("UPDATE record SET seq = seq + 1 WHERE n = ?", (n,))


async def test_a_long_log_is_folded_by_itself(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(fold, "LOG_BYTES_MAX", 100_000)
    path, size = tmp_path / STORE, 0
    db = await AioDb.open(path)
    try:
        await db.write(fill)
        assert log_bytes(path) == 0
        assert stale(path) == []
        for n in range(1, 200):
            await db.write(partial(touch, n=n))
            size = max(size, log_bytes(path))
    finally:
        await db.close()
    assert 50_000 < size < 100_000


def hold(db: sqlite3.Connection, begun: threading.Event, go_on: threading.Event) -> int:
    db.execute("BEGIN")
    before = db.execute("SELECT count(payload) FROM record").fetchone()
    begun.set()
    go_on.wait(30)
    assert db.execute("SELECT count(payload) FROM record").fetchone() == before
    db.execute("COMMIT")
    return int(before[0])


async def test_a_reader_keeps_what_it_reads_and_the_fold_waits(tmp_path: Path) -> None:
    path = tmp_path / STORE
    begun, go_on = threading.Event(), threading.Event()
    db = await AioDb.open(path)
    try:
        await db.write(fill)
        reading = asyncio.ensure_future(db.read(lambda at: hold(at, begun, go_on)))
        await asyncio.to_thread(begun.wait, 30)
        await db.write(erase)
        assert not await db.checkpoint()
        go_on.set()
        assert await reading == ROWS
        assert await db.checkpoint()
        assert stale(path) == []
    finally:
        go_on.set()
        await db.close()
    assert content(path) == EXPECTED


def watch_zeroing(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[File, list[Write]]:
    """The database's file as it was before its gaps are zeroed, and what is written to it then."""
    before = File()
    writes: list[Write] = []
    write: Callable[[int, bytes, int], int] = os.pwrite

    def watched(file: int, data: bytes, place: int) -> int:
        if not writes:
            before.synced[:] = path.read_bytes()
        writes.append(Write(place, data))
        return write(file, data, place)

    monkeypatch.setattr(os, "pwrite", watched)
    return before, writes


async def test_power_may_go_at_any_byte_of_the_zeroing(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / STORE
    db = await AioDb.open(path)
    before, writes = watch_zeroing(path, monkeypatch)
    try:
        await db.write(fill)
        await db.write(erase)
        assert await db.checkpoint()
    finally:
        await db.close()
    assert len(writes) > 20
    before.unsynced = list(writes)
    for seed in range(40):
        (after := tmp_path / f"{seed}.sqlite").write_bytes(before.after_cut(random.Random(seed)))
        assert content(after) == EXPECTED


async def test_a_disk_that_fails_at_the_end_leaves_the_log_to_the_next_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / STORE
    with Powercut() as power:
        db = await AioDb.open(path, vfs=power.vfs)
        await db.write(fill)
        await db.write(erase)
        power.fail(FULL)
        await db.close()
    assert log_bytes(path) > 0
    db = await AioDb.open(path)
    await db.close()
    assert stale(path) == []
    assert content(path) == EXPECTED


async def test_a_file_that_cannot_be_written_is_an_error_of_the_store(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / STORE
    db = await AioDb.open(path)

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    try:
        await db.write(fill)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", broken)
            with pytest.raises(sqlite3.OperationalError, match="Input/output"):
                await db.checkpoint()
            patch.setattr(fold, "LOG_BYTES_MAX", 1)
            await db.write(erase)  # is on the disk, and so it is no error
        assert await db.checkpoint()
    finally:
        await db.close()
    assert stale(path) == []
    assert content(path) == EXPECTED


def page(count: int, end: int, cells: list[int], free: int = 0) -> bytes:
    """A leaf of a table with something in every byte."""
    numbers = (free, count, end)
    head = b"\x0d" + b"".join(n.to_bytes(2, "big") for n in numbers) + b"\0"
    return (head + b"".join(n.to_bytes(2, "big") for n in cells)).ljust(512, b"x")


def test_only_what_no_row_points_into_is_a_gap() -> None:
    assert fold.gap(page(2, 400, [450, 400])) == (12, 400)
    assert fold.gap(page(0, 512, [])) == (8, 512)
    assert fold.gap(page(2, 400, [450, 399])) is None, "a disk has changed a number"
    assert fold.gap(page(2, 400, [450, 400], free=300)) is None
    assert fold.gap(page(2, 513, [513, 513])) is None
    assert fold.gap(page(2, 12, [12, 40])) is None, "a full page"
    assert fold.gap(b"\0" + page(2, 400, [450, 400])[1:]) is None, "no page of a tree"
    assert fold.gap(b"") is None
    zeros = page(2, 400, [450, 400])
    assert fold.gap(zeros[:12] + bytes(388) + zeros[400:]) is None
    first = bytes(100) + page(2, 400, [450, 400])
    assert fold.gap(first, 100) == (112, 400)
