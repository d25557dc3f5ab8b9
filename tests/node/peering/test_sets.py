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
from ratoon_node.runtime import timeout_ms
from ratoon_node.store import linked
from ratoon_protocol.kinds import Scope
from tests.node.world import join, movable, person, running


async def followed(node: Node, found: Sets, posts: int) -> None:
    """Return once sets hold what those of the node do, and so many posts."""
    async with timeout_ms(20_000):
        await found.loaded.wait()
        while found.state() != node.sets.state() or found.state()[Scope.WINDOW][0] != posts:
            await node.runtime.clock.sleep_ms(1)


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
