"""Nodes that refuse different things stay equal, and what one refuses reaches others anyway."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.peering import hidden, wants
from ratoon_node.peering.link import Link
from ratoon_node.policy.lists import Subject
from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.kinds import Scope
from ratoon_protocol.record import Record
from tests.node.peering.meeting import (
    CountingTransport,
    befriended,
    block,
    code,
    equal,
    neighbour,
    publish,
    serving,
    someone,
    until,
)
from tests.node.world import Person, join

REFUSED = 10_000
#: The second time two nodes compare, whatever they refuse.
SECOND_SYNC_BYTES_MAX = 4096
#: Three of the handshake, one introduction each.
HANDSHAKE_MESSAGES = 5


async def write_many(node: Node, who: Person, count: int) -> list[Record]:
    """Posts over as many days as the cap on a day asks for."""
    now_ms = who.clock.offset_ms
    posts: list[Record] = []
    for day in (3, 2, 1):
        who.clock.offset_ms = now_ms - day * 86_400_000
        posts += [who.post(f"number {len(posts) + at}") for at in range(count // 3)]
    who.clock.offset_ms = now_ms
    for at in range(0, len(posts), 1000):
        await publish(node, *posts[at : at + 1000])
    return posts


async def held(node: Node, records: Sequence[Record], wanted: Code) -> bool:
    found = await node.db.read(lambda db: read.by_ids(db, [one.id for one in records]))
    return len(found) == len(records) and all(read.code_of(r) is wanted for r in found.values())


async def test_opposite_blocklists(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1, "P") as (a, at_a),
        serving(tmp_path / "b", 2, "Q") as (b, at_b),
    ):
        amy, bob = someone(a, 3), someone(b, 4)
        await join(a, amy)
        await join(b, bob)
        of_amy, of_bob = await write_many(a, amy, REFUSED), await write_many(b, bob, REFUSED)
        await mixed(a, amy, of_amy)
        await block(a, Subject.ACCOUNT, bob.account)
        await block(b, Subject.ACCOUNT, amy.account)
        wires = [CountingTransport(node.hub._transport) for node in (a, b)]
        a.hub._transport, b.hub._transport = wires
        await befriended(a, at_a, b, at_b)
        await until(lambda: equal(a, b) and count(a) >= len(of_amy) + len(of_bob), b, 60)
        assert await held(a, of_bob, Code.WITHHELD)
        assert await held(b, of_amy[5:], Code.WITHHELD)

        # A fresh link, both ways, encrypted; beside it both introduce themselves.
        link = one_link(a, b)
        before = [len(one.wires) for one in wires]
        link.close(Code.SHUTDOWN)
        await until(lambda: not link_is(a, b, link) and compared(a, b), a)
        fresh = [n for one, at in zip(wires, before, strict=True) for n in one.wires[at:]]
        sizes = max(fresh, key=sum)
        assert sum(sizes[HANDSHAKE_MESSAGES:]) < SECOND_SYNC_BYTES_MAX
        assert equal(a, b)

        async with serving(tmp_path / "c", 5) as (c, _):
            await c.hub.meet(at_a)
            await until(lambda: equal(a, c), c, 60)
            assert await held(c, of_bob, Code.WANTED)
            await c.hub.meet(at_b)
            await until(lambda: held(c, of_bob, Code.STORED), c, 60)
            assert await held(c, of_amy[5:], Code.STORED)
            assert equal(a, b, c)


async def not_due(node: Node) -> bool:
    """Whether all that is wanted was asked for, and is not again for an hour."""
    now_ms = node.runtime.clock.now_ms()
    all_ = await node.db.read(lambda db: read.wanted(db, 2**53, 0, 10))
    return bool(all_) and not await node.db.read(lambda db: read.wanted(db, now_ms, 0, 10))


async def test_what_a_lifted_block_hid_is_offered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-76: no row changes when a block is lifted, and who was refused would wait for an hour."""
    monkeypatch.setattr(wants, "WANTED_ROUND_MS", 20)
    monkeypatch.setattr(hidden, "HIDDEN_ROUND_MS", 20)
    async with (
        serving(tmp_path / "a", 1) as (a, at_a),
        serving(tmp_path / "b", 2) as (b, _),
    ):
        amy = someone(a, 3)
        await join(a, amy)
        posts = [amy.post(f"number {number}") for number in range(3)]
        await publish(a, *posts)
        await block(a, Subject.ACCOUNT, amy.account)
        await b.hub.meet(at_a)
        await until(lambda: held(b, posts, Code.WANTED), b)
        await until(lambda: not_due(b), b)
        await a.ledger.unblock(Subject.ACCOUNT, amy.account.hex())
        await a.roster.load()
        await until(lambda: held(b, posts, Code.STORED), b)
        assert a.hub.serve.hidden[b.own.account] == {}


def count(node: Node) -> int:
    return node.sets.state()[Scope.WINDOW][0]


def one_link(a: Node, b: Node) -> Link:
    found = neighbour(a, b) or neighbour(b, a)
    assert found is not None
    return found.link


def link_is(a: Node, b: Node, link: Link) -> bool:
    found = neighbour(a, b) or neighbour(b, a)
    return found is not None and found.link is link


def compared(a: Node, b: Node) -> bool:
    return any(
        found is not None and found.catchup.runs for found in (neighbour(a, b), neighbour(b, a))
    )


async def mixed(node: Node, who: Person, posts: Sequence[Record]) -> None:
    """What is gone, superseded and forked belongs into the sets as well."""
    gone = who.sign(kinds.DELETE, {"ids": [post.id for post in posts[:5]]})
    names = [who.sign(kinds.PROFILE, {"name": name, "bio": ""}, b"") for name in "xyz"]
    twin = dict(who.author.chains)
    one = who.post("one")
    who.author.chains = twin
    other = who.post("other")
    for outcome in await publish(node, gone, *names, one, other):
        assert outcome.code in (Code.STORED, Code.SUPERSEDED), outcome
    assert await code(node, posts[0].id) is Code.GONE
