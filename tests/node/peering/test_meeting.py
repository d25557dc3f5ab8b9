"""Nodes meet: by an address, through a third one, twice at once, and not at all."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.policy.admission import NodeClass
from ratoon_node.policy.lists import Subject
from ratoon_node.store import read
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Chain, Draft
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import FIND_ACCOUNT, FIND_ACCOUNT_KEY
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.kinds import Lane, Scope
from ratoon_protocol.record import decode_payload, decode_record
from tests.node.peering.meeting import (
    befriend,
    befriended,
    block,
    equal,
    linked,
    listening,
    neighbour,
    publish,
    serving,
    someone,
    until,
)
from tests.node.world import join, running


async def test_two_fresh_nodes_meet_by_an_address_alone(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, _), serving(tmp_path / "b", 2) as (b, at_b):
        assert await a.hub.meet(at_b) == b.own.account
        await until(lambda: linked(a, b), a)
        await until(lambda: equal(a, b), b)
        assert a.gate.admission.class_of(b.own.account) is NodeClass.LINKED


async def test_an_account_is_found_through_a_third_node_while_its_home_is_dead(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path / "third", 2) as (third, at_third):
        async with serving(tmp_path / "home", 1) as (home, at_home):
            await befriended(home, at_home, third, at_third)
            ann = someone(home, 3)
            await join(home, ann)
            post = ann.post("from a home that dies")
            await publish(home, post)
            await until(
                lambda: equal(home, third) and third.sets.state()[Scope.WINDOW][0] == 1, third
            )
        async with serving(tmp_path / "new", 4) as (new, _):
            await new.hub.meet(at_third)
            for by, name in ((FIND_ACCOUNT_KEY, ann.paper.public), (FIND_ACCOUNT, ann.account)):
                await new.hub.errands.find(by, name)
                # The third node vouches for the home it added; the home itself was never seen.
                assert await new.db.read(lambda db: read.account(db, ann.account)) is not None
            assert await new.db.read(lambda db: read.accounts_by_key(db, ann.paper.public)) == [
                ann.account
            ]
            assert new.gate.admission.class_of(home.own.account) is NodeClass.VOUCHED
            await until(lambda: equal(new, third), new)
            row = await new.db.read(lambda db: read.by_id(db, post.id))
            assert row is not None
            assert row.payload == post.payload


async def test_nodes_that_dial_each_other_keep_one_link(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a), serving(tmp_path / "b", 2) as (b, at_b):
        for _ in range(5):
            met = await asyncio.gather(a.hub.meet(at_b), b.hub.meet(at_a), return_exceptions=True)
            assert [one for one in met if isinstance(one, BaseException)] == []
        await until(lambda: linked(a, b), a)
        await until(lambda: a.hub._links == b.hub._links == 1, a)
        one, other = neighbour(a, b), neighbour(b, a)
        assert one is not None
        assert other is not None
        assert one.link.session.side is not other.link.session.side


async def test_a_node_does_not_link_with_itself(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a):
        assert await refusal(a.hub.meet(at_a)) is Code.SELF_LINK
        assert not a.hub.neighbours


async def refusal(meeting: Awaitable[bytes]) -> Code:
    try:
        await meeting
    except NodeError as error:
        return error.code
    raise AssertionError("they met")


async def test_links_end_at_the_bound(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1, links_max=1) as (a, at_a),
        serving(tmp_path / "b", 2) as (b, _),
        serving(tmp_path / "c", 3) as (c, _),
    ):
        await b.hub.meet(at_a)
        await until(lambda: linked(a, b), a)
        with pytest.raises(NodeError) as error:
            await c.hub.meet(at_a)
        assert error.value.code is Code.TIMEOUT
        assert error.value.safe == "No node that has room answers there."
        assert set(a.hub.neighbours) == {b.own.account}


async def test_a_block_ends_the_link_at_once_and_refuses_the_next(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a), serving(tmp_path / "b", 2) as (b, at_b):
        await befriended(a, at_a, b, at_b)
        await until(lambda: linked(a, b), a)
        await block(a, Subject.NODE, b.own.account)
        await until(lambda: not a.hub.neighbours and not b.hub.neighbours, a, 5)
        assert await refusal(b.hub.meet(at_a)) is Code.BLOCKED
        assert not a.gate.admission.admits(b.own.account)


async def test_a_node_is_found_again_at_another_of_its_addresses(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    async with (
        serving(tmp_path / "a", 1) as (a, _),
        running(tmp_path / "b", seed=2) as b,
        AsyncExitStack() as stack,
    ):
        async with listening(b) as first:
            await befriend(a, b, first, None)
            second = await stack.enter_async_context(listening(b))
            said = replace(b.description(b.settings), addresses=("http://127.0.0.1:1", second))
            await b.own.describe(said)
            await until(lambda: second in addresses(a, b), a)
        await until(lambda: linked_at(a, b) == second, a)


def addresses(node: Node, other: Node) -> tuple[str, ...]:
    said = node.roster.nodes.get(other.own.account)
    return said.addresses if said else ()


def linked_at(node: Node, other: Node) -> str | None:
    found = neighbour(node, other)
    return found.link.address if found else None


async def test_a_thief_with_the_revoked_key_of_a_node_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thief").mkdir()
    async with serving(tmp_path / "a", 1) as (a, at_a):
        async with serving(tmp_path / "b", 2) as (b, at_b):
            await befriended(a, at_a, b, at_b)
            await until(lambda: equal(a, b) and linked(a, b), a)
            stolen = b.own.device.public
            revoked = await revocation(b, seed=2)
            outcome = await b.gate.submit([revoked], Origin(Way.API))
            assert outcome[0].code is Code.STORED
            # The link lives by the key: it ends with it.
            await until(lambda: not a.hub.neighbours, a)
        # The same seed is the same keys: a copy of the machine from before, with the old log.
        async with running(tmp_path / "thief", seed=2) as thief:
            assert thief.own.device.public == stolen
            assert await refusal(thief.hub.meet(at_a)) is Code.REVOKED
            assert not a.hub.neighbours


async def revocation(node: Node, seed: int) -> bytes:
    """What the owner signs with the paper key when the machine is stolen."""
    paper = phrase.account_key(random.Random(seed).randbytes(32))
    shown, _ = await node.db.read(lambda db: read.introduction(db, node.own.account))
    genesis = decode_record(shown[0])
    assert genesis.payload is not None
    first = parse_operation(genesis.id, genesis.header, decode_payload(genesis.payload))
    draft = Draft.after(first)
    draft.stolen(node.own.device.public, 1, {})
    chain = Chain(1, genesis.id, genesis.header.created_ms)
    author = Author(node.own.network, node.own.account, paper, None, {Lane.LOG: chain})
    now_ms = node.runtime.clock.now_ms()
    return author.sign(kinds.IDENTITY, draft.body(), now_ms, bytes(16)).encode()
