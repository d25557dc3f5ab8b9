"""Pages that are kept: fast while nothing changes, gone the moment something is taken away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from ratoon_node.api.answers import ITEMS
from ratoon_node.api.pages.shelf import (
    AGE_MS_MAX,
    NEWS_MS_MAX,
    SHELF_BYTES_MAX,
    Sheet,
    Shelf,
)
from ratoon_node.api.ports import Services
from ratoon_node.api.rate import Room, allowances
from ratoon_node.errors import NodeError
from ratoon_node.timeline.feed import Feed
from ratoon_node.timeline.visibility import Sight
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from tests.node.api.browsing import fetched, page, settled
from tests.node.api.site import Site, site


async def etag(place: Site, path: str) -> str:
    status, headers, _ = await fetched(place, path)
    assert status == 200
    assert headers["Cache-Control"] == "public, max-age=10"
    return str(headers["ETag"])


FORMS = ["", "/feed.rss", "/feed.atom", "/feed.json"]


@pytest.mark.parametrize("form", FORMS)
async def test_nothing_that_went_is_shown_once_more(tmp_path: Path, form: str) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        post, more = ann.post("first words"), ben.post("other words")
        await place.publish(post, more)
        await settled(place)
        paths = [f"/@{ann.account.hex()}{form}", f"/network{form}", f"/p/{post.id.hex()}{form}"]
        paths.append(f"/local{form}" if form else "/")
        tags = {path: await etag(place, path) for path in paths}
        for path in paths:
            assert b"first words" in (await fetched(place, path))[2]
        await place.publish(ann.sign(kinds.EDIT, {"text": "second try"}, post.id))
        for path in paths:
            status, _, data = await fetched(place, path, **{"If-None-Match": tags[path]})
            assert (status, b"first words" in data, b"second try" in data) == (200, False, True)
        await place.publish(ann.sign(kinds.DELETE, {"ids": [post.id]}))
        for path in paths:
            _, _, data = await fetched(place, path, **{"If-None-Match": tags[path]})
            assert b"second try" not in data, path
        entry = {"subject": "account", "entity": ben.account.hex()}
        assert b"other words" in (await fetched(place, paths[1]))[2]
        await place.operate("POST", "/blocks", entry)
        assert b"other words" not in (await fetched(place, paths[1]))[2]
        await place.operate("POST", "/unblock", entry)
        assert b"other words" in (await fetched(place, paths[1]))[2]


async def test_a_new_name_is_shown_at_once(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        await place.publish(
            ann.post("words"), ann.sign(kinds.PROFILE, {"name": "Old", "bio": ""}, b"")
        )
        _, seen = await page(place, "/network")
        assert "Old" in seen.words
        place.clock.offset_ms += 1000
        await place.publish(ann.sign(kinds.PROFILE, {"name": "New", "bio": ""}, b""))
        _, seen = await page(place, "/network")
        assert ("Old" in seen.words, "New" in seen.words) == (False, True)


async def test_what_is_new_waits_for_a_second_at_most(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        await place.publish(ann.post("one."))
        _, seen = await page(place, "/network")
        await place.publish(ann.post("two."))
        place.clock.offset_ms += NEWS_MS_MAX
        _, seen = await page(place, "/network")
        assert "two." in seen.words


async def test_whoever_has_a_page_is_not_given_it_again(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        await place.publish(ann.post("words"))
        await settled(place)
        place.clock.offset_ms += 2000
        place.clock.stop()
        tag = await etag(place, "/network")
        _, headers, _ = await fetched(place, "/network")
        assert "Last-Modified" not in headers  # it might change within this second
        place.clock.offset_ms += 2000
        _, headers, body = await fetched(place, "/network")
        date = headers["Last-Modified"]
        for known in (
            {"If-None-Match": tag},
            {"If-None-Match": f'"other", {tag}'},
            {"If-Modified-Since": date},
        ):
            status, headers, data = await fetched(place, "/network", **known)
            assert (status, data, headers["ETag"]) == (304, b"", tag)
        for unknown in (
            {"If-None-Match": '"other"'},
            {"If-None-Match": '"other"', "If-Modified-Since": date},
            {"If-Modified-Since": "Thu, 01 Jan 2026 00:00:00 GMT"},
        ):
            status, _, data = await fetched(place, "/network", **unknown)
            assert (status, data) == (200, body)
        # Made anew and the same: it has not changed since.
        place.clock.offset_ms += AGE_MS_MAX
        status, headers, _ = await fetched(place, "/network", **{"If-Modified-Since": date})
        assert (status, headers["ETag"], headers["Last-Modified"]) == (304, tag, date)
        async with place.http.head(place.url + "/network") as response:
            assert response.headers["ETag"] == tag


async def test_a_refusal_is_kept_by_nobody(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        late = ann.post("late")
        path = f"/p/{late.id.hex()}"
        status, headers, _ = await fetched(place, path)
        assert (status, headers["Cache-Control"]) == (404, "no-cache")
        assert "ETag" not in headers
        await place.publish(late)
        assert (await fetched(place, path))[0] == 200


class Bench:
    """A shelf on a node, and what is put on it."""

    def __init__(self, services: Services) -> None:
        self.shelf = Shelf(services)
        self.made = 0
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.sheet = Sheet(b"page", 3)

    async def make(self) -> Sheet:
        self.made += 1
        self.begun.set()
        await self.gate.wait()
        return self.sheet


@pytest.fixture
def asked() -> web.Request:
    return make_mocked_request("GET", "/")


async def bench(place: Site) -> Bench:
    node = place.node
    sight = Sight(node.db, place.clock, lambda: node.gate.policy)
    feed = Feed(node.db, node.fanout, sight, node.own.account)
    rates = allowances(node.settings)
    return Bench(Services(node, sight, feed, rates, Room(1), "t"))


async def test_many_readers_of_a_page_are_one_making(tmp_path: Path, asked: web.Request) -> None:
    async with site(tmp_path) as place:
        shelf = await bench(place)
        shelf.gate.clear()
        readers = [
            asyncio.ensure_future(shelf.shelf.serve(asked, "key", shelf.make)) for _ in range(20)
        ]
        await shelf.begun.wait()
        shelf.gate.set()
        answers = await asyncio.gather(*readers)
        assert shelf.made == 1
        assert {(one.status, one.body, one[ITEMS]) for one in answers} == {(200, b"page", 3)}


async def test_a_reader_who_leaves_keeps_nobody_waiting(tmp_path: Path, asked: web.Request) -> None:
    async with site(tmp_path) as place:
        shelf = await bench(place)
        shelf.gate.clear()
        first = asyncio.ensure_future(shelf.shelf.serve(asked, "key", shelf.make))
        await shelf.begun.wait()
        second = asyncio.ensure_future(shelf.shelf.serve(asked, "key", shelf.make))
        await asyncio.sleep(0)
        first.cancel()
        shelf.gate.set()
        assert (await second).body == b"page"
        assert shelf.made == 2


async def test_the_shelf_has_a_bound(tmp_path: Path, asked: web.Request) -> None:
    async with site(tmp_path) as place:
        shelf = await bench(place)
        shelf.sheet = Sheet(bytes(1024 * 1024))
        for at in range(40):
            await shelf.shelf.serve(asked, at, shelf.make)
        assert shelf.shelf.bytes <= SHELF_BYTES_MAX
        await shelf.shelf.serve(asked, 39, shelf.make)
        assert shelf.made == 40


async def test_a_failure_is_told_and_not_kept(tmp_path: Path, asked: web.Request) -> None:
    async with site(tmp_path) as place:
        shelf = await bench(place)

        async def fail() -> Sheet:
            raise NodeError(Code.NOT_FOUND)

        with pytest.raises(NodeError):
            await shelf.shelf.serve(asked, "key", fail)
        assert (await shelf.shelf.serve(asked, "key", shelf.make)).body == b"page"
