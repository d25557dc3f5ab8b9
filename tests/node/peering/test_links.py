"""Two real nodes on loopback: they meet, become equal, count who holds what, and say goodbye."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from ratoon_node.operate.own import is_whole
from ratoon_node.peering import hub
from ratoon_protocol import kinds
from ratoon_protocol.introduction import Side
from ratoon_protocol.kinds import Scope
from tests.node.peering.meeting import API, befriend, equal, serving, someone, until
from tests.node.world import join


async def test_two_fresh_nodes_become_equal(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1, provider="P") as (a, _),
        serving(tmp_path / "b", 2, provider="Q") as (b, at_b),
    ):
        ann = someone(a, 3)
        await join(a, ann)
        posts = [ann.post(f"post {number}") for number in range(50)]
        await a.gate.submit([post.encode() for post in posts], API)
        await befriend(a, b, at_b, "Q")
        await until(lambda: equal(a, b) and a.sets.state()[Scope.WINDOW][0] == 50, b)
        late = ann.post("after")
        await a.gate.submit([late.encode()], API)
        counts = await a.receipts.wait([late.id], 2, 10_000)
        assert counts[late.id].providers == 2
        delete = ann.sign(kinds.DELETE, {"ids": [posts[0].id]})
        await a.gate.submit([delete.encode()], API)
        counts = await a.receipts.wait([delete.id], 2, 10_000)
        assert counts[delete.id].providers == 2
        assert equal(a, b)


async def test_strangers_links_do_not_have_the_own_log_checked_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was checked on the event loop for each link that began: a log may have 4,096 operations,
    and beginning a link costs a stranger nothing.
    """
    checked: list[int] = []
    real = is_whole

    def counted(records: Iterable[bytes]) -> bool:
        checked.append(threading.get_ident())
        return real(records)

    monkeypatch.setattr(hub, "is_whole", counted)
    async with serving(tmp_path / "a", 1) as (a, _):
        for _ in range(3):
            await a.hub._session(Side.ACCEPTOR, None)
    assert len(checked) == 1
    assert threading.get_ident() not in checked


async def test_a_node_that_ends_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path / "b", 2) as (b, at_b):
        async with serving(tmp_path / "a", 1) as (a, _):
            await a.hub.meet(at_b)
            await until(lambda: a.own.account in b.hub.neighbours, b)
            link = b.hub.neighbours[a.own.account].link
        await asyncio.wait_for(link.ended.wait(), 10)
        assert link.closed is not None
        assert (link.closed.code, link.closed.by_peer) == ("shutdown", True)
