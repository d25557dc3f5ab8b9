"""Cursors while posts arrive late and are hidden."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

from ratoon_node.timeline import walk
from ratoon_node.timeline.visibility import Viewer
from ratoon_node.timeline.walk import Cursor
from ratoon_protocol import kinds
from tests.node.api.site import Site, site


async def test_a_walk_neither_skips_nor_repeats_while_posts_come_and_go(tmp_path: Path) -> None:
    async with site(tmp_path, requests_per_minute_max=0) as place:
        rng = random.Random(5)
        reader = await place.resident(1)
        people = [await place.resident(seed) for seed in range(2, 12)]
        friends, blocked = people[:6], people[5]
        for friend in friends:
            await place.publish(reader.sign(kinds.FOLLOW, {"state": 1}, target=friend.account))
        for ask in ("timelines/network?", f"timelines/home?account={reader.account.hex()}&"):
            await walk_once(place, rng, people, friends if "home" in ask else people, ask, blocked)


async def walk_once(
    place: Site, rng: random.Random, people: list, shown: list, ask: str, blocked: Any
) -> None:
    before = [person.post(f"old {at}") for at in range(15) for person in people]
    await place.publish(*before)
    wanted = {post.id.hex() for post in before if post.header.account in accounts(shown)}
    seen: list[str] = []
    deleted: set[str] = set()
    _, body = await place.get(f"/v1/{ask}limit=7")
    end = body["end"]
    entry = {"subject": "account", "entity": blocked.account.hex()}
    arrived: set[str] = set()
    for at in range(10_000):
        page = [item["id"] for item in body["items"]]
        assert not deleted & set(page), "nothing deleted is shown"
        seen += page
        if body["next"] is None:
            break
        if at < 12:
            late = [rng.choice(people).post(f"late {at}") for _ in range(3)]
            _, answered = await place.publish(*late)
            kept = {one["id"] for one in answered["records"] if one["code"] == "stored"}
            mine = {one.id.hex() for one in late if one.header.account in accounts(shown)}
            arrived |= kept & mine
            victim = rng.choice(before)
            owner = next(one for one in people if one.account == victim.header.account)
            await place.publish(owner.sign(kinds.DELETE, {"ids": [victim.id]}))
            deleted.add(victim.id.hex())
        if at == 4:
            await place.operate("POST", "/blocks", entry)
            already = len(seen)
        _, body = await place.get(f"/v1/{ask}limit=7&before={body['next']}")
    assert len(seen) == len(set(seen)), "nothing comes twice"
    mine = {post.id.hex() for post in before if post.header.account == blocked.account}
    assert not mine & set(seen[already:]), "nothing blocked is shown"
    older = set(seen) & wanted
    assert older | deleted | mine >= wanted, "nothing is skipped"
    fresh: list[str] = []
    while True:
        _, body = await place.get(f"/v1/{ask}limit=4&since={end}")
        fresh += [item["id"] for item in body["items"]]
        if body["next"] is None:
            break
        end = body["next"]
    new = {one for one in arrived if one not in deleted}
    assert len(fresh) == len(set(fresh))
    await place.operate("POST", "/unblock", entry)
    _, body = await place.get(f"/v1/accounts/{blocked.account.hex()}/posts?limit=200")
    hidden = {item["id"] for item in body["items"]}
    assert set(fresh) | hidden >= new
    assert not set(fresh) & (wanted | hidden)


def accounts(people: list) -> set[bytes]:
    return {one.account for one in people}


async def test_a_page_full_of_hidden_posts_does_not_end_the_walk(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        await place.publish(ann.post("first"), *[ben.post(f"x {at}") for at in range(300)])
        entry = {"subject": "account", "entity": ben.account.hex()}
        await place.operate("POST", "/blocks", entry)
        _, body = await place.get("/v1/timelines/network?limit=10")
        assert [item["body"]["text"] for item in body["items"]] == ["first"]


async def test_home_is_what_a_slow_look_at_everything_finds(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        rng = random.Random(9)
        reader = await place.resident(1)
        people = [await place.resident(seed) for seed in range(2, 10)]
        posts = [rng.choice(people).post(f"{at}") for at in range(120)]
        friends = people[:4]
        follows = [reader.sign(kinds.FOLLOW, {"state": 1}, target=one.account) for one in friends]
        await place.publish(*follows, *posts)
        whom = accounts(friends)
        slow = [post.id for post in posts if post.header.account in whom]
        policy, now_ms = place.node.gate.policy, place.clock.now_ms()
        for limit in (1, 3, 7, 200):
            for newest_first in (True, False):
                cursor = Cursor() if newest_first else Cursor(0, newest_first=False)
                found: list[bytes] = []
                while True:

                    def ask(db: sqlite3.Connection, cursor: Cursor = cursor, limit: int = limit):
                        viewer = Viewer(db, policy, now_ms)
                        return walk.home(db, viewer, reader.account, cursor, limit)

                    page = await place.node.db.read(ask)
                    found += [item.record.id for item in page.items]
                    if page.next is None:
                        break
                    cursor = Cursor(page.next, newest_first)
                assert found == (slow[::-1] if newest_first else slow)
