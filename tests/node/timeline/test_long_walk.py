"""A walk through every timeline while five thousand posts arrive late and five hundred go."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import read
from ratoon_node.store.references import Relation
from ratoon_node.timeline import tables, walk
from ratoon_node.timeline.thread import thread
from ratoon_node.timeline.visibility import Sight, Viewer
from ratoon_node.timeline.walk import Cursor, Page
from ratoon_protocol import kinds
from ratoon_protocol.record import Record
from tests.node.timeline.life import picture, tagged
from tests.node.world import Person, join, person, running

PEOPLE = 10
BEFORE = 1000
LATE = 5000
DELETED = 400
# Whose posts are blocked on the way.
BLOCKED = 2
# Posts that go, of those that were there before.
GONE = 500

Make = Callable[..., Page]


class Town(NamedTuple):
    """People on one node, the posts that were there before, and those that come late."""

    node: Node
    people: list[Person]
    root: Record
    before: list[Record]
    late: list[Record]
    rng: random.Random

    async def publish(self, records: list[Record]) -> None:
        parts = [one.encode() for one in records]
        await self.node.gate.submit(parts, Origin(Way.BUNDLE))

    async def digested(self) -> None:
        await self.node.digest.reached(await self.node.db.read(read.journal_end))

    def block(self) -> set[bytes]:
        """The last two are blocked from now on."""
        whom = {one.account for one in self.people[-BLOCKED:]}
        entries = [ListEntry(Subject.ACCOUNT, one.hex(), Verdict.HOLD) for one in whom]
        self.node.gate.policy = self.node.gate.policy.with_entries(entries)
        return whom


def written(town_of: list[Person], root: Record, count: int, rng: random.Random) -> list[Record]:
    """Posts that belong into every timeline: a tag, a picture, an answer to the root."""
    names = {"parent": root.id, "root": root.id}
    names |= {"parent_account": town_of[0].account, "root_account": town_of[0].account}
    return [
        rng.choice(town_of).sign(kinds.POST, {**tagged(["news"]), "media": [picture(rng)], **names})
        for _ in range(count)
    ]


async def town(node: Node) -> Town:
    rng = random.Random(7)
    network, clock = node.settings.network_bytes, node.runtime.clock
    people = [person(network, random.Random(500 + seed), clock) for seed in range(PEOPLE)]
    for one in people:
        await join(node, one)
    first = people[0]
    root = first.post("root")
    before = written(people, root, BEFORE, rng)
    late = written(people, root, LATE, rng)
    found = Town(node, people, root, before, late, rng)
    members = [one.account for one in people]
    await found.publish(
        [
            *(first.sign(kinds.FOLLOW, {"state": 1}, one.account) for one in people[1:]),
            first.sign(kinds.LIST, {"members": members, "state": 1, "title": "x"}, bytes(16)),
            root,
            *before,
        ]
    )
    await found.digested()
    return found


class Walker:
    """One reader of one timeline: where it is and what it saw."""

    def __init__(self, sight: Sight, make: Make, newest_first: bool, whose: set[bytes]) -> None:
        self.sight = sight
        self.make = make
        self.newest_first = newest_first
        self.whose = whose
        self.cursor: Cursor | None = Cursor() if newest_first else Cursor(0, newest_first=False)
        self.seen: list[bytes] = []
        self.end = 0
        #: The last page was the last one for now.
        self.done = False

    async def page(self, hidden: set[bytes], blocked: set[bytes]) -> None:
        """The next page; nothing on it may be hidden."""
        if self.cursor is None:
            return
        found = await self.sight.read(partial(self.make, cursor=self.cursor, limit=40))
        self.end = self.end or found.end
        for item in found.items:
            assert item.id not in hidden, "nothing deleted is shown"
            assert item.account not in blocked, "nothing blocked is shown"
            self.seen.append(item.id)
        self.done = found.next is None
        if found.next is not None:
            self.cursor = Cursor(found.next, self.newest_first)
        elif self.newest_first:
            self.cursor = None
        else:  # that was all so far: go on with what comes from now on
            self.cursor = Cursor(found.end, newest_first=False)


def every(place: Town) -> dict[str, tuple[Make, set[bytes]]]:
    """Each timeline, and whose posts are in it."""
    everybody = {one.account for one in place.people}
    own, members = place.people[0].account, [one.account for one in place.people]
    mine = place.people[3].account
    root = place.root.id
    return {
        "network": (walk.network, everybody),
        "local": (tables.local, everybody),
        "home": (partial(walk.home, account=own), everybody),
        "list": (partial(walk.by_authors, accounts=members), everybody),
        "tag": (partial(tables.tag, tag="NEWS"), everybody),
        "author": (partial(walk.by_author, account=mine), {mine}),
        "author's replies": (partial(tables.replies_by, account=mine), {mine}),
        "author's media": (partial(tables.media_by, account=mine), {mine}),
        "replies": (partial(tables.referring, how=Relation.REPLY, id_=root), everybody),
        "thread": (in_thread(root), everybody),
    }


def in_thread(root: bytes) -> Make:
    """A thread as a page of its replies; it goes upwards alone."""

    def make(db: Any, viewer: Viewer, cursor: Cursor, limit: int) -> Page:
        after = cursor.position if not cursor.newest_first else 0
        found = thread(db, viewer, root, after, limit)
        assert found is not None
        return Page(found.replies, found.next, found.end)

    return make


@pytest.mark.parametrize("newest_first", [True, False])
async def test_nothing_comes_twice_is_missing_or_shown_though_hidden(
    tmp_path: Path, newest_first: bool
) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)
        walkers = {
            name: Walker(sight, make, newest_first, whose)
            for name, (make, whose) in every(place).items()
            if not (newest_first and name == "thread")
        }
        deleted, blocked = await walk_while_things_happen(place, list(walkers.values()))
        await place.digested()
        for name, walker in walkers.items():
            await finish(walker, deleted, blocked)
            check(place, name, walker, deleted, blocked)
        if newest_first:
            for name, walker in walkers.items():
                await check_news(place, name, walker, deleted, blocked)


async def walk_while_things_happen(
    place: Town, walkers: list[Walker]
) -> tuple[set[bytes], set[bytes]]:
    """Between the pages posts arrive, some are deleted, two people are blocked."""
    late, victims = list(place.late), place.rng.sample(place.before, DELETED)
    deleted: set[bytes] = set()
    blocked: set[bytes] = set()
    rounds = 0
    while late or any(not walker.done for walker in walkers):
        for walker in walkers:
            await walker.page(deleted, blocked)
        batch, late = late[:250], late[250:]
        gone, victims = victims[:20], victims[20:]
        by = {one.account: one for one in place.people}
        deletes = [by[one.header.account].sign(kinds.DELETE, {"ids": [one.id]}) for one in gone]
        await place.publish([*batch, *deletes])
        deleted |= {one.id for one in gone}
        rounds += 1
        if rounds == 6:
            blocked = place.block()
        if rounds % 5 == 0:  # else the digest comes when it comes
            await place.digested()
    taken = [one for one in place.before if one.header.account in blocked or one.id in deleted]
    assert len(taken) >= GONE
    return deleted, blocked


async def finish(walker: Walker, deleted: set[bytes], blocked: set[bytes]) -> None:
    """The rest of a walk, with nothing happening any more."""
    walker.done = walker.cursor is None
    while not walker.done:
        await walker.page(deleted, blocked)


def check(place: Town, name: str, walker: Walker, deleted: set[bytes], blocked: set[bytes]) -> None:
    """What stood there all the time was seen, once; nothing twice."""
    seen = set(walker.seen)
    assert len(walker.seen) == len(seen), f"{name}: nothing comes twice"
    stayed = {
        one.id
        for one in [*place.before, *([] if walker.newest_first else place.late)]
        if one.header.account in walker.whose - blocked and one.id not in deleted
    }
    assert stayed <= seen, f"{name}: nothing is missing"


async def check_news(
    place: Town, name: str, walker: Walker, deleted: set[bytes], blocked: set[bytes]
) -> None:
    """Whoever goes on above the first page's end gets all that came since, and only that."""
    since = Walker(walker.sight, walker.make, False, walker.whose)
    since.cursor = Cursor(walker.end, newest_first=False)
    await finish(since, deleted, blocked)
    wanted = {
        one.id
        for one in place.late
        if one.header.account in walker.whose - blocked and one.id not in deleted
    }
    assert len(since.seen) == len(set(since.seen)), f"{name}: nothing comes twice"
    assert set(since.seen) == wanted, f"{name}: all that is new, and nothing else"
