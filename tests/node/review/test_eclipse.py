"""Strangers who take every link that is to be had do not cut a node off from those it dials."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from ratoon_node.peering.wire import LINK_PATH
from tests.node.peering.meeting import listening
from tests.node.world import running


async def test_a_node_full_of_strangers_still_dials(tmp_path: Path) -> None:
    for name in ("here", "friend"):
        (tmp_path / name).mkdir()
    async with (
        running(tmp_path / "here", links_max=8) as here,
        running(tmp_path / "friend", seed=2) as friend,
        listening(here) as at_here,
        listening(friend) as at_friend,
        aiohttp.ClientSession() as http,
    ):
        strangers = [await http.ws_connect(at_here + LINK_PATH) for _ in range(8)]
        refused = [asyncio.ensure_future(one.receive()) for one in strangers]
        async with asyncio.timeout(8):  # shorter than the time for a handshake
            await asyncio.wait(refused, return_when=asyncio.FIRST_COMPLETED)
            assert await here.hub.meet(at_friend) == friend.own.account
        for one in strangers:
            await one.close()
