"""What a reviewer tried against those who read: each of these was wrong once."""

from __future__ import annotations

from pathlib import Path

from ratoon_protocol import kinds
from tests.node.api.site import site
from tests.node.api.test_following import subscribed, told


async def test_an_edit_of_somebody_elses_post_is_not_told_to_their_readers(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, eve = [await place.resident(seed) for seed in (2, 3)]
        post = ann.post("ann's words")
        await place.publish(post)
        live = await subscribed(place, "account", account=ann.account.hex())
        await place.publish(ann.post("first"))
        assert await told(live, 1) == ["first"]
        lie = eve.sign(kinds.EDIT, {"text": "lies"}, target=post.id)
        _, done = await place.publish(lie)
        assert done["records"][0]["code"] == "stored"
        await place.publish(ann.post("second"))
        assert await told(live, 1) == ["second"]
