"""Searching and trends as clients ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from ratoon_node.store import read
from ratoon_protocol import kinds
from tests.node.api.site import Site, site


async def find(place: Site, q: str, **more: object) -> Any:
    await place.node.digest.reached(await place.node.db.read(read.journal_end))
    asked = "".join(f"&{name.strip('_')}={quote(str(value))}" for name, value in more.items())
    status, body = await place.get(f"/v1/search?q={quote(q)}{asked}")
    assert status == 200, body
    return body


async def test_posts_are_found_page_by_page_with_their_authors(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(1)
        await place.publish(ann.sign(kinds.PROFILE, {"name": "Ann", "bio": ""}, target=b""))
        posts = [ann.post(f"tree number {at} 東京都") for at in range(7)]
        await place.publish(*posts)
        for order in ("new", "best"):
            body = await find(place, "京都 tree", order=order, limit=3)
            assert body["accounts"][ann.account.hex()]["name"] == "Ann"
            assert body["people"] == body["tags"] == []
            seen = body["items"]
            while body["next"] is not None:
                body = await find(place, "京都 tree", order=order, limit=3, after=body["next"])
                seen += body["items"]
            assert [item["id"] for item in seen] == [one.id.hex() for one in reversed(posts)]
            assert body["end"] == await place.node.db.read(read.journal_end)


async def test_an_edit_is_found_by_its_words_and_no_more_by_the_first(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(1)
        post = ann.post("apple")
        edit = ann.sign(kinds.EDIT, {"text": "pear"}, post.id)
        await place.publish(post, edit)
        assert (await find(place, "apple"))["items"] == []
        (item,) = (await find(place, "pear"))["items"]
        assert (item["id"], item["body"]["text"]) == (post.id.hex(), "pear")
        assert item["edited"]["id"] == edit.id.hex()
        await place.operate(
            "POST",
            "/blocks",
            {"subject": "account", "entity": ann.account.hex(), "verdict": "limit"},
        )
        assert (await find(place, "pear"))["items"] == []


async def test_everything_that_is_read_of_a_post_is_found(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(1)
        picture = {
            "alt": "a heron at dawn", "blur": "", "hash": bytes(32), "height": 1, "size": 1,
            "type": "image/png", "width": 1,
        }  # fmt: skip
        poll = {"ends_ms": place.clock.now_ms() + 10_000, "many": 0, "options": ["salt", "sugar"]}
        await place.publish(
            ann.post("one", warning="spiders"), ann.post("two", media=[picture]),
            ann.post("three", poll=poll),
        )  # fmt: skip
        for word, text in (("spider*", "one"), ('"heron at"', "two"), ("sugar", "three")):
            body = await find(place, word)
            assert [item["body"]["text"] for item in body["items"]] == [text]
        # Words of two texts that follow each other are no phrase.
        assert (await find(place, '"salt sugar"'))["items"] == []
        assert (await find(place, "salt sugar"))["items"] != []


async def test_people_and_tags(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(1)
        tagged = ann.sign(kinds.POST, {"text": "#Trees", "facets": [[0, 6, 2, "Trees"]]})
        profile = ann.sign(kinds.PROFILE, {"name": "Ann Tree", "bio": ""}, target=b"")
        await place.publish(profile, tagged)
        body = await find(place, "tre*", in_="people")
        (person,) = body["people"]
        assert person["account"] == ann.account.hex()
        assert person["profile"]["body"]["name"] == "Ann Tree"
        assert body["accounts"][ann.account.hex()]["name"] == "Ann Tree"
        body = await find(place, "#tre", in_="tags")
        assert body["tags"] == [{"tag": "trees", "posts": 1, "more": False}]
        assert (await find(place, "tre", in_="tags", after="trees"))["tags"] == []
        assert (await find(place, "#TREES"))["items"][0]["id"] == tagged.id.hex()


async def test_bad_searches_are_told_so(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        bad = {
            "q=": "too_short",
            "": "bad_request",
            "q=a&in=all": "bad_request",
            "q=a&order=worst": "bad_request",
            "q=a&limit=0": "out_of_range",
            "q=a&limit=51": "out_of_range",
            "q=a&page=2": "bad_request",
            "q=%22a": "bad_request",
            "q=-a": "bad_request",
            "q=!": "bad_request",
            "q=a&after=x": "bad_request",
            "q=a&after=1.2.3": "bad_request",
            "q=a&order=best&after=1": "bad_request",
            "q=%23a&in=people": "bad_request",
            "q=%23&in=tags": "bad_request",
            f"q={'a' * 301}": "too_long",
        }
        for query, code in bad.items():
            status, body = await place.get(f"/v1/search?{query}")
            assert 400 <= status < 500, query
            assert body["error"]["code"] in (code, "bad_request"), query


async def test_a_search_costs_more_than_a_page(tmp_path: Path) -> None:
    async with site(tmp_path, requests_per_minute_max=12) as place:
        place.clock.stop()
        statuses = [(await place.get("/v1/search?q=a"))[0] for _ in range(4)]
        assert statuses[0] == 200
        assert statuses[-1] == 429


async def test_nobody_writes_down_what_was_looked_for(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with site(tmp_path) as place:
            await find(place, "secretword")
            await place.get("/v1/search?q=%22secretword")
    assert "secretword" not in repr(logs)


async def test_trends_say_why(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        _, body = await place.get("/v1/trends")
        assert body["tags"] == body["posts"] == []
        assert body["window_hours"] == 6
