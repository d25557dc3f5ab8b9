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
from ratoon_node.ingest.submission import Origin, Outcome, Way
from ratoon_node.store.db import AioDb
from ratoon_node.store.rows import Change, What
from tests.node.world import Clock, join, person, running


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


async def test_what_is_taken_in_counts_until_it_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path, intake_records_max=10, batch_records_max=4) as node:
        who = person(node.settings.network_bytes, random.Random(2), node.runtime.clock)
        await join(node, who)
        go_on = threading.Event()
        long = asyncio.create_task(node.db.write(lambda db: go_on.wait(30)))
        taken: list[asyncio.Task[list[Outcome]]] = []
        for number in range(8):
            items = [who.post(f"{number} {at}").encode() for at in range(2)]
            taken.append(asyncio.create_task(node.gate.submit(items, Origin(Way.API))))
            await node.db.read(lambda db: None)  # time to check signatures and go on
        go_on.set()
        answers = await asyncio.gather(*taken, return_exceptions=True)
        stored = [one for one in answers if isinstance(one, list)]
        assert 0 < len(stored) <= 5
        await long


async def test_what_waits_at_the_gate_is_written_in_bounded_commits(tmp_path: Path) -> None:
    async with running(tmp_path, batch_records_max=10) as node:
        who = person(node.settings.network_bytes, random.Random(2), node.runtime.clock)
        await join(node, who)
        heard = node.fanout.subscribe()
        posts = [who.post(f"{number}").encode() for number in range(35)]
        await asyncio.gather(*(node.gate.submit([post], Origin(Way.API)) for post in posts))
        sizes: list[int] = []
        while not heard.idle:
            commit = await heard.next()
            assert commit is not None
            sizes.append(len(commit.changes))
        assert sum(sizes) == 35
        assert max(sizes) == 10


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
