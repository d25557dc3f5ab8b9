"""Publishing over HTTP: what is stored, what each item is answered, how copies are counted."""

from __future__ import annotations

from pathlib import Path

from tests.node.api.site import site


async def test_one_record_is_stored_once_and_then_known(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        post = ann.post("hello")
        status, body = await place.publish_one(post.encode())
        assert (status, body) == (201, {"records": [{"id": post.id.hex(), "code": "stored"}]})
        status, body = await place.publish_one(post.encode())
        assert (status, body["records"][0]["code"]) == (200, "duplicate")


async def test_a_bad_item_costs_only_itself(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        posts = [ann.post(f"number {at}") for at in range(100)]
        posts[49] = posts[49]._replace(signature=bytes(64))
        status, body = await place.publish(*posts)
        codes = [item["code"] for item in body["records"]]
        assert status == 200
        assert codes[:49] + codes[50:] == ["stored"] * 99
        assert codes[49] == "bad_signature"


async def test_a_refused_record_is_an_error_with_its_code(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        stranger = place.person(3)
        status, body = await place.publish_one(stranger.post("hello").encode())
        assert (status, body["error"]["code"]) == (403, "not_home")


async def test_waiting_counts_the_own_commit_and_says_where_to_ask_again(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        first, second = ann.post("one"), ann.post("two")
        status, body = await place.publish(first, query="?wait=providers:1&timeout=50")
        assert status == 201
        assert body["records"][0]["providers"] == 1
        status, body = await place.publish(second, query="?wait=providers:2&timeout=50")
        assert status == 202
        assert body["records"][0]["nodes"] == 1
        status, counts = await place.get(body["location"])
        assert (status, counts["id"], counts["providers"]) == (200, second.id.hex(), 1)
        for query in ("?wait=nodes:2", "?wait=providers:17", "?wait=providers:x", "?wait="):
            status, body = await place.publish(second, query=query)
            assert (status, body["error"]["code"] in ("bad_request", "out_of_range")) == (400, True)
