"""What is private goes between an account's present homes, and to nobody else."""

from __future__ import annotations

from pathlib import Path

from ratoon_node.app import Node
from ratoon_protocol import kinds
from ratoon_protocol.author import Draft
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Get
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.record import Record, decode_payload
from tests.node.peering.meeting import (
    at_home,
    befriended,
    code,
    equal,
    linked,
    publish,
    serving,
    until,
)
from tests.node.world import Person, join


def setting(who: Person, text: bytes) -> Record:
    return who.sign(kinds.SETTING, {"data": text}, who.rng.randbytes(16))


async def private(node: Node, who: Person) -> int:
    return len((await node.sets.private(who.account)).index)


async def test_private_records_go_between_present_homes_only(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1, "P") as (a, at_a),
        serving(tmp_path / "b", 2, "Q") as (b, at_b),
        serving(tmp_path / "c", 3, "R") as (c, at_c),
    ):
        ann = at_home(a, 4, a, b)
        await join(a, ann)
        before = setting(ann, b"before they met")
        await publish(a, before)
        await befriended(a, at_a, b, at_b)
        await b.own.host(ann.account)
        await befriended(a, at_a, c, at_c)
        await befriended(b, at_b, c, at_c)
        # A node that says it hosts her, though she does not list it.
        await c.own.host(ann.account)
        await until(lambda: equal(a, b, c) and linked(a, c) and linked(b, c), c)
        after = setting(ann, b"while they are linked")
        await publish(a, after)
        other = setting(ann, b"written at the other home")
        await until(lambda: has(b, after), b)
        await publish(b, other)
        await until(lambda: has(a, other), a)
        neighbour = a.hub.neighbours[b.own.account]
        await neighbour.catchup.run_private()
        await until(lambda: has(b, before), b)
        post = ann.post("for everybody")
        await publish(a, post)
        await until(lambda: has(c, post), c)
        assert await private(c, ann) == 0
        assert (await private(a, ann), await private(b, ann)) == (3, 3)
        items, absent = await a.hub.serve.get(c.own.account, Get(1, (before.id, post.id)))
        assert [(one.id, one.code) for one in absent] == [(before.id, Code.NOT_FOUND)]
        assert [one.id for one in items] == [post.id]

        # She leaves b: nothing more goes there, and b may ask for nothing.
        await publish(a, leave(ann, a))
        late = setting(ann, b"not for b any more")
        await publish(a, late)
        marker = ann.post("she is gone from b")
        await publish(a, marker)
        await until(lambda: has(b, marker), b)
        assert not await has(b, late)
        assert await private(b, ann) == 3
        _, absent = await a.hub.serve.get(b.own.account, Get(1, (late.id,)))
        assert [one.code for one in absent] == [Code.NOT_FOUND]


async def has(node: Node, record: Record) -> bool:
    return await code(node, record.id) is Code.STORED


def leave(who: Person, home: Node) -> Record:
    """An operation that lists `home` alone."""
    genesis = who.genesis
    assert genesis.payload is not None
    draft = Draft.after(
        parse_operation(genesis.id, genesis.header, decode_payload(genesis.payload))
    )
    draft.homes = [home.own.account]
    author = who.paper_author()
    now_ms = who.clock.now_ms()
    return author.sign(kinds.IDENTITY, draft.body(), now_ms, who.rng.randbytes(16))
