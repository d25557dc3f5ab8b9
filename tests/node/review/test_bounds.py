"""What waits is bounded, and whoever is slow holds up nobody else."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
import tracemalloc
from pathlib import Path

from ratoon_node.fanout import (
    BYTES_WAITING_MAX,
    COMMITS_WAITING_MAX,
    RECORD_BYTES,
    Committed,
    Fanout,
)
from ratoon_node.store.db import AioDb
from ratoon_node.store.rows import Change, What
from tests.node.world import Clock, person


def commit_of(size: int) -> Committed:
    who = person(b"ratoon\x00\x01", random.Random(1), Clock())
    record = who.post("x")._replace(payload=bytes(size))
    return Committed((), {record.id: record})


async def test_commits_that_wait_are_bounded_by_their_bytes() -> None:
    fanout = Fanout()
    slow = fanout.subscribe()
    half = commit_of(BYTES_WAITING_MAX // 2 - RECORD_BYTES)
    fanout.publish(half)
    fanout.publish(half)
    assert await slow.next() is half
    fanout.publish(half)
    fanout.publish(half)
    assert await slow.next() is None
    large = commit_of(BYTES_WAITING_MAX)
    fanout.publish(large)
    assert await slow.next() is large


def changes_of(count: int, seed: int) -> Committed:
    rng = random.Random(seed)
    return Committed(
        tuple(
            Change(n, What.ADDED, rng.randbytes(32), rng.randbytes(32), 16, 1 << 40, True, False)
            for n in range(1000, 1000 + count)
        ),
        {},
    )


async def test_commits_without_bytes_are_bounded_too() -> None:
    fanout = Fanout()
    slow = fanout.subscribe()
    tracemalloc.start()
    waiting = 0
    for seed in range(COMMITS_WAITING_MAX):
        fanout.publish(changes_of(1000, seed))
        waiting = max(waiting, tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert await slow.next() is None
    assert BYTES_WAITING_MAX // 2 < waiting < BYTES_WAITING_MAX


async def test_commits_that_wait_are_bounded_by_their_number() -> None:
    fanout = Fanout()
    slow = fanout.subscribe()
    commits = [changes_of(1, seed) for seed in range(COMMITS_WAITING_MAX + 2)]
    for commit in commits:
        fanout.publish(commit)
    assert await slow.next() is None
    assert await slow.next() is commits[-1]
    assert slow.idle


def hold(db: sqlite3.Connection, begun: threading.Event, go_on: threading.Event) -> None:
    """A reader in the middle of something long."""
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM record").fetchone()
    begun.set()
    go_on.wait(30)
    db.execute("COMMIT")


async def test_a_long_read_holds_up_neither_readers_nor_the_writer(tmp_path: Path) -> None:
    db = await AioDb.open(tmp_path / "store.sqlite", readers=2)
    begun, go_on = threading.Event(), threading.Event()
    try:
        long_one = asyncio.ensure_future(db.read(lambda at: hold(at, begun, go_on)))
        await asyncio.to_thread(begun.wait, 30)
        for _ in range(4):
            async with asyncio.timeout(2):
                await db.read(lambda at: at.execute("SELECT 1").fetchone())
        await db.write(lambda at: at.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')"))
        async with asyncio.timeout(2):
            assert not await db.checkpoint()
        go_on.set()
        await long_one
        assert await db.checkpoint()
    finally:
        go_on.set()
        await db.close()
