"""Fields that mean something in another kind are any value in this one, and disturb nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from tests.node.api.described import little
from tests.protocol.vectors_bodies import LEAST, MOST

NAMES = {name for kind in LEAST for name in LEAST[kind] | MOST.get(kind, {})}
SHOWN = (
    "/v1/timelines/network", "/v1/accounts/{ann}/posts", "/v1/accounts/{ann}", "/v1/trends/tags",
    "/v1/records/{post}/thread", "/v1/search?q=heron", "/", "/network", "/@{ann}", "/feed.atom",
)  # fmt: skip


@pytest.mark.parametrize("strange", [5, [7], {"a": 1}, b"x", "x", [[1]], None], ids=repr)
async def test_nothing_stops(tmp_path: Path, strange: Any) -> None:
    async with little(tmp_path) as world:
        ann, ben, post = world.ann, world.ben, world.post
        about = {"target": post.id, "target_account": ann.account}
        bodies: list[tuple[int, dict[str, Any], bytes | None]] = [
            (kinds.REPOST, about, None),
            (kinds.POST, {"text": "a heron"}, None),
            (kinds.FOLLOW, {"state": 1}, ann.account),
            (kinds.REACTION, {"emoji": "+", "state": 1}, post.id),
            (kinds.PROFILE, {"name": "Ben", "bio": ""}, b""),
            (kinds.LIST, {"members": [], "state": 1, "title": "x"}, bytes(16)),
            (kinds.LABEL, {"state": 1, "value": "spam"}, post.id),
        ]
        records = []
        for kind, body, target in bodies:
            own = LEAST[kind] | MOST.get(kind, {}) | body
            others = dict.fromkeys(NAMES - own.keys() - {"slot_salt", "target"}, strange)
            records.append(ben.sign(kind, body | others, *([] if target is None else [target])))
        outcomes = await world.place.publish(*records)
        assert [one["code"] for one in outcomes[1]["records"]] == [Code.STORED] * len(records)
        await world.place.node.gate.settled()
        _, network = await world.place.get("/v1/timelines/network")
        shown = {one["id"] for one in network["items"]}
        assert shown >= {record.id.hex() for record in records[:2]}  # what is derived has them
        for path in SHOWN:
            url = world.place.url + path.format(ann=ann.account.hex(), post=post.id.hex())
            async with world.place.http.get(url) as response:
                assert response.status < 500, (path, await response.text())
