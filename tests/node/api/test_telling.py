"""Notifications over the stream: live, from a cursor, and only as long as the session holds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ratoon_node.store import read
from ratoon_protocol import kinds
from tests.node.api.members import (
    ask,
    member,
    operation,
    publish,
    signed_in,
    signed_operation,
)
from tests.node.api.site import Site, site
from tests.node.world import Person


async def heard(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    async with asyncio.timeout(20):
        return dict(await socket.receive_json())


async def liked(place: Site, who: Person, whom: Person) -> None:
    """Somebody likes a new post of somebody."""
    post = whom.post("hello")
    like = who.sign(kinds.REACTION, {"emoji": "♥", "state": 1}, post.id)
    await publish(place.node, post, like)


async def test_live_and_resumed(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        token = await signed_in(place, ann)
        async with place.http.ws_connect(place.url + "/v1/stream") as socket:
            wanted = {"subscribe": "notifications", "token": token, "since": 0}
            await socket.send_json(wanted)
            await liked(place, bob, ann)
            first = await heard(socket)
            assert first["notification"]["what"] == "reaction"
            await publish(place.node, bob.sign(kinds.FOLLOW, {"state": 1}, ann.account))
            second = await heard(socket)
            assert second["notification"]["what"] == "follow"
            assert second["cursor"] > first["cursor"]
        await liked(place, bob, ann)
        headers = {"Authorization": f"Bearer {token}"}
        async with place.http.ws_connect(place.url + "/v1/stream", headers=headers) as socket:
            await socket.send_json({"subscribe": "notifications", "since": first["cursor"]})
            assert await heard(socket) == second
            assert (await heard(socket))["notification"]["what"] == "reaction"


async def test_a_cursor_past_the_end_is_told_so_and_one_of_what_is_gone_is_not(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        token = await signed_in(place, ann)
        wanted = {"subscribe": "notifications", "token": token}
        await liked(place, bob, ann)
        async with (
            place.http.ws_connect(place.url + "/v1/stream") as near,
            place.http.ws_connect(place.url + "/v1/stream") as beyond,
        ):
            await near.send_json({**wanted, "since": 0})
            first = await heard(near)
            mention = bob.post("hm", **_mention(ann))
            await publish(place.node, mention)
            second = await heard(near)
            await publish(place.node, bob.sign(kinds.DELETE, {"ids": [mention.id]}))
            await place.node.digest.reached(await place.node.db.read(read.journal_end))
            await near.send_json({**wanted, "since": second["cursor"]})
            await beyond.send_json({**wanted, "since": second["cursor"] + 1000})
            missed = {"missed": True, "from": second["cursor"] + 1000}
            assert await heard(beyond) == missed
            await liked(place, bob, ann)
            third = await heard(near)
            assert await heard(beyond) == third
            assert third["cursor"] > second["cursor"] > first["cursor"]


@pytest.mark.parametrize("ending", ["sign out", "device"])
async def test_nothing_is_told_after_the_session(tmp_path: Path, ending: str) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        token = await signed_in(place, ann)
        async with place.http.ws_connect(place.url + "/v1/stream") as socket:
            await socket.send_json({"subscribe": "notifications"})
            assert (await heard(socket))["error"]["code"] == "unauthorised"
            await socket.send_json({"subscribe": "notifications", "token": token, "since": 0})
            await liked(place, bob, ann)
            assert (await heard(socket))["notification"]["what"] == "reaction"
            if ending == "sign out":
                await ask(place, "DELETE", "/v1/session", token)
            else:
                draft = operation(ann)
                draft.retire(ann.author.key.public, ann.clock.now_ms())
                await publish(place.node, signed_operation(ann, draft))
            await publish(place.node, bob.post("hm", **_mention(ann)))
            assert (await heard(socket))["error"]["code"] == "unauthorised"


async def test_the_same_as_server_sent_events(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, bob = await member(place.node, 2), await member(place.node, 3)
        url = place.url + "/v1/events?topic=notifications"
        async with place.http.get(url) as refused:
            assert refused.status == 401
        headers = {"Authorization": f"Bearer {await signed_in(place, ann)}"}
        async with place.http.get(url + "&since=0", headers=headers) as events:
            await liked(place, bob, ann)
            async with asyncio.timeout(20):
                event = b""
                while b"\ndata: " not in event:
                    event = await events.content.readuntil(b"\n\n")
        id_, data = event.decode().strip().split("\n")
        told = json.loads(data.removeprefix("data: "))
        assert id_ == f"id: {told['cursor']}"
        assert told["notification"]["what"] == "reaction"


def _mention(whom: Person) -> dict[str, Any]:
    return {"facets": [[0, 2, 1, whom.account]]}
