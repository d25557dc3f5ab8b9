"""The digest goes over the journal once, in order, and neither skips nor stops."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.store import digested, read, schema
from ratoon_node.timeline.digest import Chapter, Digest, Seen
from ratoon_protocol import kinds
from tests.node.world import join, person, running


class Book:
    """A chapter that remembers what it was told; it crashes on one text."""

    def __init__(self, poison: str = "") -> None:
        self.poison = poison
        self.texts: dict[int, str] = {}

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        for one in seen:
            self.texts.pop(one.n, None)
        for one in seen:
            if one.row is not None and one.row.kind == kinds.POST and one.body is not None:
                if self.poison and one.body["text"] == self.poison:
                    raise RuntimeError("poison")
                self.texts[one.n] = one.body["text"]


def follower(node: Node, chapters: Sequence[Chapter]) -> Digest:
    """A digest of its own beside the node's."""
    runtime = node.runtime
    own = node.own.account
    return Digest(node.db, node.fanout, runtime.clock, runtime.spawn, own, chapters)


async def told(node, book: Book, since: int = 0) -> list[str]:
    """Everything the journal says, as a new digest hands it to a chapter."""
    # Or a slice of the node's own one says after that how far it is.
    await node.digest.reached(await node.db.read(read.journal_end))
    await node.db.write(lambda db: digested.save_position(db, since))
    digest = follower(node, [book])
    await digest.start()
    await digest.reached(await node.db.read(read.journal_end))
    return sorted(book.texts.values())


async def test_posts_deletes_and_edits_end_as_they_are_now(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(1), node.runtime.clock)
        await join(node, who)
        posts = [who.post(f"post {n}") for n in range(4)]
        gone = who.sign(kinds.DELETE, {"ids": [posts[1].id]})
        edit = who.sign(kinds.EDIT, {"text": "changed"}, posts[2].id)
        await publish(node, [*posts, gone, edit])
        assert await told(node, Book()) == ["changed", "post 0", "post 3"]


class Fresh:
    """A chapter that notes of which records nothing was kept yet."""

    def __init__(self) -> None:
        self.fresh: dict[int, bool] = {}

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        self.fresh.update((one.n, one.fresh) for one in seen)


async def test_only_what_nobody_has_looked_at_is_fresh(tmp_path: Path) -> None:
    """A replay and a number that is used again must replace what was kept under it."""
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(5), node.runtime.clock)
        await join(node, who)
        await publish(node, [who.post("one")])
        await node.digest.reached(await node.db.read(read.journal_end))
        seen = Fresh()
        digest = follower(node, [seen])
        await node.db.write(lambda db: digested.save_position(db, 0))
        await digest.start()
        await digest.reached(await node.db.read(read.journal_end))
        assert seen.fresh
        assert not any(seen.fresh.values())
        highest = await node.db.read(digested.highest)
        assert highest == max(seen.fresh)
        await node.db.write(lambda db: db.execute("DELETE FROM record WHERE n = ?", (highest,)))
        await publish(node, [who.post("two"), who.post("three")])
        await digest.reached(await node.db.read(read.journal_end))
        assert not seen.fresh[highest]


async def test_in_an_older_store_no_number_that_was_told_of_is_fresh(tmp_path: Path) -> None:
    """Its digest is behind, the newest record is gone, and its number is given again."""
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(5), node.runtime.clock)
        await join(node, who)
        await publish(node, [who.post("one")])
        await node.digest.reached(await node.db.read(read.journal_end))
        number = await node.db.read(read.last_number)
    with closing(sqlite3.connect(tmp_path / "ratoon.sqlite", isolation_level=None)) as db:
        db.execute("DELETE FROM position WHERE consumer = 'digest.records'")
        db.execute("DELETE FROM record WHERE n = ?", (number,))
        db.execute("CREATE INDEX record_account ON record(account)")  # as it was then
        db.execute("PRAGMA user_version = 7")  # before the position was noted
        schema.migrate(db)
        assert digested.highest(db) == number


async def test_what_crashes_a_chapter_costs_one_record(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(2), node.runtime.clock)
        await join(node, who)
        await publish(node, [who.post(f"post {n}") for n in range(600)])
        found = await told(node, Book(poison="post 300"))
        assert len(found) == 599
        assert "post 300" not in found


class Misspelt(Book):
    """A chapter that asks SQLite, for one text, what it cannot answer."""

    def take(self, db: sqlite3.Connection, seen: Sequence[Seen], now_ms: int) -> None:
        if any(one.body is not None and one.body.get("text") == "post 5" for one in seen):
            db.execute("SELECT nothing FROM nowhere")
        super().take(db, seen, now_ms)


async def test_a_statement_that_always_fails_costs_one_record_too(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(4), node.runtime.clock)
        await join(node, who)
        await publish(node, [who.post(f"post {n}") for n in range(10)])
        async with asyncio.timeout(20):
            found = await told(node, Misspelt())
        assert found == [f"post {n}" for n in range(10) if n != 5]


async def test_a_store_that_takes_nothing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever SQLite calls it: once it writes again nothing is missing."""
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(4), node.runtime.clock)
        await join(node, who)
        await publish(node, [who.post("one")])
        await node.db.write(lambda db: digested.save_position(db, 0))
        tries, again = 0, asyncio.Event()

        async def damaged(*_: object) -> None:
            nonlocal tries
            tries += 1
            if tries == 4:  # the slice, its first line, going on without it; the slice once more
                again.set()
            raise sqlite3.DatabaseError("database disk image is malformed")

        book = Book()
        digest = follower(node, [book])
        with monkeypatch.context() as patch:
            patch.setattr(node.db, "write", damaged)
            await digest.start()
            async with asyncio.timeout(20):
                await again.wait()
        async with asyncio.timeout(20):
            await digest.reached(await node.db.read(read.journal_end))
        assert list(book.texts.values()) == ["one"]


async def test_a_second_reading_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(3), node.runtime.clock)
        await join(node, who)
        await publish(node, [who.post(f"post {n}") for n in range(30)])
        book = Book()
        once = await told(node, book)
        assert await told(node, book) == once


async def publish(node, records) -> None:
    from ratoon_node.api.publish import ACCEPTED, API

    outcomes = await node.gate.submit([one.encode() for one in records], API)
    assert {one.code for one in outcomes} <= ACCEPTED


class Sweeping(Book):
    """A chapter whose sweep has a bug."""

    def waits(self, db: sqlite3.Connection) -> bool:
        return True

    def sweep(self, db: sqlite3.Connection) -> None:
        raise RuntimeError("a bug")


async def test_a_sweep_that_crashes_stops_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(4), node.runtime.clock)
        await join(node, who)
        book = Sweeping()
        assert await told(node, book) == []
        digest = follower(node, [book])
        await digest.start()
        for text in ("one", "two"):
            await publish(node, [who.post(text)])
            await digest.reached(await node.db.read(read.journal_end))
        assert sorted(book.texts.values()) == ["one", "two"]
