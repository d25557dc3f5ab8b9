"""What a node signs for itself: chains without holes, and many records in one commit."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.ingest.gate import Gate
from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code, DecodeError
from ratoon_protocol.kinds import Lane
from tests.node.world import running


async def own_chain(node: Node) -> tuple[int, bool]:
    """The highest seq of the node's log chain, and whether it is a fork."""

    def look(db):
        row = read.account(db, node.own.account)
        assert row is not None
        heads = [one for one in read.heads(db, row.n) if one.key == node.own.device.public]
        (head,) = [one for one in heads if one.lane == Lane.LOG]
        return head.seq, head.forked

    return await node.db.read(look)


def accounts(count: int) -> list[bytes]:
    rng = random.Random(5)
    return [rng.randbytes(32) for _ in range(count)]


async def test_who_asks_at_the_same_time_shares_a_commit(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        before, _ = await own_chain(node)
        commits = node.fanout.subscribe()
        hosted = accounts(100)
        records = await asyncio.gather(*(node.own.host(account) for account in hosted))
        seqs = sorted(one.header.seq for one in records)
        assert seqs == list(range(before + 1, before + 101))
        assert await own_chain(node) == (before + 100, False)
        count = 0
        while count < 100:
            commit = await commits.next()
            assert commit is not None
            count += sum(change.kind == kinds.HOSTING for change in commit.changes)
            assert count in (1, 65, 100)
        homes = await node.db.read(lambda db: [read.hosts(db, account) for account in hosted])
        assert homes == [(node.own.account,)] * 100


async def test_one_that_cannot_be_signed_leaves_no_hole(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        before, _ = await own_chain(node)
        first, second = accounts(2)
        found = await asyncio.gather(
            node.own.host(first),
            node.own.publish(kinds.HOSTING, {"state": 7}, target=second),
            node.own.host(second),
            return_exceptions=True,
        )
        assert isinstance(found[1], DecodeError)
        assert await own_chain(node) == (before + 2, False)


async def test_a_full_gate_leaves_the_chain_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as node:
        before, _ = await own_chain(node)
        with monkeypatch.context() as patched:

            async def full(*_: object) -> None:
                raise NodeError(Code.BUSY)

            patched.setattr(Gate, "submit", full)
            with pytest.raises(NodeError, match="busy"):
                await node.own.host(accounts(1)[0])
        record = await node.own.host(accounts(1)[0])
        assert record.header.seq == before + 1


async def test_an_interrupted_batch_is_answered_and_forks_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        before, _ = await own_chain(node)
        hosted = accounts(3)
        first = asyncio.ensure_future(node.own.host(hosted[0]))
        others = [asyncio.ensure_future(node.own.host(account)) for account in hosted[1:]]
        await asyncio.sleep(0)  # the first one is at work, the others wait for their turn
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.gather(*others, return_exceptions=True)
        record = await node.own.host(accounts(4)[3])
        seq, forked = await own_chain(node)
        assert not forked
        assert seq == record.header.seq > before


async def test_who_says_again_who_it_is_while_it_signs_forks_nothing(tmp_path: Path) -> None:
    """A disk changed the own records: every link that comes in then finds out, in between."""
    async with running(tmp_path) as node:
        before, _ = await own_chain(node)
        hosted = accounts(200)
        signing = [asyncio.ensure_future(node.own.host(account)) for account in hosted]
        while not all(one.done() for one in signing):
            await node.own.say_again()
        records = await asyncio.gather(*signing)
        assert sorted(one.header.seq for one in records) == list(range(before + 1, before + 201))
        assert await own_chain(node) == (before + 200, False)
