"""Reading over HTTP: records, timelines, cursors, and what hides a record."""

from __future__ import annotations

from pathlib import Path

from ratoon_node.api.answers import RECORD_TYPE
from ratoon_node.store import read
from ratoon_protocol import kinds
from tests.node.api.site import Site, site


async def texts(place: Site, path: str) -> list[str]:
    status, body = await place.get(path)
    assert status == 200, body
    return [item["body"]["text"] for item in body["items"]]


async def test_a_record_reads_as_json_and_as_the_bytes_that_were_signed(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        post = ann.post("hello")
        await place.publish(post)
        status, body = await place.get(f"/v1/records/{post.id.hex()}")
        assert (status, body["kind"], body["body"]) == (200, "post", {"text": "hello"})
        url = f"{place.url}/v1/records/{post.id.hex()}"
        async with place.http.get(url, headers={"Accept": RECORD_TYPE}) as response:
            assert await response.read() == post.encode()
        status, body = await place.get("/v1/records/" + "00" * 32)
        assert (status, body["error"]["code"]) == (404, "not_found")
        status, body = await place.get("/v1/records/abc")
        assert (status, body["error"]["code"]) == (400, "bad_request")


async def test_a_post_has_counts_wherever_it_is_read(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        post = ann.post("a heron")
        edit = ann.sign(kinds.EDIT, {"text": "the heron"}, target=post.id)
        like = ben.sign(kinds.REACTION, {"emoji": "♥", "state": 1}, target=post.id)
        await place.publish(post, edit, like)
        await place.node.digest.reached(await place.node.db.read(read.journal_end))
        expected = {"replies": 0, "reposts": 0, "quotes": 0, "reactions": {"♥": 1}}
        _, one = await place.get(f"/v1/records/{post.id.hex()}")
        assert (one["counts"], one["body"]["text"]) == (expected, "the heron")
        _, page = await place.get("/v1/timelines/network")
        assert one in page["items"]
        _, body = await place.get(f"/v1/records/{post.id.hex()}/versions")
        first, second = body["items"]
        assert (first["counts"], first["body"]["text"]) == (expected, "a heron")
        assert "counts" not in second, "an edit is no post"
        _, found = await place.get("/v1/search?q=heron")
        assert found["items"] == [one]
        _, other = await place.get(f"/v1/records/{like.id.hex()}")
        assert "counts" not in other


async def test_an_edit_that_links_where_nobody_may_go_leaves_the_first_words(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        post = ann.post("a heron")
        edit = ann.sign(kinds.EDIT, {"text": "see https://bad.example/"}, target=post.id)
        await place.publish(post, edit)
        assert await texts(place, "/v1/timelines/network") == ["see https://bad.example/"]
        await place.operate("POST", "/blocks", {"subject": "domain", "entity": "bad.example"})
        assert await texts(place, "/v1/timelines/network") == ["a heron"]
        _, one = await place.get(f"/v1/records/{post.id.hex()}")
        assert one["body"]["text"] == "a heron"


async def test_a_deleted_record_says_gone_and_leaves_the_timeline(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        post, other = ann.post("going"), ann.post("staying")
        await place.publish(post, other, ann.sign(kinds.DELETE, {"ids": [post.id]}))
        status, body = await place.get(f"/v1/records/{post.id.hex()}")
        assert (status, body["error"]["code"], body["record"]["code"]) == (410, "gone", "gone")
        assert "body" not in body["record"]
        assert await texts(place, "/v1/timelines/network") == ["staying"]


async def test_home_shows_those_one_follows_newest_first(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben, cyd = [await place.resident(seed) for seed in (2, 3, 4)]
        follow = ann.sign(kinds.FOLLOW, {"state": 1}, target=ben.account)
        await place.publish(follow)
        for at in range(6):
            await place.publish(ben.post(f"ben {at}"), cyd.post(f"cyd {at}"))
        await place.publish(ann.post("mine"))
        path = f"/v1/timelines/home?account={ann.account.hex()}"
        assert await texts(place, path) == ["mine", *(f"ben {at}" for at in range(5, -1, -1))]
        _, body = await place.get(path + "&limit=3")
        assert [item["body"]["text"] for item in body["items"]] == ["mine", "ben 5", "ben 4"]
        rest = await texts(place, f"{path}&before={body['next']}")
        assert rest == ["ben 3", "ben 2", "ben 1", "ben 0"]
        await place.publish(ben.post("later"), cyd.post("not this"))
        assert await texts(place, f"{path}&since={body['end']}") == ["later"]
