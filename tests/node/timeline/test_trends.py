"""Trends are what a slow count of accounts, nodes and hours says, and nobody makes one alone."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import listed, read
from ratoon_node.store import trends as store
from ratoon_node.store.trends import Trend, Use
from ratoon_node.timeline import trends
from ratoon_node.timeline.trends import Trending, counted
from ratoon_node.timeline.visibility import Item, Viewer
from ratoon_protocol import bodies, kinds, record
from ratoon_protocol.record import Record
from tests.node.world import Person, movable, person, running

HOUR_MS = 3_600_000
TAGS = ("snow", "rain", "Wind")


class Town:
    """People at home at several nodes, all of whose records are here."""

    def __init__(self, node: Any, nodes: int) -> None:
        self.node = node
        self.rng = random.Random(1)
        self.nodes = [self.rng.randbytes(32) for _ in range(nodes)]
        self.people: list[Person] = []

    async def start(self) -> None:
        def add(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO account (id, first_seen_ms) VALUES (?, 0)", [(n,) for n in self.nodes]
            )

        await self.node.db.write(add)

    async def move_in(self, count: int, *at: int) -> list[Person]:
        """People whose homes are these nodes."""
        network, homes = self.node.settings.network_bytes, [self.nodes[n] for n in at]
        clock = self.node.runtime.clock
        found = [person(network, self.rng, clock, homes) for _ in range(count)]
        for who in found:
            await self.node.own.host(who.account)
        await self.publish(*(who.genesis for who in found))
        await self.node.db.write(lambda db: host(db, [who.account for who in found], homes))
        self.people += found
        return found

    async def publish(self, *records: Record) -> None:
        await self.node.gate.submit([one.encode() for one in records], Origin(Way.BUNDLE))

    async def look(self) -> trends.Board:
        await self.node.digest.reached(await self.node.db.read(read.journal_end))
        return await self.node.trends.look()

    async def tags(self) -> dict[str, Trending]:
        return {str(one.target): one for one in (await self.look()).tags}

    def later(self, hours: float) -> None:
        movable(self.node.runtime.clock).offset_ms += int(hours * HOUR_MS)


def host(db: sqlite3.Connection, accounts: Sequence[bytes], nodes: Sequence[bytes]) -> None:
    """As if these nodes had said that they host them."""
    for node in nodes:
        (n,) = db.execute("SELECT n FROM account WHERE id = ?", (node,)).fetchone()
        (top,) = db.execute("SELECT max(record) FROM pointer").fetchone()
        db.executemany(
            "INSERT INTO pointer (record, account, kind, target, state, created_ms)"
            " VALUES (?, ?, ?, ?, 1, 1)",
            [(top + 10**6 + at, n, kinds.HOSTING, one) for at, one in enumerate(accounts)],
        )


def tagged(who: Person, tag: str, **more: object) -> Record:
    facets = [[0, len(tag.encode()) + 1, 2, tag]]
    return who.sign(kinds.POST, {"text": f"#{tag} {who.rng.random()}", "facets": facets, **more})


async def town(node: Any, nodes: int = 3) -> Town:
    made = Town(node, nodes)
    await made.start()
    return made


async def test_five_accounts_at_two_nodes_are_a_trend_and_the_answer_says_why(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        people = [*await place.move_in(3, 0), *await place.move_in(2, 1)]
        await place.publish(*(tagged(who, "Snow") for who in people[:4]))
        assert await place.tags() == {}
        await place.publish(tagged(people[4], "SNOW"))
        # The node with three of them counts for as many as the other: two.
        assert await place.tags() == {}
        (sixth,) = await place.move_in(1, 2)
        await place.publish(tagged(sixth, "snow"))
        assert await place.tags() == {"snow": Trending("snow", 6, 3, 0.0)}
        place.later(trends.WINDOW_HOURS + 1)
        assert await place.tags() == {}


async def test_a_thousand_accounts_of_one_node_are_no_trend(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        crowd = await place.move_in(1000, 0)
        await place.publish(*(tagged(who, "buy") for who in crowd))
        assert await place.tags() == {}
        # Two helpers at other nodes count, and let as many of the thousand count.
        await place.publish(*(tagged(who, "buy") for who in await place.move_in(2, 1)))
        assert await place.tags() == {}


async def test_one_account_is_one_however_much_it_says(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        loud, *others = [*await place.move_in(3, 0), *await place.move_in(1, 1)]
        await place.publish(*(tagged(loud, "me") for _ in range(300)))
        await place.publish(*(tagged(who, "me") for who in others))
        assert await place.tags() == {}


async def test_nobody_without_a_home_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        await place.publish(*(tagged(who, "x") for who in await place.move_in(20)))
        assert await place.tags() == {}


async def test_who_is_limited_neither_counts_nor_shows(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        first, second = await place.move_in(3, 0), await place.move_in(3, 1)
        author = first[0]
        post = author.post("look at this")
        await place.publish(post, *(tagged(who, "x") for who in (*first, *second)))
        names = {"target": post.id, "target_account": author.account}
        likes = [
            who.sign(kinds.REACTION, {"emoji": "👍", "state": 1}, post.id) for who in first[1:]
        ]
        more = [who.sign(kinds.REPOST, names) for who in (*second, author)]
        answers = await place.move_in(1, 2)
        place_of = {"parent": post.id, "root": post.id, "parent_account": author.account}
        reply = answers[0].post("yes", **place_of, root_account=author.account)
        await place.publish(*likes, *more, reply)
        board = await place.look()
        assert [one.target for one in board.tags] == ["x"]
        assert [(one.target, one.accounts, one.nodes) for one in board.posts] == [(post.id, 6, 3)]

        def limit(who: Person) -> None:
            entry = ListEntry(Subject.ACCOUNT, who.account.hex(), Verdict.LIMIT)
            node.gate.policy = node.gate.policy.with_entries([entry])

        limit(second[0])
        board = await place.look()
        assert board.tags == ()
        assert [one.accounts for one in board.posts] == [5]
        limit(author)
        assert (await place.look()).posts == ()
        node.gate.policy = node.gate.policy.with_entries([])
        await place.publish(second[0].sign(kinds.DELETE, {"ids": [more[0].id, more[1].id]}))
        assert [one.accounts for one in (await place.look()).posts] == [5]


async def test_what_is_usual_is_no_trend(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        people = [*await place.move_in(3, 0), *await place.move_in(3, 1)]
        for _ in range(trends.USUAL_HOURS // trends.WINDOW_HOURS + 2):
            await place.publish(*(tagged(who, "daily") for who in people))
            place.later(trends.WINDOW_HOURS)
        await place.publish(*(tagged(who, tag) for who in people for tag in ("daily", "new")))
        assert set(await place.tags()) == {"new"}


async def test_old_posts_that_come_late_are_no_trend(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        people = [*await place.move_in(3, 0), *await place.move_in(3, 1)]
        old = [tagged(who, "x") for who in people]
        place.later(trends.WINDOW_HOURS + 1)
        await place.publish(*old)
        assert await place.tags() == {}
        ancient = [tagged(who, "x") for who in people]
        place.later(trends.USUAL_HOURS + 2 * trends.WINDOW_HOURS)
        await place.publish(*ancient)
        assert await place.tags() == {}
        rows = await node.db.read(lambda db: db.execute("SELECT * FROM trend_use").fetchall())
        assert rows == [], "what is older than the week is not kept"


@pytest.mark.parametrize("seed", range(2))
async def test_trends_are_what_a_slow_count_says(tmp_path: Path, seed: int) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        rng = place.rng = random.Random(seed)
        for at in ((0,), (0,), (0, 1), (1,), (1, 2), (2,), ()):
            await place.move_in(4, *at)
        posts: list[tuple[Person, Record]] = []
        found = 0
        for _ in range(25):
            some: list[Record] = []
            for _ in range(rng.randint(5, 40)):
                some.append(made(rng, place.people, posts))
            if posts and rng.random() < 0.5:
                who, post = rng.choice(posts)
                some.append(who.sign(kinds.DELETE, {"ids": [post.id]}))
            await place.publish(*some)
            blocked = rng.choice(place.people).account.hex()
            entries = [ListEntry(Subject.ACCOUNT, blocked, Verdict.LIMIT)]
            node.gate.policy = node.gate.policy.with_entries(entries)
            place.later(rng.choice((0.2, 0.2, 1, 7, 30)))
            board = await place.look()
            slow = await count(node, board.made_ms)
            for what, rows in ((Trend.TAG, board.tags), (Trend.POST, board.posts)):
                assert {one.target: one[1:4] for one in rows} == slow[what]
                assert [one.rise for one in rows] == sorted((o.rise for o in rows), reverse=True)
                found += len(rows)
        assert found > 5


def made(rng: random.Random, people: list[Person], posts: list[tuple[Person, Record]]) -> Record:
    who = rng.choice(people)
    if posts and rng.random() < 0.5:
        author, post = rng.choice(posts[-8:])
        if rng.random() < 0.5:
            names = {"target": post.id, "target_account": author.account}
            return who.sign(kinds.REPOST, names)
        state = int(rng.random() < 0.8)
        return who.sign(kinds.REACTION, {"emoji": "👍", "state": state}, post.id)
    post = tagged(who, rng.choice(TAGS))
    posts.append((who, post))
    return post


async def count(node: Any, now_ms: int) -> dict[Trend, dict[Any, tuple[int, int, float]]]:
    """The rule of the module's docstring, by a look at every record there is."""

    def look(db: sqlite3.Connection) -> dict[Trend, dict[Any, tuple[int, int, float]]]:
        viewer = Viewer(db, node.gate.policy, now_ms)
        rows = [viewer.look(one) for one in listed.listed_all(db, 0, 100_000)]
        items = [one for one in rows if isinstance(one, Item) and one.verdict < Verdict.LIMIT]
        authors = {one.id: one.account for one in items if one.record.header.kind == kinds.POST}
        uses: dict[tuple[Trend, Any], set[tuple[int, bytes]]] = defaultdict(set)
        for item in items:
            header = item.record.header
            hour = header.created_ms // HOUR_MS
            for tag in bodies.tags(header.kind, item.body):
                uses[Trend.TAG, tag.lower()].add((hour, item.account))
            if header.kind in (kinds.REPOST, kinds.REACTION) and item.body.get("state", 1):
                uses[Trend.POST, item.body["target"]].add((hour, item.account))
        found: dict[Trend, dict[Any, tuple[int, int, float]]] = {Trend.TAG: {}, Trend.POST: {}}
        for (what, target), some in uses.items():
            if what is Trend.POST and target not in authors:
                continue
            own = authors.get(target)
            row = slow_rule(db, now_ms // HOUR_MS, {one for one in some if one[1] != own})
            if row is not None:
                found[what][target] = row
        return found

    return await node.db.read(look)


def slow_rule(
    db: sqlite3.Connection, hour: int, uses: set[tuple[int, bytes]]
) -> tuple[int, int, float] | None:
    windows: dict[int, set[bytes]] = defaultdict(set)
    for at, account in uses:
        back = (hour - at) // trends.WINDOW_HOURS
        if 0 <= back <= trends.USUAL_HOURS // trends.WINDOW_HOURS:
            windows[back].add(account)
    accounts, nodes = slow_count(db, windows.pop(0, set()))
    usual = sum(slow_count(db, window)[0] for window in windows.values())
    usual_mean = usual / (trends.USUAL_HOURS // trends.WINDOW_HOURS)
    if accounts < trends.ACCOUNTS_MIN or accounts < trends.RISE_MIN * usual_mean:
        return None
    return accounts, nodes, usual_mean


def slow_count(db: sqlite3.Connection, accounts: set[bytes]) -> tuple[int, int]:
    homes: dict[bytes, list[bytes]] = {}
    for account in accounts:
        head = read.account(db, account)
        assert head is not None
        assert head.head is not None
        stored = read.by_id(db, head.head)
        assert stored is not None
        hosts = read.hosts(db, account)
        listed_ = record.decode_payload(stored.payload or b"")["homes"]
        homes[account] = [node for node in listed_ if node in hosts]
    tally = Counter(node for nodes in homes.values() for node in nodes)
    at = Counter(max(nodes, key=lambda n: (tally[n], n)) for nodes in homes.values() if nodes)
    most = max(at.values(), default=0)
    others = at.total() - most
    return min(most, others) + others, len(at)


def test_the_largest_node_counts_for_no_more_than_the_others() -> None:
    assert counted([b"a"] * 1000) == 0
    assert counted([b"a"] * 1000 + [b"b"] * 3) == 6
    assert counted([b"a", b"b", b"c"]) == 3
    assert counted([]) == 0


def test_rows_are_bounded_by_time_and_by_number() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE trend_use (n INTEGER PRIMARY KEY, record, what, target, hour, author)")
    uses = [Use(at, Trend.TAG, "x", at // 10, 1) for at in range(100)]
    store.replace(db, [], uses)

    def left() -> list[int]:
        return [n for (n,) in db.execute("SELECT record FROM trend_use ORDER BY n")]

    store.prune(db, 2, 1000, 5)
    assert left() == list(range(5, 100))
    for _ in range(3):
        store.prune(db, 2, 1000, 5)
    assert left() == list(range(20, 100))
    store.prune(db, 0, 60, 100)
    assert left() == list(range(40, 100))
    store.replace(db, [50, 51], [Use(51, Trend.TAG, "y", 9, 1)])
    assert left() == [*range(40, 50), *range(52, 100), 51]


async def test_nothing_on_the_way_of_a_request_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        place = await town(node)
        people = [*await place.move_in(3, 0), *await place.move_in(3, 1)]
        await place.publish(*(tagged(who, "x") for who in people))
        await place.look()

        def plans(db: sqlite3.Connection) -> list[str]:
            seen: list[str] = []
            db.set_trace_callback(seen.append)
            hours = range(5, 10)
            store.busiest(db, Trend.TAG, hours, 5, 10)
            store.users(db, Trend.TAG, "x", hours, 10)
            store.by_hour(db, Trend.TAG, "x", hours, 10)
            db.set_trace_callback(None)
            return [row[3] for sql in seen for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]

        steps = await node.db.read(plans)
        assert not [step for step in steps if step.startswith("SCAN")]
        assert sum("USING COVERING INDEX trend_use_" in step for step in steps) == 3
