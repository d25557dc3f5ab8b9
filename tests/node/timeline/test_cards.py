"""What is remembered between reads never differs from what the store says now."""

from __future__ import annotations

import random
import sqlite3
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from ratoon_node.api.view import item_view, masked_view
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import listed, read
from ratoon_node.timeline import walk
from ratoon_node.timeline.faces import faces
from ratoon_node.timeline.recent import Recent
from ratoon_node.timeline.tallies import tallies
from ratoon_node.timeline.visibility import Item, Sight, Viewer
from ratoon_node.timeline.walk import Cursor
from ratoon_protocol import kinds
from tests.node.ingest.test_erasure import vanish
from tests.node.world import Clock, Person, join, person, running

ACTS = ("post", "post", "quote", "repost", "edit", "delete", "follow", "unfollow", "block", "rule")


class Life:
    """People who do something at random, and the operator who blocks them."""

    def __init__(self, node: Any, people: list[Person], rng: random.Random) -> None:
        self.node, self.people, self.rng = node, people, rng
        self.posts: list[tuple[Person, Any]] = []
        self.salts: dict[tuple[bytes, bytes], bytes] = {}
        self.entries: list[ListEntry] = []

    async def act(self) -> None:
        who, what = self.rng.choice(self.people), self.rng.choice(ACTS)
        whose, post = self.rng.choice(self.posts) if self.posts else (who, None)
        if what == "post" or post is None:
            text = f"{self.rng.random()} https://{self.rng.choice('abc')}.example/"
            self.posts.append((who, await self.sent(who.post(text))))
        elif what == "quote":
            more = {"quote": post.id, "quote_account": post.header.account}
            self.posts.append((who, await self.sent(who.post("see", **more))))
        elif what == "repost":
            body = {"target": post.id, "target_account": post.header.account}
            await self.sent(who.sign(kinds.REPOST, body))
        elif what == "edit":
            text = f"edited, see https://{self.rng.choice('abcd')}.example/"
            await self.sent(whose.sign(kinds.EDIT, {"text": text}, target=post.id))
        elif what == "delete":
            await self.sent(whose.sign(kinds.DELETE, {"ids": [post.id]}))
        elif what in ("follow", "unfollow"):
            body = {"state": int(what == "follow")}
            await self.sent(who.sign(kinds.FOLLOW, body, target=whose.account))
        elif what == "block":
            self.block()
        else:
            self.node.gate.policy = Policy.parse(rule(self.rng), self.entries)
            await self.node.gate.review()

    async def sent(self, one: Any) -> Any:
        from ratoon_node.ingest.submission import Origin, Way

        await self.node.gate.submit([one.encode()], Origin(Way.API))
        return one

    def block(self) -> None:
        verdict = self.rng.choice([Verdict.ACCEPT, Verdict.LIMIT, Verdict.HOLD, Verdict.WITHHOLD])
        if self.entries and self.rng.random() < 0.5:
            self.entries.pop()
        elif self.rng.random() < 0.5:
            entity = f"{self.rng.choice('abcd')}.example"
            self.entries.append(ListEntry(Subject.DOMAIN, entity, verdict))
        else:
            entity = self.rng.choice(self.people).account.hex()
            self.entries.append(ListEntry(Subject.ACCOUNT, entity, verdict))
        self.node.gate.policy = self.node.gate.policy.with_entries(self.entries)


def rule(rng: random.Random) -> bytes:
    then = rng.choice(["limit", "hold", "withhold"])
    return (
        f'[[rule]]\nid = "a"\nthen = "{then}"\nreason = "r"\nwhen = {{ text_bytes_min = 39 }}\n'
    ).encode()


def seen(db: sqlite3.Connection, viewer: Viewer, account: bytes) -> list[Any]:
    """Everything that one may read, as it would be told."""
    found: list[Any] = []
    numbers = [n for (n,) in db.execute("SELECT n FROM record ORDER BY n")]
    for one in viewer.look_at([*numbers, max(numbers) + 1]):
        if one is None:
            found.append(None)
        else:
            view = item_view(one) if isinstance(one, Item) else masked_view(b"", one)
            found.append(view)
    for cursor in (Cursor(), Cursor(40), Cursor(0, newest_first=False), Cursor(60, False)):
        for page in (
            walk.network(db, viewer, cursor, 7),
            walk.home(db, viewer, account, cursor, 7),
            walk.by_author(db, viewer, account, cursor, 7),
        ):
            found.append(([item.id for item in page.items], page.next, page.end))
    return found


async def test_what_is_remembered_is_what_a_cold_look_finds(tmp_path: Path) -> None:
    for seed in range(3):
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        async with running(folder, seed + 1) as node:
            clock = node.runtime.clock
            assert isinstance(clock, Clock)
            network = node.settings.network_bytes
            people = [person(network, random.Random(100 + at), clock) for at in range(5)]
            for who in people:
                await join(node, who)
            life = Life(node, people, rng)
            sight = Sight(node.db, clock, partial(getattr, node.gate, "policy"))
            for step in range(60):
                await life.act()
                if step == 50:
                    await life.sent(vanish(people[-1]))
                await node.gate.settled()
                account = rng.choice(people).account

                def cold(db: sqlite3.Connection, like: Viewer, account: bytes = account) -> Any:
                    viewer = Viewer(db, like.policy, like.now_ms)
                    return seen(db, viewer, account)

                def warm(db: sqlite3.Connection, viewer: Viewer, account: bytes = account) -> Any:
                    return seen(db, viewer, account)

                assert await sight.read(warm) == await sight.read(cold), (seed, step)


def counted(db: sqlite3.Connection, viewer: Viewer) -> dict[bytes, Any]:
    """What is counted of every post."""
    numbers = [place.n for place in listed.places_before(db, 2**53, 500)]
    items = [one for one in viewer.look_at(numbers) if isinstance(one, Item)]
    return {id_: one.counts for id_, one in tallies(db, viewer, items).items()}


async def test_remembered_counts_are_what_a_cold_count_finds(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        rng = random.Random(11)
        network = node.settings.network_bytes
        people = [person(network, random.Random(200 + at), clock) for at in range(5)]
        for who in people:
            await join(node, who)
        life = Life(node, people, rng)
        sight = Sight(node.db, clock, lambda: node.gate.policy)
        cast: list[tuple[Person, Any]] = []
        for step in range(120):
            who = rng.choice(people)
            _, post = rng.choice(life.posts) if life.posts else (who, None)
            what = rng.choice(("react", "reply", "take back", "other"))
            if post is None or what == "other":
                await life.act()
            elif what == "react":
                body = {"emoji": rng.choice("ab"), "state": rng.randint(0, 1)}
                await life.sent(who.sign(kinds.REACTION, body, target=post.id))
            elif what == "reply":
                names = ("parent", "root")
                place = dict.fromkeys(names, post.id)
                place |= {f"{name}_account": post.header.account for name in names}
                cast.append((who, await life.sent(who.post("indeed", **place))))
            elif cast:
                owner, reply = cast.pop(rng.randrange(len(cast)))
                await life.sent(owner.sign(kinds.DELETE, {"ids": [reply.id]}))
            if step == 100:
                await life.sent(vanish(people[-1]))
            await node.gate.settled()
            await node.digest.reached(await node.db.read(read.journal_end))

            def cold(db: sqlite3.Connection, like: Viewer) -> Any:
                return counted(db, Viewer(db, like.policy, like.now_ms))

            assert await sight.read(counted) == await sight.read(cold), step
        assert any(one.replies for one in (await sight.read(counted)).values())


async def test_a_move_and_a_new_name_count_on_the_next_read(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        ann = person(node.settings.network_bytes, random.Random(3), clock)
        await join(node, ann)
        life = Life(node, [ann], random.Random(1))
        await life.sent(ann.post("x"))
        sight = Sight(node.db, clock, lambda: node.gate.policy)

        def look(db: sqlite3.Connection, viewer: Viewer) -> tuple[list[bool], str]:
            numbers = [place.n for place in listed.places_before(db, 2**53, 9)]
            shown = [isinstance(one, Item) for one in viewer.look_at(numbers)]
            return shown, faces(db, viewer, [ann.account])[ann.account].card.name

        for name in ("Ann", "Anna"):
            await life.sent(ann.sign(kinds.PROFILE, {"name": name, "bio": ""}, target=b""))
            assert await sight.read(look) == ([True], name)
        entry = ListEntry(Subject.NODE, node.own.account.hex(), Verdict.WITHHOLD)
        node.gate.policy = Policy.parse(b"", [entry])
        assert await sight.read(look) == ([False], "")
        await node.own.host(ann.account, hosting=False)
        assert await sight.read(look) == ([True], "Anna")


async def test_an_account_that_is_judged_anew_is_not_remembered(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        ann = person(node.settings.network_bytes, random.Random(3), clock)
        await join(node, ann)
        life = Life(node, [ann], random.Random(1))
        await life.sent(ann.post("x"))
        sight = Sight(node.db, clock, lambda: node.gate.policy)

        def shown(db: sqlite3.Connection, viewer: Viewer) -> list[bool]:
            numbers = [place.n for place in listed.places_before(db, 2**53, 9)]
            return [isinstance(one, Item) for one in viewer.look_at(numbers)]

        def mark(judged: int, suspect: int) -> Any:
            def write(db: sqlite3.Connection) -> None:
                db.execute("UPDATE account SET judged = ? WHERE id = ?", (judged, ann.account))
                db.execute("UPDATE chain SET suspect = ?", (suspect,))

            return write

        assert await sight.read(shown) == [True]
        await node.db.write(mark(0, 1))
        assert await sight.read(shown) == [False]
        await node.db.write(mark(1, 0))
        assert await sight.read(shown) == [True]


async def test_names_and_counts_come_back_after_an_account_was_judged_anew(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        network = node.settings.network_bytes
        ann, bob = (person(network, random.Random(seed), clock) for seed in (3, 4))
        await join(node, ann)
        await join(node, bob)
        life = Life(node, [ann, bob], random.Random(1))
        post = await life.sent(ann.post("x"))
        await life.sent(bob.sign(kinds.REACTION, {"emoji": "a", "state": 1}, target=post.id))
        await life.sent(bob.sign(kinds.PROFILE, {"name": "Bob", "bio": ""}, target=b""))
        await node.digest.reached(await node.db.read(read.journal_end))
        sight = Sight(node.db, clock, lambda: node.gate.policy)

        def told(db: sqlite3.Connection, viewer: Viewer) -> tuple[Any, str]:
            name = faces(db, viewer, [bob.account])[bob.account].card.name
            return counted(db, viewer)[post.id].reactions, name

        def mark(judged: int) -> Any:
            def write(db: sqlite3.Connection) -> None:
                where = "(SELECT n FROM account WHERE id = ?)"
                db.execute("UPDATE account SET judged = ? WHERE id = ?", (judged, bob.account))
                sql = f"UPDATE chain SET suspect = ? WHERE account = {where}"
                db.execute(sql, (1 - judged, bob.account))

            return write

        await node.db.write(mark(0))
        assert await sight.read(told) == ({}, "")
        await node.db.write(mark(1))
        clock.offset_ms += 60_000
        assert await sight.read(told) == ({"a": 1}, "Bob")


async def test_what_lists_hide_until_a_time_counts_again_after_it(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        network = node.settings.network_bytes
        ann, bob = (person(network, random.Random(seed), clock) for seed in (3, 4))
        await join(node, ann)
        await join(node, bob)
        life = Life(node, [ann, bob], random.Random(1))
        post = await life.sent(ann.post("x"))
        await life.sent(bob.sign(kinds.REACTION, {"emoji": "a", "state": 1}, target=post.id))
        await life.sent(bob.sign(kinds.PROFILE, {"name": "Bob", "bio": ""}, target=b""))
        await node.digest.reached(await node.db.read(read.journal_end))
        until = clock.now_ms() + 30_000
        entry = ListEntry(Subject.ACCOUNT, bob.account.hex(), Verdict.WITHHOLD, expires_ms=until)
        node.gate.policy = node.gate.policy.with_entries([entry])
        sight = Sight(node.db, clock, lambda: node.gate.policy)

        def told(db: sqlite3.Connection, viewer: Viewer) -> tuple[Any, str]:
            name = faces(db, viewer, [bob.account])[bob.account].card.name
            return counted(db, viewer)[post.id].reactions, name

        assert await sight.read(told) == ({}, "")
        clock.offset_ms += 60_000
        assert await sight.read(told) == ({"a": 1}, "Bob")


def test_memory_is_bounded_and_keeps_what_is_used() -> None:
    recent: Recent[int, int] = Recent(100, Lock(), lambda value: value)
    recent.keep(-1, 1)
    for key in range(1000):
        recent.keep(key, 10)
        assert recent.get(-1) == 1
        assert recent.cost <= 120
        assert len(recent) <= 12
    assert recent.get(999) == 10
    assert recent.get(900) is None
    recent.drop(999)
    assert recent.get(999) is None
