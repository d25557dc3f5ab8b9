"""Threads, what refers to a post, records by ids, versions, and who follows whom, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.record import Record
from tests.node.api.site import Site, site
from tests.node.world import Person


async def digested(place: Site) -> None:
    await place.node.digest.reached(await place.node.db.read(read.journal_end))


def answer(who: Person, text: str, parent: Record, root: Record) -> Record:
    return who.post(
        text,
        parent=parent.id,
        parent_account=parent.header.account,
        root=root.id,
        root_account=root.header.account,
    )


async def test_a_thread_has_what_is_above_what_is_below_and_what_is_missing(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as place:
        ann, ben, cyd = [await place.resident(seed) for seed in (2, 3, 4)]
        root = ann.post("root")
        middle, gone = answer(ben, "middle", root, root), answer(cyd, "gone", root, root)
        leaf, orphan = answer(ann, "leaf", middle, root), answer(ben, "orphan", gone, root)
        await place.publish(root, middle, gone, leaf, orphan)
        await place.publish(cyd.sign(kinds.DELETE, {"ids": [gone.id]}))
        await digested(place)
        _, body = await place.get(f"/v1/records/{leaf.id.hex()}/thread")
        assert body["focus"]["body"]["text"] == "leaf"
        assert texts(body["ancestors"]) == ["root", "middle"]
        assert texts(body["replies"]) == ["orphan"]
        assert [(one["id"], one["code"]) for one in body["missing"]] == [(gone.id.hex(), "gone")]
        assert (body["next"], body["uninvited"]) == (None, [])
        assert body["accounts"].keys() == {ann.account.hex(), ben.account.hex()}
        assert body["ancestors"][0]["counts"]["replies"] == 1
        _, body = await place.get(f"/v1/records/{gone.id.hex()}/thread")
        assert body["focus"] is None
        assert body["missing"][0]["id"] == gone.id.hex()
        assert sorted(texts(body["replies"])) == ["leaf", "middle", "orphan"]
        entry = {"subject": "account", "entity": ben.account.hex()}
        await place.operate("POST", "/blocks", entry)
        _, body = await place.get(f"/v1/records/{root.id.hex()}/thread")
        assert texts(body["replies"]) == ["leaf"]
        held = {one["id"]: one["parent"] for one in body["missing"] if one["code"] == "withheld"}
        assert held == {middle.id.hex(): root.id.hex(), orphan.id.hex(): gone.id.hex()}
        assert body["focus"]["counts"]["replies"] == 0


def texts(items: list[Any]) -> list[str]:
    return [one["body"]["text"] for one in items]


async def test_what_refers_to_a_post_comes_by_cursor(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben, cyd = [await place.resident(seed) for seed in (2, 3, 4)]
        post = ann.post("x")
        about = {"target": post.id, "target_account": ann.account}
        await place.publish(
            post,
            *(answer(ben, f"r{at}", post, post) for at in range(5)),
            cyd.post("q", quote=post.id, quote_account=ann.account),
            ben.sign(kinds.REPOST, about),
            ben.sign(kinds.REACTION, {"emoji": "👍", "state": 1}, post.id),
            cyd.sign(kinds.REACTION, {"emoji": "❤", "state": 1}, post.id),
            ann.sign(kinds.REACTION, {"emoji": "❤", "state": 0}, post.id),
        )
        await digested(place)
        path = f"/v1/records/{post.id.hex()}"
        _, body = await place.get(f"{path}/replies?limit=3")
        assert texts(body["items"]) == ["r4", "r3", "r2"]
        _, body = await place.get(f"{path}/replies?limit=3&before={body['next']}")
        assert texts(body["items"]) == ["r1", "r0"]
        assert body["next"] is None
        _, body = await place.get(f"{path}/quotes")
        assert texts(body["items"]) == ["q"]
        _, body = await place.get(f"{path}/reposts")
        assert [one["kind"] for one in body["items"]] == ["repost"]
        _, first = await place.get(f"{path}/reactions?limit=1")
        _, second = await place.get(f"{path}/reactions?limit=1&after={first['next']}")
        told = [(one["account"], one["emoji"]) for one in first["items"] + second["items"]]
        assert sorted(told) == sorted([(ben.account.hex(), "👍"), (cyd.account.hex(), "❤")])
        assert second["next"] is None
        status, _ = await place.get(f"{path}/reactions?limit=0")
        assert status == 400


async def test_timelines_by_tag_list_home_and_kind(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben, cyd = [await place.resident(seed) for seed in (2, 3, 4)]
        tagged = ben.post("see #News", facets=[[4, 9, 2, "News"]])
        members = {"members": [ben.account], "state": 1, "title": "Friends"}
        chosen = ann.sign(kinds.LIST, members, bytes(16))
        await place.publish(tagged, cyd.post("other"), chosen, answer(ben, "re", tagged, tagged))
        await digested(place)
        _, body = await place.get("/v1/timelines/tag?tag=%23NEWS")
        assert texts(body["items"]) == ["see #News"]
        _, body = await place.get("/v1/timelines/local")
        assert texts(body["items"]) == ["re", "other", "see #News"]
        path = f"/v1/timelines/list?account={ann.account.hex()}&list="
        _, body = await place.get(path + "00" * 16)
        assert texts(body["items"]) == ["re", "see #News"]
        status, body = await place.get(path + "11" * 16)
        assert (status, body["error"]["code"]) == (404, "not_found")
        path = f"/v1/accounts/{ben.account.hex()}/posts"
        for only, wanted in (("posts", ["see #News"]), ("replies", ["re"]), ("media", [])):
            _, body = await place.get(f"{path}?only={only}")
            assert texts(body["items"]) == wanted
        status, _ = await place.get(f"{path}?only=all")
        assert status == 400
        _, body = await place.get(f"/v1/accounts/{ann.account.hex()}/lists")
        assert [one["body"]["title"] for one in body["items"]] == ["Friends"]


async def test_records_by_ids_come_in_order_with_what_became_of_the_rest(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        one, two = ann.post("one"), ann.post("two")
        await place.publish(one, two, ann.sign(kinds.DELETE, {"ids": [two.id]}))
        ids = [two.id.hex(), one.id.hex(), "ab" * 32, one.id.hex()]
        status, body = await read_ids(place, ids)
        assert status == 200
        assert [item and item["id"] for item in body["items"]] == [None, ids[1], None, ids[1]]
        codes = {gone["id"]: gone["code"] for gone in body["missing"]}
        assert codes == {two.id.hex(): "gone", "ab" * 32: "not_found"}
        status, _ = await read_ids(place, [ids[1]] * 101)
        assert status == 400


async def read_ids(place: Site, ids: list[str]) -> tuple[int, Any]:
    async with place.http.post(f"{place.url}/v1/records/read", json={"ids": ids}) as response:
        return response.status, await response.json()


async def test_versions_are_the_first_words_and_every_edit(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = await place.resident(2), await place.resident(3)
        post = ann.post("first")
        edits = []
        for text in ("second", "third"):
            place.clock.offset_ms += 1000
            edits.append(ann.sign(kinds.EDIT, {"text": text}, post.id))
        await place.publish(post, *edits, ben.sign(kinds.EDIT, {"text": "mine"}, post.id))
        _, body = await place.get(f"/v1/records/{post.id.hex()}/versions")
        assert texts(body["items"]) == ["first", "second", "third"]
        _, body = await place.get(f"/v1/records/{post.id.hex()}")
        assert body["body"]["text"] == "third"
        status, _ = await place.get(f"/v1/records/{'ab' * 32}/versions")
        assert status == 404


async def test_follows_and_followers_come_by_cursor_without_those_who_are_hidden(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as place:
        ann, ben, cyd, dan = [await place.resident(seed) for seed in (2, 3, 4, 5)]
        for who in (ben, cyd, dan):
            await place.publish(ann.sign(kinds.FOLLOW, {"state": 1}, who.account))
            await place.publish(who.sign(kinds.FOLLOW, {"state": 1}, ann.account))
        await place.publish(ann.sign(kinds.FOLLOW, {"state": 0}, dan.account), ann.post("x"))
        mine = f"/v1/accounts/{ann.account.hex()}"
        wanted = sorted(one.account.hex() for one in (ben, cyd))
        assert await walked(place, f"{mine}/follows?limit=1", "after") == wanted
        found = await walked(place, f"{mine}/followers?limit=1", "before")
        assert found == [one.account.hex() for one in (dan, cyd, ben)]
        _, body = await place.get(mine)
        assert body["counts"] == {"posts": 1, "follows": 2, "followers": 3}
        entry = {"subject": "account", "entity": cyd.account.hex()}
        await place.operate("POST", "/blocks", entry)
        assert await walked(place, f"{mine}/follows?limit=1", "after") == [ben.account.hex()]
        found = await walked(place, f"{mine}/followers?limit=2", "before")
        assert found == [one.account.hex() for one in (dan, ben)]
        _, body = await place.get(mine)
        assert body["counts"] == {"posts": 1, "follows": 2, "followers": 2}


async def walked(place: Site, path: str, name: str) -> list[str]:
    """Every account of a listing by cursor."""
    found: list[str] = []
    following: Any = None
    while True:
        more = f"&{name}={following}" if following is not None else ""
        status, body = await place.get(path + more)
        assert status == 200, body
        found += [one["account"] for one in body["items"]]
        following = body["next"]
        if following is None:
            return found
