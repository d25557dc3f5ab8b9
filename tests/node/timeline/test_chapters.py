"""Tables of references, opinions and lists hold what a slow look at every record finds."""

from __future__ import annotations

import random
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.policy import fold
from ratoon_node.store import digested, read
from ratoon_node.store.listings import Listing
from ratoon_node.store.rows import COLUMNS, row
from ratoon_node.timeline.digest import Chapter, Digest, Seen, as_edited, body_of
from ratoon_node.timeline.listings import Listings
from ratoon_node.timeline.references import References
from ratoon_protocol import bodies, compose, kinds
from tests.node.timeline.life import Life, picture, tagged
from tests.node.world import running


def slow_look(db: sqlite3.Connection, own: bytes) -> dict[str, set[Any]]:
    """What the tables must hold, from all records there are."""
    found: dict[str, set[Any]] = {"reference": set(), "opinion": set(), "listing": set()}
    for fields in db.execute(f"SELECT {COLUMNS} FROM record ORDER BY n").fetchall():
        one = row(fields)
        taken = digested.taken(db, [one.n])[one.n]
        body = body_of(one) if taken.readable else None
        if body is None:
            continue
        if one.kind == kinds.REACTION and body["state"]:
            found["opinion"].add((one.n, body["target"], body["emoji"]))
        if one.kind == kinds.VOTE and body["choices"]:
            found["opinion"].add((one.n, body["target"], ",".join(map(str, body["choices"]))))
        if one.kind == kinds.REPOST:
            found["reference"].add((one.n, one.shown, None, None, None, body["target"]))
        if one.kind == kinds.POST:
            body = newest_words(db, one.id, one.account, body)
            named = [body.get(name) for name in ("parent", "root", "quote")]
            if any(named):
                found["reference"].add((one.n, one.shown, *named, None))
            tags = {fold.tag(tag) for tag in bodies.tags(kinds.POST, body)}
            found["listing"] |= {(Listing.TAG, tag, one.n) for tag in tags}
            if body.get("media"):
                found["listing"].add((Listing.MEDIA, one.account, one.n))
        if one.shown is not None and own in read.hosts(db, taken.account):
            found["listing"].add((Listing.LOCAL, "", one.n))
    return found


def newest_words(
    db: sqlite3.Connection, post: bytes, account: int, body: dict[str, Any]
) -> dict[str, Any]:
    edits = []
    for fields in db.execute(f"SELECT {COLUMNS} FROM record WHERE kind = ?", (kinds.EDIT,)):
        one = row(fields)
        words = body_of(one) if digested.taken(db, [one.n])[one.n].readable else None
        if one.account == account and words and words["target"] == post:
            edits.append((one.created_ms, one.id, words))
    return compose.edited(body, max(edits)[2]) if edits else body


def tables(db: sqlite3.Connection) -> dict[str, set[Any]]:
    columns = {
        "reference": "record, position, parent, root, quote, repost",
        "opinion": "record, target, value",
        "listing": "what, key, record",
    }
    return {
        name: set(db.execute(f"SELECT {what} FROM {name}").fetchall())
        for name, what in columns.items()
    }


def in_place(db: sqlite3.Connection) -> bool:
    """Whether every entry stands where its post does, or later (an edit put it there)."""
    found = db.execute(
        "SELECT what, position, shown FROM listing JOIN record ON record.n = listing.record"
    )
    return all(
        position >= shown if what != Listing.LOCAL else position == shown
        for what, position, shown in found
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_tables_follow_whatever_happens_and_a_replay_finds_the_same(
    tmp_path: Path, seed: int
) -> None:
    async with running(tmp_path) as node:
        life, own = Life(node, random.Random(seed)), node.own.account
        await life.settle(5)
        for at in range(160):
            await life.step()
            if at % 40 == 39:
                await life.digested()
                wanted = await node.db.read(lambda db: slow_look(db, own))
                found = await node.db.read(tables)
                for name, rows in wanted.items():
                    assert found[name] ^ rows == set(), name
                assert await node.db.read(in_place)
        assert all(len(rows) > 4 for rows in wanted.values()), "the life was worth living"
        await replay(node)
        assert await node.db.read(tables) == wanted
        for name in wanted:
            await node.db.write(partial(clear, name=name))
        await replay(node)
        assert await node.db.read(tables) == wanted


def clear(db: sqlite3.Connection, name: str) -> None:
    db.execute(f"DELETE FROM {name}")


async def replay(node: Any) -> None:
    """Go over the whole journal again with new chapters."""
    await node.db.write(lambda db: digested.save_position(db, 0))
    chapters: list[Chapter] = [References(), Listings(node.own.account)]
    own, runtime = node.own.account, node.runtime
    digest = Digest(node.db, node.fanout, runtime.clock, runtime.spawn, own, chapters)
    await digest.start()
    await digest.reached(await node.db.read(read.journal_end))


async def test_a_tag_that_an_edit_adds_is_new_and_one_that_stays_is_not(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, random.Random(1))
        await life.settle(1)
        ann = life.people[0]
        post = ann.sign(kinds.POST, {"text": "x", **tagged(["cats", "Cats"])})
        await life.publish(post, *[ann.post(f"{n}") for n in range(5)])
        await life.digested()
        before = await node.db.read(places)
        words = tagged(["cats", "news"]) | {"media": [picture(life.rng)]}
        await life.publish(ann.sign(kinds.EDIT, words, post.id))
        await life.digested()
        after = await node.db.read(places)
        stored = await node.db.read(lambda db: read.by_id(db, post.id))
        assert stored is not None
        own = stored.shown
        assert before == {("cats", own)}
        assert ("cats", own) in after
        assert {name for name, at in after if at > own} == {"news", 2}
        assert len(after) == 3


def places(db: sqlite3.Connection) -> set[Any]:
    return {
        (key or what, position) if what != Listing.MEDIA else (what, position)
        for what, key, position in db.execute("SELECT what, key, position FROM listing")
        if what != Listing.LOCAL
    }


async def test_whoever_leaves_takes_the_past_along_and_brings_it_back(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, random.Random(1))
        await life.settle(2)
        ann, ben = life.people
        await life.publish(*[ann.post(f"{n}") for n in range(1200)], ben.post("x"))
        await life.digested()

        async def local() -> int:
            found = await node.db.read(
                lambda db: db.execute("SELECT count(*) FROM listing WHERE what = 1").fetchone()
            )
            return int(found[0])

        assert await local() == 1201
        await node.own.host(ann.account, hosting=False)
        await node.digest.reached(await node.db.read(read.journal_end))
        steps = 1  # the digest may have begun by itself
        while await node.digest._sweep():
            steps += 1
        assert await local() == 1
        await node.own.host(ann.account)
        await life.digested()
        assert await local() == 1201


async def test_what_is_taken_alone_and_together_ends_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, random.Random(4))
        await life.settle(3)
        for _ in range(80):
            await life.step()
        await life.digested()
        wanted = await node.db.read(tables)

        def singly(db: sqlite3.Connection) -> None:
            chapters: list[Chapter] = [References(), Listings(node.own.account)]
            for number in range(1, read.last_number(db) + 1):
                taken = digested.taken(db, [number]).get(number)
                if taken is None:
                    continue
                body = body_of(taken.row) if taken.readable else None
                local = node.own.account in read.hosts(db, taken.account)
                alone = Seen(number, taken.row, taken.account, body, 10**6, False, local)
                (one,) = as_edited(db, [alone])
                for chapter in chapters:
                    chapter.take(db, [one], 0)

        await node.db.write(singly)
        assert await node.db.read(tables) == wanted
