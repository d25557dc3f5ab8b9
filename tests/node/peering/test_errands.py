"""What a reader misses is fetched from peers, within bounds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ratoon_node.app import Node
from ratoon_node.peering import errands
from ratoon_node.peering.exchange import Exchange
from ratoon_node.store import read
from ratoon_protocol.record import Record
from tests.node.api.site import Site, site
from tests.node.peering.meeting import at_home, befriended, listening, publish, serving, until


@asynccontextmanager
async def with_peer(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Node, Site]]:
    """A node, and a site that exchanges with it."""
    async with (
        serving(tmp_path / "a", 1) as (a, at_a),
        site(tmp_path, seed=2, **settings) as place,
        listening(place.node) as at_b,
    ):
        await befriended(a, at_a, place.node, at_b)
        await until(lambda: bool(place.node.hub.neighbours), place.node)
        yield a, place


async def lose(node: Node, record: Record) -> None:
    """As if a record had never come; the sets still think that it has."""
    await node.db.write(lambda db: db.execute("DELETE FROM record WHERE id = ?", (record.id,)))


async def conversation(a: Node, place: Site) -> list[Record]:
    """A root, an answer, an answer to that; all of it on both nodes and digested there."""
    ann = at_home(a, 7, a)
    await a.own.host(ann.account)
    await publish(a, ann.genesis)
    root = ann.post("root")
    names = {"root": root.id, "root_account": ann.account, "parent_account": ann.account}
    middle = ann.post("middle", parent=root.id, **names)
    leaf = ann.post("leaf", parent=middle.id, **names)
    await publish(a, root, middle, leaf)
    node = place.node

    async def here() -> bool:
        return await node.db.read(lambda db: read.by_id(db, leaf.id)) is not None

    await until(here, node)
    await node.digest.reached(await node.db.read(read.journal_end))
    return [root, middle, leaf]


async def test_a_missing_parent_is_brought_from_a_peer(tmp_path: Path) -> None:
    async with with_peer(tmp_path) as (a, place):
        root, middle, leaf = await conversation(a, place)
        await lose(place.node, middle)
        _, body = await place.get(f"/v1/records/{leaf.id.hex()}/thread")
        assert [one["body"]["text"] for one in body["ancestors"]] == ["root", "middle"]
        assert body["focus"]["body"]["text"] == "leaf"
        assert body["missing"] == []
        await lose(place.node, root)
        status, body = await place.get(f"/v1/records/{root.id.hex()}")
        assert (status, body["body"]["text"]) == (200, "root")


async def test_what_nobody_has_is_asked_for_once_and_then_not_for_a_while(tmp_path: Path) -> None:
    async with with_peer(tmp_path) as (_, place):
        id_ = random.Random(1).randbytes(32)
        hub = place.node.hub
        assert hub.errands.due([id_]) == [id_]
        status, body = await place.get(f"/v1/records/{id_.hex()}/thread")
        assert (status, body["error"]["code"]) == (404, "not_found")
        assert hub.errands.due([id_]) == []
        many = [random.Random(1000 + seed).randbytes(32) for seed in range(200)]
        assert hub.errands.due(many) == many[: errands.ERRAND_IDS_MAX]


async def test_a_silent_peer_delays_nobody_for_long(tmp_path: Path, monkeypatch: Any) -> None:
    async def never(self: Exchange, ids: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Exchange, "bring", never)
    monkeypatch.setattr(errands, "ERRAND_MS_MAX", 50)
    async with with_peer(tmp_path) as (a, place):
        _, middle, leaf = await conversation(a, place)
        await lose(place.node, middle)
        async with asyncio.timeout(10):
            _, body = await place.get(f"/v1/records/{leaf.id.hex()}/thread")
        assert [one["body"]["text"] for one in body["ancestors"]] == ["root"]
        assert [(one["id"], one["code"]) for one in body["missing"]] == [
            (middle.id.hex(), "not_found")
        ]


async def test_whoever_used_up_the_allowance_gets_the_answer_without(tmp_path: Path) -> None:
    async with with_peer(tmp_path, requests_per_minute_max=10) as (a, place):
        _, middle, leaf = await conversation(a, place)
        await lose(place.node, middle)
        for _ in range(3):
            status, body = await place.get(f"/v1/records/{leaf.id.hex()}")
            assert status == 200
        status, body = await place.get(f"/v1/records/{leaf.id.hex()}/thread")
        assert status == 200
        assert [one["code"] for one in body["missing"]] == ["not_found"]
