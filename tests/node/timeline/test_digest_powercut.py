"""Slices of the digest wait for no disk: what a power cut takes of them is made again."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from ratoon_node.api.publish import API
from ratoon_node.app import Node
from ratoon_node.store import digested, read
from ratoon_node.store.db import AioDb, Db, InlineDb, Replayable
from ratoon_protocol import kinds
from tests.node.powercut.disk import write_out
from tests.node.powercut.vfs import Powercut
from tests.node.timeline.test_chapters import replay, tables
from tests.node.world import Person, join, person, running


async def _live(node: Node, people: list[Person], rng: random.Random) -> None:
    """Say some things, each of which the digest has taken when the next is said."""
    posts = []
    for at in range(rng.randint(1, 6)):
        who = rng.choice(people)
        post = who.post(f"words {at} of this", facets=[[0, 5, 2, "words"]])
        posts.append(post)
        whom = rng.choice(posts)
        said = [post, who.sign(kinds.REACTION, {"emoji": "♥", "state": 1}, whom.id)]
        if rng.random() < 0.3:
            mine = [one.id for one in posts if one.header.account == who.account]
            said.append(who.sign(kinds.DELETE, {"ids": [rng.choice(mine)]}))
        outcomes = await node.gate.submit([one.encode() for one in said], API)
        assert outcomes[0].code == "stored"
        await node.digest.reached(await node.db.read(read.journal_end))


async def test_what_a_power_cut_takes_of_the_digest_is_made_again(tmp_path: Path) -> None:
    lost = 0
    for seed in range(8):
        rng = random.Random(seed)
        before, after = tmp_path / f"{seed}", tmp_path / f"{seed}-after"
        before.mkdir()
        with Powercut() as power:
            async with running(before, seed, vfs=power.vfs) as node:
                people = [person(node.settings.network_bytes, rng, node.runtime.clock)]
                await join(node, people[0])
                await _live(node, people, rng)
                had, end = await node.db.read(tables), node.digest.position
                survivors = power.cut(rng)
        write_out(survivors, after)
        with sqlite3.connect(after / "ratoon.sqlite") as db:
            lost += digested.position(db) < end
        async with running(after, seed) as node:
            assert await node.db.read(read.journal_end) >= end
            await node.digest.reached(await node.db.read(read.journal_end))
            assert await node.db.read(tables) == had
            await replay(node)
            assert await node.db.read(tables) == had
    assert lost, "a cut that takes nothing shows nothing"


@pytest.mark.parametrize("inline", [False, True])
async def test_what_is_synced_takes_along_what_was_not(tmp_path: Path, inline: bool) -> None:
    lost = 0
    for seed in range(20):
        rng = random.Random(seed)
        folder = tmp_path / f"{seed}"
        with Powercut() as power:
            path = tmp_path / f"{seed}.sqlite"
            db: Db = InlineDb(path, power.vfs) if inline else await AioDb.open(path, vfs=power.vfs)
            await db.write(lambda db: db.execute("CREATE TABLE line (n INTEGER)"))
            for n in range(6):

                def add(db: sqlite3.Connection, n: int = n) -> None:
                    db.execute("INSERT INTO line VALUES (?)", (n,))

                await db.write(add if n == 3 else Replayable(add))
            write_out(power.cut(rng), folder)
            await db.close()
        with sqlite3.connect(folder / f"{seed}.sqlite") as found:
            lines = [n for (n,) in found.execute("SELECT n FROM line")]
            assert found.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert len(lines) >= 4
        assert lines == list(range(len(lines)))
        lost += len(lines) < 6
    assert lost, "a cut that takes nothing shows nothing"
