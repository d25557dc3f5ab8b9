"""Thousands of records come in every way and go in every way; no file keeps a copy of what went.

SQLite moves rows from page to page as tables grow, and what it moved stays where it was until
something else is put there. So a few of very many erased texts would be found, and only with many
neighbours that arrive out of order, as bytes do that come after their headers.
"""

from __future__ import annotations

import random
import sys
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgpack
import pytest

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Parts, Way
from ratoon_protocol import kinds
from ratoon_protocol.limits import DAY_MS
from ratoon_protocol.record import Record
from tests.node.ingest.test_erasure import API, ann_of, secret, settled, vanish
from tests.node.ingest.test_retention import guest
from tests.node.store.btree import stale
from tests.node.world import Person, join, movable, running

BUNDLE = Origin(Way.BUNDLE)
ROUNDS = 5
# Texts from far below a page to beyond one.
SIZES = (30, 60, 120, 120, 200, 200, 300, 300, 500, 900, 3500, 6000)


def needles(one: Record) -> list[bytes]:
    """What would give a payload away: its salt, a part of its words, and the inside of one word,
    as the index has it (which keeps the begin of a word only where it differs from the last).
    """
    assert one.payload is not None
    salt, _, body = msgpack.unpackb(one.payload)
    words = str(body.get("text") or body.get("bio") or "").encode()
    longest = max(words.split(), key=len, default=b"")
    found = [salt, words[4:24], longest[5:17]]
    return [needle for needle in found if len(needle) >= 12]


def left(folder: Path, gone: Iterable[Record]) -> list[str]:
    """Files that hold anything of these records, and what."""
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    wanted = {
        int.from_bytes(needle[:8], sys.byteorder): needle for one in gone for needle in needles(one)
    }
    found = []
    for name, data in files.items():
        # There are thousands: each eight bytes of a file are looked at once, not once a needle.
        for at in range(8):
            eights = array("Q", data[at : at + (len(data) - at) // 8 * 8])
            heads = wanted.keys() & eights
            found += [f"{name}: {wanted[head]!r}" for head in heads if wanted[head] in data]
    return found


def word(rng: random.Random) -> str:
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 9)))


class Crowd:
    """People who write, and what of it is to be gone."""

    def __init__(self, node: Node, rng: random.Random, people: Sequence[Person]) -> None:
        self.node = node
        self.rng = rng
        self.people = people
        self.posts: dict[bytes, list[Record]] = {one.account: [] for one in people}
        self.values: dict[bytes, dict[object, Record]] = {one.account: {} for one in people}
        self.edits: dict[bytes, list[Record]] = {}
        self.late: list[Record] = []
        self.gone: list[Record] = []

    async def send(self, items: Sequence[Record], origin: Origin) -> None:
        """Whole, or (not from people here) some as headers whose bytes come another time."""
        parts: list[Parts] = []
        for one in items:
            header_first = origin is not API and self.rng.random() < 0.5
            payload = None if header_first else one.payload
            self.late += [one] if header_first else []
            parts.append(Parts(one.header_bytes, one.signature, payload))
        outcomes = await self.node.gate.submit(parts, origin)
        assert {outcome.code for outcome in outcomes} <= {"stored", "superseded", "wanted"}

    async def fill(self, share: float, origin: Origin) -> None:
        """Bytes that were missing, in any order."""
        self.rng.shuffle(self.late)
        count = round(len(self.late) * share)
        now, self.late = self.late[:count], self.late[count:]
        await self.node.gate.submit([one.encode() for one in now], origin)

    def write(self, who: Person) -> Record:
        """A post, an edit of one, a profile or a follow; the value that it beats is to be gone."""
        rng, posts = self.rng, self.posts[who.account]
        chance = rng.random()
        if chance < 0.75 or not posts:
            post = who.post(secret(rng, rng.choice(SIZES)))
            posts.append(post)
            return post
        who.clock.offset_ms += 1
        if chance < 0.85:
            post = rng.choice(posts)
            body = {"target": post.id, "text": secret(rng, rng.choice(SIZES))}
            edit = who.sign(kinds.EDIT, body, target=post.id)
            self.edits.setdefault(post.id, []).append(edit)
            return edit
        if chance < 0.93:
            body = {"name": word(rng), "bio": secret(rng, rng.choice((40, 300, 900)))}
            return self._value(who, "profile", who.sign(kinds.PROFILE, body, target=b""))
        target = self.people[rng.randrange(len(self.people))].account
        follow = {"target": target, "state": rng.randint(0, 1)}
        return self._value(who, target, who.sign(kinds.FOLLOW, follow, target=target))

    def _value(self, who: Person, slot: object, value: Record) -> Record:
        before = self.values[who.account].get(slot)
        self.gone += [before] if before is not None else []
        self.values[who.account][slot] = value
        return value

    def delete(self, who: Person, share: float) -> Record | None:
        posts = self.posts[who.account]
        some = self.rng.sample(posts, min(100, round(len(posts) * share)))
        self.posts[who.account] = [one for one in posts if one not in some]
        self.gone += [*some, *(edit for one in some for edit in self.edits.get(one.id, ()))]
        return who.sign(kinds.DELETE, {"ids": [one.id for one in some]}) if some else None


async def live(crowd: Crowd, ways: dict[bytes, Origin]) -> None:
    """Rounds of writing, of bytes that come late, and of deletes."""
    rng = crowd.rng
    for _ in range(ROUNDS):
        for who in crowd.people:
            items = [crowd.write(who) for _ in range(rng.randint(30, 70))]
            rng.shuffle(items)
            await crowd.send(items, ways[who.account])
        await crowd.fill(rng.random(), BUNDLE)
        who = rng.choice(crowd.people)
        if (delete := crowd.delete(who, 0.3)) is not None:
            await crowd.node.gate.submit([delete.encode()], ways[who.account])
    await crowd.fill(1, BUNDLE)


def values_of(crowd: Crowd, who: Person) -> list[Record]:
    """What is current of somebody: all posts, their edits, profile and follows."""
    posts = crowd.posts[who.account]
    edits = [edit for post in posts for edit in crowd.edits.get(post.id, ())]
    return [*posts, *edits, *crowd.values[who.account].values()]


def nothing_left(folder: Path, gone: Sequence[Record]) -> None:
    """No file has anything of these records, and no page anything where no row is."""
    assert stale(folder / "ratoon.sqlite") == []
    assert left(folder, gone) == []


@pytest.mark.parametrize("seed", range(3))
async def test_no_file_has_a_copy_of_what_went(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    async with running(tmp_path, horizon_days=30) as node:
        clock = movable(node.runtime.clock)
        own = [ann_of(node, 20 + at) for at in range(4)]
        for who in own:
            await join(node, who)
        carol, link = await guest(node, clock)
        ways = {who.account: way for who, way in zip(own, (API, BUNDLE, BUNDLE, API), strict=True)}
        ways[carol.account] = link
        crowd = Crowd(node, rng, [*own, carol])
        await live(crowd, ways)
        await settled(node)
        nothing_left(tmp_path, crowd.gone)
        assert len(crowd.gone) > 150
        # Old bytes of people at home elsewhere are dropped, somebody leaves, others write on.
        clock.offset_ms += 40 * DAY_MS
        after: int | None = 0
        while after is not None:
            after = await node.gate.retention.step(after)
        crowd.gone += [*crowd.posts.pop(carol.account)]
        left_out = own[1]
        outcomes = await node.gate.submit([vanish(left_out).encode()], API)
        assert outcomes[0].code == "stored"
        crowd.gone += values_of(crowd, left_out)
        await settled(node)
        nothing_left(tmp_path, crowd.gone)
        crowd.people = [own[0], *own[2:]]
        await crowd.send([crowd.write(own[2]) for _ in range(100)], BUNDLE)
        await crowd.fill(1, BUNDLE)
        await settled(node)
        assert left(tmp_path, crowd.gone) == []
        assert len(left(tmp_path, values_of(crowd, own[2]))) > 100, "what stays is found"
    nothing_left(tmp_path, crowd.gone)
