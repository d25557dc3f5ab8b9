"""Single flipped bits in the database file are found, and mended when a peer has the bytes."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.ingest.scrub import read_slice
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.operate.own import is_whole
from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.author import Author, Draft, device_row
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.introduction import Side
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.record import Record, decode_payload, decode_record
from ratoon_protocol.status import Status
from tests.node.ingest.replay import LINK, offer
from tests.node.ingest.test_policy_at_ingest import wanted
from tests.node.ingest.test_resurrection import stolen
from tests.node.world import EVERYTHING, Clock, join, movable, person, running

API = Origin(Way.API)


async def with_posts(folder: Path, seed: int) -> list[Record]:
    """A store with some posts, closed, its log folded back."""
    rng = random.Random(seed)
    async with running(folder) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        ann = person(node.settings.network_bytes, random.Random(2), clock)
        await join(node, ann)
        posts = [ann.post(f"{n} " + "words " * rng.randint(1, 900)) for n in range(40)]
        await node.gate.submit([one.encode() for one in posts], API)
    return posts


def flip(path: Path, needle: bytes, rng: random.Random) -> None:
    """Turn one bit of the bytes that stand in the file."""
    data = bytearray(path.read_bytes())
    start = data.index(needle) + rng.randrange(len(needle))
    data[start] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


async def whole_round(node: Node) -> None:
    after: int | None = 0
    while after is not None:
        after = await node.gate.scrub.step(after)
    await node.gate.settled()


def counted(node: Node, result: str) -> float:
    found = node.metrics.scrub_records.labels(result)
    return float(found._value.get())


@pytest.mark.parametrize("seed", range(6))
async def test_a_flipped_bit_in_a_payload_is_found_and_mended(tmp_path: Path, seed: int) -> None:
    posts = await with_posts(tmp_path, seed)
    rng = random.Random(seed)
    hurt = rng.sample(posts, 3)
    for one in hurt:
        assert one.payload is not None
        flip(tmp_path / "ratoon.sqlite", one.payload[:300], rng)
    async with running(tmp_path) as node:
        await whole_round(node)
        assert counted(node, "payload") == 3
        wanted = await node.db.read(lambda db: read.wanted(db, 2**53, 0, 100))
        assert {id_ for _, id_ in wanted} == {one.id for one in hurt}
        outcomes = await offer(node, hurt, LINK)
        assert {outcome.code for outcome in outcomes} == {"stored"}
        await whole_round(node)
        assert counted(node, "payload") == 3
        rows = await node.db.read(lambda db: read.by_ids(db, [one.id for one in posts]))
        assert {id_: row.payload for id_, row in rows.items()} == {
            one.id: one.payload for one in posts
        }


@pytest.mark.parametrize("part", ["header_bytes", "signature"])
async def test_a_damaged_header_goes_and_comes_back_whole(tmp_path: Path, part: str) -> None:
    posts = await with_posts(tmp_path, 1)
    one = posts[20]
    flip(tmp_path / "ratoon.sqlite", getattr(one, part), random.Random(3))
    async with running(tmp_path) as node:
        await whole_round(node)
        assert counted(node, "header") == 1
        assert await node.db.read(lambda db: read.by_id(db, one.id)) is None
        outcomes = await offer(node, posts, LINK)
        assert sorted({outcome.code for outcome in outcomes}) == ["duplicate", "stored"]
        row = await node.db.read(lambda db: read.by_id(db, one.id))
        assert row is not None
        assert (row.header, row.signature, row.payload) == one[2:]


async def damage(node: Node, id_: bytes, part: str) -> None:
    changed = f"CAST(substr({part}, 1, 60) || x'00' || substr({part}, 62) AS BLOB)"
    await node.db.write(
        lambda db: db.execute(f"UPDATE record SET {part} = {changed} WHERE id = ?", (id_,))
    )


async def test_what_nobody_gives_away_is_not_asked_for_until_it_lives_again(
    tmp_path: Path,
) -> None:
    """A damaged payload of a revoked record; then the walk to it closes (R-55)."""
    async with running(tmp_path) as node:
        ann = person(node.settings.network_bytes, random.Random(2), node.runtime.clock)
        await join(node, ann)
        first = ann.post("the first")
        await offer(node, [first], LINK)
        last = ann.post("the last")
        tips = {lane: [chain] for lane, chain in ann.author.chains.items()}
        await offer(node, [stolen(ann, tips)], LINK)
        assert await standings(node, [first]) == [(Status.REVOKED, first.payload)]
        await damage(node, first.id, "payload")
        await whole_round(node)
        assert await standings(node, [first]) == [(Status.REVOKED, None)]
        assert await wanted(node) == []
        await offer(node, [last], LINK)
        assert await wanted(node) == [first.id]
        await offer(node, [first], LINK)
        assert await standings(node, [first]) == [(Status.LIVE, first.payload)]


async def test_an_operation_that_names_another_account_now_stops_nobody(tmp_path: Path) -> None:
    """A bit of the account in a stored header, before the scrubber comes by."""
    async with running(tmp_path) as node:
        ann = person(node.settings.network_bytes, random.Random(2), node.runtime.clock)
        await join(node, ann)
        first, second = ann.post("before"), stolen(ann, {})
        await offer(node, [second], LINK)
        other = ann.account[:-1] + bytes([ann.account[-1] ^ 1])
        await node.db.write(
            lambda db: db.execute(
                "UPDATE record SET header = CAST(? AS BLOB) WHERE id = ?",
                (second.header_bytes.replace(ann.account, other), second.id),
            )
        )
        node.gate._accounts.clear()
        outcomes = await offer(node, [first], LINK)
        assert outcomes[0].code == "stored"


async def standings(node: Node, records: Iterable[Record]) -> list[tuple[Status, bytes | None]]:
    rows = await node.db.read(lambda db: read.by_ids(db, [one.id for one in records]))
    return [(rows[one.id].status, rows[one.id].payload) for one in records]


async def in_sets(node: Node) -> set[bytes]:
    numbers = await node.db.read(read.account_numbers)
    return set(await node.db.read(lambda db: [m.id for m in read.members(db, numbers.values())]))


@pytest.mark.parametrize("also", ["nothing", "payload of an operation", "header of a post"])
@pytest.mark.parametrize("hurt", [0, 1])
async def test_what_a_damaged_operation_proved_waits_for_it(
    tmp_path: Path, hurt: int, also: str
) -> None:
    """What nobody else has yet would be lost with it: only the operation can be had again."""
    async with running(tmp_path) as node:
        network, clock = node.settings.network_bytes, movable(node.runtime.clock)
        ann = person(network, random.Random(2), clock)
        await join(node, ann)
        device = SigningKey.from_seed(bytes(32))
        row = device_row(network, ann.paper.public, device, bytes(range(32)), EVERYTHING)
        assert ann.genesis.payload is not None
        body = decode_payload(ann.genesis.payload)
        draft = Draft.after(parse_operation(ann.genesis.id, ann.genesis.header, body))
        draft.devices.append(row)
        second = ann.paper_author().sign(kinds.IDENTITY, draft.body(), clock.now_ms(), bytes(16))
        said = [[ann.post("one"), ann.sign(kinds.FOLLOW, {"state": 1}, bytes(32))]]
        ann.author = Author(network, ann.account, device, bytes(32))
        said.append([ann.post("two"), ann.sign(kinds.FOLLOW, {"state": 1}, bytes(32))])
        await offer(node, [second, *said[0], *said[1]], API)
        whole = await in_sets(node)
        operation = (ann.genesis, second)[hurt]
        part = "payload" if also == "payload of an operation" else "header"
        await damage(node, operation.id, part)
        extra = ann.post("three")
        await offer(node, [extra], API)
        if also != "nothing":
            await damage(node, extra.id, "header")
        node.gate._accounts.clear()  # as after a start
        await whole_round(node)
        unproven = [one for some in said[hurt:] for one in some]
        assert await standings(node, unproven) == [
            (Status.UNPROVEN, one.payload) for one in unproven
        ]
        assert not {one.id for one in unproven} & await in_sets(node)
        again = await offer(node, unproven[:1], API)
        assert again[0].code == "unknown_key"  # so that the operation is sent too
        await offer(node, [ann.genesis, second, extra], LINK)
        await node.gate.settled()
        both = [*said[0], *said[1], extra]
        assert await standings(node, both) == [(Status.LIVE, one.payload) for one in both]
        assert await in_sets(node) == whole | {extra.id}


def put_payload(db: sqlite3.Connection, id_: bytes, payload: bytes) -> None:
    db.execute("UPDATE record SET payload = ? WHERE id = ?", (payload, id_))


async def test_a_damaged_operation_lists_nothing(tmp_path: Path) -> None:
    """Whatever bit it is, and before the scrubber comes to it."""
    async with running(tmp_path) as node:
        network, clock = node.settings.network_bytes, movable(node.runtime.clock)
        ann = person(network, random.Random(2), clock, homes=[node.own.account])
        await join(node, ann)
        homes = partial(read.homes, account_=ann.account)
        assert await node.db.read(homes) == (node.own.account,)
        whole = ann.genesis.payload
        assert whole is not None
        for at in range(0, len(whole), 5):
            changed = whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :]
            await node.db.write(partial(put_payload, id_=ann.genesis.id, payload=changed))
            assert await node.db.read(homes) == ()
            assert await node.db.read(partial(read.handles, id_=ann.account)) == ()


async def who_it_is(node: Node) -> tuple[int, bool]:
    """How many operations of its own a node has, and whether it has a node record."""
    identity, record = await node.db.read(
        lambda db: read.introduction(db, node.own.account),
    )
    return len(identity), bool(record)


async def test_a_node_whose_own_identity_is_damaged_starts_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        genesis = await node.db.read(lambda db: read.identity_records(db, node.own.account)[0])
    flip(tmp_path / "ratoon.sqlite", genesis.header[100:], random.Random(1))
    async with running(tmp_path) as node:
        assert await who_it_is(node) == (1, True)


@pytest.mark.parametrize("scrubbed", [True, False])
@pytest.mark.parametrize("part", ["header", "payload"])
@pytest.mark.parametrize("what", ["genesis", "node record"])
async def test_a_node_that_lost_who_it_is_says_it_again(
    tmp_path: Path, what: str, part: str, scrubbed: bool
) -> None:
    async with running(tmp_path) as node:
        own = node.own.account
        identity, about = await node.db.read(lambda db: read.introduction(db, own))
        found = decode_record(identity[0] if what == "genesis" else about)
        assert found.payload is not None
        value = found.header_bytes if part == "header" else found.payload
        changed = value[:40] + bytes([value[40] ^ 1]) + value[41:]
        await node.db.write(
            lambda db: db.execute(f"UPDATE record SET {part} = ? WHERE id = ?", (changed, found.id))
        )
        if scrubbed:
            await whole_round(node)
        with pytest.raises(NodeError, match="busy"):
            await node.hub._session(Side.DIALER, None)
        identity, about = await node.db.read(lambda db: read.introduction(db, own))
        assert len(identity) == 1
        assert is_whole([*identity, about])
        await node.hub._session(Side.DIALER, None)


@pytest.mark.parametrize("seed", range(3))
async def test_a_page_that_cannot_be_read_is_stepped_over(tmp_path: Path, seed: int) -> None:
    posts = await with_posts(tmp_path, seed)
    rng = random.Random(seed)
    path = tmp_path / "ratoon.sqlite"
    data = bytearray(path.read_bytes())
    victim = posts[rng.randrange(10, 30)]
    at = data.index(victim.header_bytes) // 4096 * 4096
    data[at : at + 8] = b"\xff" * 8  # the page's own header
    path.write_bytes(data)
    db = sqlite3.connect(path)
    found = read_slice(db, 0)
    db.close()
    assert found.unreadable > 0
    assert found.sound > found.unreadable
    assert not found.payloads
    assert not found.headers
