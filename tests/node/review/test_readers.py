"""What a reviewer tried against those who read: each of these was wrong once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ratoon_node.api.following import SEEN_MS_MAX, Reader
from ratoon_node.api.ports import Services
from ratoon_node.api.rate import Room, allowances
from ratoon_node.store import circles, notices, schema
from ratoon_node.store.read import journal_end
from ratoon_node.timeline.feed import NETWORK, Feed, Message
from ratoon_node.timeline.tallies import HEAVY_COUNT, HEAVY_MS_MAX
from ratoon_node.timeline.topics import Network
from ratoon_node.timeline.visibility import Sight
from ratoon_protocol import kinds
from tests.node.api.site import Site, site
from tests.node.api.test_following import subscribed, told
from tests.node.peering.meeting import until


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


SAID_OFTEN = 4000


def test_who_follows_one_account_a_thousand_times_costs_a_seek_each() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    celebrity = b"c" * 32
    db.execute("INSERT INTO account (n, id, first_seen_ms) VALUES (1, ?, 0)", (b"a" * 32,))
    rows = [(n, 1, kinds.FOLLOW, celebrity, 1, 1000) for n in range(1, SAID_OFTEN + 1)]
    db.executemany("INSERT INTO pointer VALUES (?, ?, ?, ?, ?, ?)", rows)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(count, 100)
    assert [row.record for row in circles.said_after(db, 1, kinds.FOLLOW, b"", 9)] == [SAID_OFTEN]
    found = circles.followers_before(db, celebrity, 2**53, 9)
    assert [row.record for row in found] == [SAID_OFTEN]
    assert circles.followers(db, celebrity, 9) == [1]
    assert circles.count_follows(db, 1, 9) == 1
    assert steps * 100 < 4 * SAID_OFTEN * 100, "each row was compared with all others"


async def test_a_profile_that_links_where_nobody_may_go_is_not_shown(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        said = {"name": "Ann", "bio": "see https://bad.example/x"}
        await place.publish(ann.sign(kinds.PROFILE, said, target=b""))
        path = f"/v1/accounts/{ann.account.hex()}"
        _, view = await place.get(path)
        assert view["profile"]["bio"] == said["bio"]
        entry = {"subject": "domain", "entity": "bad.example", "verdict": "hold", "reason": "spam"}
        status, _ = await place.operate("POST", "/blocks", entry)
        assert status == 201
        _, view = await place.get(path)
        assert view["code"] == "stored"
        assert "profile" not in view, "the record is hidden, so its words are"


class Slow:
    """A client that takes its time over the first message, on a stream of the network."""

    def __init__(self, place: Site) -> None:
        node = place.node
        sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)
        feed = Feed(node.db, node.fanout, sight, node.own.account)
        self.services = Services(node, sight, feed, allowances(node.settings), Room(1), "")
        self.heard: list[str] = []
        self.some = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def tell(self, message: Message) -> None:
        self.heard.append(message.item.body["text"] if message.item is not None else "gone")
        self.some.set()
        await self.goes_on.wait()

    async def note(self, words: bytes, cursor: int | None = None) -> None:
        raise AssertionError("nothing was missed")

    def sent(self, records: int) -> int:
        return 0

    @asynccontextmanager
    async def reading(self, since: int | None = None) -> AsyncIterator[None]:
        feed = self.services.feed
        await feed.start()
        reader = Reader(self.services, Network(), since, self.tell, self.note, self.sent)
        tasks = [asyncio.ensure_future(work) for work in (feed.run(), reader.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def until(self, text: str) -> None:
        async with asyncio.timeout(20):
            while text not in self.heard:
                self.some.clear()
                await self.some.wait()


@pytest.mark.parametrize("live", [True, False])
async def test_what_waits_for_a_slow_client_is_looked_at_again(tmp_path: Path, live: bool) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        said = [ann.post("first"), ben.post("a threat"), ann.post("a mistake"), ann.post("last")]
        if not live:
            await place.publish(*said)
        client = Slow(place)
        async with client.reading(None if live else 0):
            if live:
                await until(lambda: NETWORK in client.services.feed._followers, place.node)
                await place.publish(*said)
            await client.until("first")
            if live:
                end = await place.node.db.read(journal_end)
                await until(lambda: client.services.feed.position >= end, place.node)
            entry = {"subject": "account", "entity": ben.account.hex(), "verdict": "hold"}
            status, _ = await place.operate("POST", "/blocks", {**entry, "reason": "threat"})
            assert status == 201
            await place.publish(ann.sign(kinds.DELETE, {"ids": [said[2].id]}))
            place.clock.offset_ms += SEEN_MS_MAX + 1000
            client.goes_on.set()
            await client.until("last")
        assert not {"a threat", "a mistake"} & set(client.heard)
        assert client.heard.count("first") == 1


async def test_a_post_of_which_everybody_speaks_is_counted_once_a_second(tmp_path: Path) -> None:
    many = HEAVY_COUNT + 100
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        post = ann.post("everybody likes it")
        await place.publish(post)
        rows = [(n, kinds.REACTION, n, post.id, "♥", 1) for n in range(1_000_000, 1_000_000 + many)]
        insert = "INSERT INTO opinion VALUES (?, ?, ?, ?, ?, ?)"
        await place.node.db.write(lambda db: db.executemany(insert, rows))

        async def liked() -> int:
            await place.node.digest.reached(await place.node.db.read(journal_end))
            _, page = await place.get("/v1/timelines/network")
            return page["items"][0]["counts"]["reactions"]["♥"]

        assert await liked() == many
        said = {"emoji": "♥", "state": 1, "target_account": ann.account}
        await place.publish(ben.sign(kinds.REACTION, said, target=post.id))
        stood = place.clock.offset_ms
        place.clock.offset_ms -= 500  # however slow this machine is
        assert await liked() == many
        place.clock.offset_ms = stood + HEAVY_MS_MAX
        assert await liked() == many + 1
        entry = {"subject": "account", "entity": ben.account.hex(), "verdict": "hold"}
        await place.operate("POST", "/blocks", {**entry, "reason": "spam"})
        assert await liked() == many, "a block counts at once"


async def test_a_reaction_that_was_taken_out_is_gone_before_the_digest_knows(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as place:
        ann, ben = [await place.resident(seed) for seed in (2, 3)]
        post = ann.post("a post")
        said = {"emoji": "♥", "state": 1, "target_account": ann.account}
        reaction = ben.sign(kinds.REACTION, said, target=post.id)
        await place.publish(post, reaction)
        await place.node.digest.reached(await place.node.db.read(journal_end))
        path = f"/v1/records/{post.id.hex()}/reactions"
        _, page = await place.get(path)
        assert [one["id"] for one in page["items"]] == [reaction.id.hex()]
        async with place.node.digest.still:
            await place.publish(ben.sign(kinds.DELETE, {"ids": [reaction.id]}))
            _, page = await place.get(path)
        assert page["items"] == []


def test_what_came_before_its_post_is_not_gone_over_whole() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    post, many = b"p" * 32, 20_000
    rows = [(n, kinds.REACTION, n, post, "♥", 1) for n in range(1, many + 1)]
    db.executemany("INSERT INTO opinion VALUES (?, ?, ?, ?, ?, ?)", rows)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    db.set_progress_handler(count, 100)
    assert len(notices.about(db, post, 50)) == 50
    assert steps * 100 < many
