"""What a node hands out over links while it is still judging an account anew."""

from __future__ import annotations

from pathlib import Path

from ratoon_protocol.frames import Get
from tests.node.peering.meeting import API, someone
from tests.node.world import join, running


async def test_nothing_of_an_account_is_given_away_while_it_is_judged(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann = someone(node, 3)
        await join(node, ann)
        post = ann.post("perhaps a thief's")
        await node.gate.submit([post.encode()], API)
        ask = Get(1, (post.id, ann.genesis.id))
        before, _ = await node.hub.serve.get(b"p" * 32, ask)
        assert all(b"perhaps" in item.data for item in before[:1])
        await node.db.write(lambda db: db.execute("UPDATE account SET judged = 0"))
        items, absent = await node.hub.serve.get(b"p" * 32, ask)
        assert absent == []
        assert b"perhaps" not in items[0].data
        assert b"dropped" in items[0].data
        assert items[1].data == before[1].data, "the log is what others judge by"
