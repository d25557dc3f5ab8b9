"""The roster and its long lists: never in the way of others, and no change of them is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_protocol.errors import Code
from tests.node.review.test_strangers import API, someone
from tests.node.world import join, running


def entry(number: int) -> ListEntry:
    account = number.to_bytes(32)
    return ListEntry(Subject.ACCOUNT, account.hex(), Verdict.WITHHOLD, "blocked", None, "op", 0)


def blocked(node: Node) -> set[int]:
    return {int.from_bytes(account) for account in node.gate.policy.blocked_accounts(0)}


async def test_lists_are_compiled_off_the_loop_and_only_when_they_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[bool] = []
    compiled = Policy.with_entries

    def watched(self: Policy, entries):
        try:
            asyncio.get_running_loop()
            where.append(True)
        except RuntimeError:
            where.append(False)
        return compiled(self, entries)

    async with running(tmp_path) as node:
        monkeypatch.setattr(Policy, "with_entries", watched)
        await node.ledger.block(entry(1))
        await node.roster.load()
        await node.roster.load()
        assert where == [False]
        assert blocked(node) == {1}


async def test_a_policy_read_while_the_roster_loads_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as node:
        await node.ledger.block(entry(1))
        fresh = Policy.parse(b'[lists.block]\naccounts = ["%s"]\n' % entry(2).entity.encode())
        made = type(node.roster)._make

        def slow(self, base, db):
            found = made(self, base, db)
            if base is not fresh:
                node.gate.policy = fresh  # as if the operator had it read again just now
            return found

        monkeypatch.setattr(type(node.roster), "_make", slow)
        await node.roster.load()
        assert blocked(node) == {1, 2}


async def test_a_provider_typed_twice_is_one(tmp_path: Path) -> None:
    async with running(tmp_path, provider="Hetzner Online", country="DE") as node:
        ann = someone(node, 3)
        await join(node, ann)
        post = ann.post("hello")
        await node.gate.submit([post.encode()], API)
        others = [bytes([number]) * 32 for number in range(1, 4)]
        spellings = ("hetzner  online", " HETZNER ONLINE", "OVH")
        for other, provider in zip(others, spellings, strict=True):
            await node.ledger.add_peer(other, None, provider, "de")
        await node.roster.load()
        said = [(other, post.id, Code.STORED) for other in others]
        await node.ledger.note_acks(said, node.own.account)
        counts = (await node.receipts.counts([post.id]))[post.id]
        assert (counts.nodes, counts.providers, counts.countries) == (4, 2, 1)
