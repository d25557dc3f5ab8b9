"""What is deleted, superseded or vanished leaves no byte in any file, and never a word in a log."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import msgpack
import pytest
import structlog

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.policy.naming import likeness
from ratoon_node.store import read
from ratoon_protocol import kinds, record
from ratoon_protocol.author import Draft
from ratoon_protocol.bodies import FACET_TAG
from ratoon_protocol.operation import parse_operation
from ratoon_protocol.record import Record
from tests.node.world import Clock, Person, join, person, running

API = Origin(Way.API)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def traces(folder: Path, gone: Iterable[Record]) -> list[str]:
    """Files that still hold a gone payload: its words, its body on the wire, or its salt."""
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = []
    for one in gone:
        assert one.payload is not None
        salt, _, body = msgpack.unpackb(one.payload)
        words = body.get("text") or body.get("bio") or ""
        needles = [one.payload, msgpack.packb(body), salt, words.encode(), words.encode()[8:40]]
        for name, data in files.items():
            found += [f"{name}: {needle!r}" for needle in needles if needle and needle in data]
    return found


def words_of(one: Record) -> str:
    assert one.payload is not None
    return str(record.decode_payload(one.payload)["text"])


def ann_of(node: Node, seed: int = 2) -> Person:
    clock = node.runtime.clock
    assert isinstance(clock, Clock)
    return person(node.settings.network_bytes, random.Random(seed), clock)


async def publish(node: Node, items: Iterable[Record]) -> None:
    outcomes = await node.gate.submit([one.encode() for one in items], API)
    assert {outcome.code for outcome in outcomes} == {"stored"}


async def settled(node: Node) -> None:
    """Return once what was published is in the tables made from it, and nothing else is."""
    await node.gate.settled()
    await node.digest.reached(await node.db.read(read.journal_end))
    await node.cleaner.clean()


def secret(rng: random.Random, size: int) -> str:
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(size))


@pytest.mark.parametrize("seed", range(4))
async def test_deleted_words_are_in_no_file(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with structlog.testing.capture_logs() as logs:
        async with running(tmp_path) as node:
            ann, bob = ann_of(node), ann_of(node, 3)
            await join(node, ann)
            await join(node, bob)
            gone: list[Record] = []
            for _ in range(12):
                # Sizes around pages and overflow pages, among others that stay.
                mine = [ann.post(secret(rng, rng.choice((40, 300, 3500, 8000)))) for _ in range(9)]
                await publish(node, [*mine, *(bob.post(secret(rng, 200)) for _ in range(9))])
                gone += rng.sample(mine, 5)
                if rng.random() < 0.5:
                    continue
                named = [one.id for one in gone[-7:]]
                await node.gate.submit([ann.sign(kinds.DELETE, {"ids": named}).encode()], API)
            rest = [ann.sign(kinds.DELETE, {"ids": [one.id for one in gone[at : at + 100]]})
                    for at in range(0, len(gone), 100)]  # fmt: skip
            await publish(node, rest)
            await settled(node)
            assert traces(tmp_path, gone) == []
            await publish(node, [ann.post(secret(rng, 300)) for _ in range(50)])
            assert traces(tmp_path, gone) == []
        assert traces(tmp_path, gone) == []
    said = repr(logs).encode()
    assert not any(words_of(one).encode() in said for one in gone)


async def test_a_superseded_profile_leaves_no_byte_and_an_old_one_is_never_written(
    tmp_path: Path,
) -> None:
    rng = random.Random(5)
    async with running(tmp_path) as node:
        ann = ann_of(node)
        await join(node, ann)
        profiles: list[Record] = []
        for size in (900, 1200, 60, 700, 80):
            ann.clock.offset_ms += 1
            body = {"name": "Ann", "bio": secret(rng, size)}
            profiles.append(ann.sign(kinds.PROFILE, body, target=b""))
        *old, late, current = profiles
        await publish(node, old)
        outcomes = await node.gate.submit([current.encode(), late.encode()], API)
        assert [outcome.code for outcome in outcomes] == ["stored", "superseded"]
        await settled(node)
        assert traces(tmp_path, [*old, late]) == []
        assert traces(tmp_path, [current])


def vanish(who: Person) -> Record:
    """Signed by paper: at once."""
    header, body = who.genesis.header, record.decode_payload(who.genesis.payload or b"")
    draft = Draft.after(parse_operation(who.genesis.id, header, body))
    draft.vanish = True
    return who.paper_author().sign(
        kinds.IDENTITY, draft.body(), who.clock.now_ms(), who.rng.randbytes(16)
    )


async def test_a_vanished_account_leaves_its_log_alone(tmp_path: Path) -> None:
    rng = random.Random(6)
    async with running(tmp_path) as node:
        ann, bob = ann_of(node), ann_of(node, 3)
        await join(node, ann)
        await join(node, bob)
        gone = [ann.post(secret(rng, rng.choice((50, 500, 5000)))) for _ in range(60)]
        gone.append(ann.sign(kinds.PROFILE, {"name": "A", "bio": secret(rng, 800)}, target=b""))
        stay = [bob.post(secret(rng, rng.choice((50, 500, 5000)))) for _ in range(60)]
        mixed = [*gone, *stay]
        rng.shuffle(mixed)
        await publish(node, mixed)
        await publish(node, [vanish(ann)])
        await settled(node)
        assert traces(tmp_path, gone) == []
        assert not any(one.header_bytes in everything(tmp_path) for one in gone)
        assert len(traces(tmp_path, stay)) >= 60
        late = await node.gate.submit([gone[0].encode()], API)
        assert late[0].code == "gone"


LIMITED = """
[[rule]]
id     = "no-dull"
when   = { kind = "%s", word = "dull" }
then   = "limit"
reason = "spam"
"""


def tagged(ann: Person, text: str, tag: str) -> Record:
    place = len(text) + 1
    facet = [place, place + 1 + len(tag), FACET_TAG, tag]
    return ann.post(f"{text} #{tag}", facets=[facet])


def named(ann: Person, name: str) -> Record:
    return ann.sign(kinds.PROFILE, {"name": name, "bio": "dull"}, b"")


@pytest.mark.parametrize("kind", ["post", "profile"])
async def test_words_that_no_search_finds_leave_tables_and_log_too(
    tmp_path: Path, kind: str
) -> None:
    """Of what is limited the tags and the name are kept: they go however late the digest is."""
    async with running(tmp_path, policy=LIMITED % kind) as node:
        ann = ann_of(node)
        await join(node, ann)
        whistle = "whistlebird"
        kept = whistle if kind == "post" else likeness(whistle)
        first = tagged(ann, "dull", whistle) if kind == "post" else named(ann, whistle)
        await publish(node, [first])
        await settled(node)
        assert kept.encode() in everything(tmp_path)
        async with node.digest.still:
            gone = ann.sign(kinds.DELETE, {"ids": [first.id]}) if kind == "post" else None
            await publish(node, [gone or named(ann, "another")])
            await node.gate.settled()
        await settled(node)
        assert whistle.encode() not in everything(tmp_path)
        assert kept.encode() not in everything(tmp_path)
