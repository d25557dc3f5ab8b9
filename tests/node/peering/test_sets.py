"""The sets that peers compare follow the store, also one that fails for a while."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.peering import sets
from ratoon_node.peering.sets import Sets
from ratoon_node.policy.admission import Admission
from ratoon_node.runtime import timeout_ms
from ratoon_node.store import linked, read
from ratoon_protocol.kinds import Scope
from ratoon_protocol.record import decode_record
from tests.node.ingest.replay import LINK, offer
from tests.node.world import join, movable, person, running


async def followed(node: Node, found: Sets, posts: int) -> None:
    """Return once sets hold what those of the node do, and so many posts."""
    async with timeout_ms(20_000):
        await found.loaded.wait()
        while found.state() != node.sets.state() or found.state()[Scope.WINDOW][0] != posts:
            await node.runtime.clock.sleep_ms(1)


def folder(path: Path) -> Path:
    path.mkdir()
    return path


async def settle_in(node: Node, other: Node, seed: int, posts: int) -> None:
    """Somebody at home at another node posts, and this one takes it in."""
    ann = person(node.settings.network_bytes, random.Random(seed), node.runtime.clock)
    hosting = await other.own.host(ann.account)
    log = [decode_record(other.own._keys.genesis), hosting, ann.genesis]
    await offer(node, [*log, *(ann.post(f"{seed} {at}") for at in range(posts))], LINK)


def digests(view: sets.View) -> dict[Scope, tuple[int, bytes]]:
    return {scope: (len(index), index.digest()) for scope, index in view.indexes.items()}


async def test_what_both_let_in_is_made_of_what_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read from the store as a whole, for each peer with another list of nodes."""
    async with (
        running(folder(tmp_path / "a"), 1) as node,
        running(folder(tmp_path / "b"), 2) as b,
        running(folder(tmp_path / "c"), 3) as c,
    ):
        own, others = node.own.account, [b.own.account, c.own.account]
        node.gate.admission = Admission([own, *others])
        await settle_in(node, node, 4, 30)
        await settle_in(node, b, 5, 20)
        await settle_in(node, c, 6, 3)
        await node.sets.admit(node.gate.admission.nodes)
        await followed(node, node.sets, 53)
        whole = await sets.load_view(node.db, node.sets.nodes)
        for some in ([own], [own, others[0]], [own, others[1]], others, [others[1]], []):
            chosen = frozenset(some)
            expected = await sets.load_view(node.db, chosen)
            found = await sets.part_of(node.db, whole, chosen)
            assert digests(found) == digests(expected)
            assert found.accounts == expected.accounts
        assert digests(whole) == node.sets.state(), "what is shared is not changed"
        taken: list[bytes] = []
        real = read.members

        def counted(db: sqlite3.Connection, accounts: Any) -> Any:
            for member in real(db, accounts):
                taken.append(member.id)
                yield member

        monkeypatch.setattr(read, "members", counted)
        monkeypatch.setattr(sets, "load_view", None)
        window = await node.sets.window(Scope.WINDOW, [own, others[0]], 0)
        assert len(window) == 50
        assert 3 <= len(taken) < 10
        await settle_in(node, node, 7, 1)  # and it follows the journal
        await followed(node, node.sets, 54)
        assert len(window) == 51


async def test_nodes_and_their_set_change_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who compared while the set was made anew took the old one for that of the new nodes."""
    async with running(folder(tmp_path / "a"), 1) as node, running(folder(tmp_path / "b"), 2) as b:
        both = frozenset((node.own.account, b.own.account))
        node.gate.admission = Admission(both)
        await settle_in(node, b, 5, 2)
        monkeypatch.setattr(sets, "ACCOUNTS_TURNED_MAX", 0)
        real = sets.load_view
        seen: list[tuple[bool, int]] = []

        async def looked_at(*what: Any) -> sets.View:
            view = await real(*what)
            window = await node.sets.window(Scope.WINDOW, both, 0)
            seen.append((b.own.account in node.sets.nodes, len(window)))
            return view

        monkeypatch.setattr(sets, "load_view", looked_at)
        before = node.sets.nodes
        await node.sets.admit(both)
        assert seen == [(b.own.account in before, 2 * (b.own.account in before))]
        assert node.sets.nodes == both
        assert len(await node.sets.window(Scope.WINDOW, both, 0)) == 2


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), KeyError("a bug")])
async def test_what_could_not_be_followed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(sets, "RETRY_MS", 1)
    async with running(tmp_path) as node:
        runtime = node.runtime
        found = Sets(node.db, node.fanout, runtime.clock, runtime.spawn)
        found.start([node.own.account])
        await followed(node, found, 0)
        left = 1
        real = linked.hosts_of

        def failing(db: sqlite3.Connection, **what: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise error
            return real(db, **what)

        monkeypatch.setattr(linked, "hosts_of", failing)
        ann = person(node.settings.network_bytes, random.Random(2), movable(runtime.clock))
        await join(node, ann)
        posts = [ann.post("one").encode(), ann.post("two").encode()]
        await node.gate.submit(posts, Origin(Way.API))
        await followed(node, found, 2)
        assert left <= 0


async def test_a_store_that_fails_at_the_start_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "RETRY_MS", 1)
    async with running(tmp_path) as node:
        real = sets.load_view
        left = 3

        async def failing(*what: Any) -> sets.View:
            nonlocal left
            left -= 1
            if left >= 0:
                raise sqlite3.OperationalError("disk I/O error")
            return await real(*what)

        monkeypatch.setattr(sets, "load_view", failing)
        found = Sets(node.db, node.fanout, node.runtime.clock, node.runtime.spawn)
        found.start([node.own.account])
        await followed(node, found, 0)
        assert left == -1
