"""Search finds what a slow look at everything finds, in the order and pages it promises."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ratoon_node.errors import NodeError
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import listed, read, words
from ratoon_node.timeline import search, terms
from ratoon_node.timeline.digest import Seen
from ratoon_node.timeline.search import After, Order
from ratoon_node.timeline.terms import Query
from ratoon_node.timeline.visibility import Item, Sight, Viewer
from ratoon_node.timeline.words import WordChapter
from ratoon_protocol import kinds, record
from ratoon_protocol.limits import DAY_MS
from ratoon_protocol.record import Record
from tests.node.world import Person, join, movable, person, running

WORDS = ("tree", "treetop", "Café", "RIVER", "straße", "don't", "снег", "ёлка", "κόσμος", "it")
FOLDED = {
    "Café": ["cafe"],
    "RIVER": ["river"],
    "straße": ["strasse"],
    "don't": ["don", "t"],
    "ёлка": ["елка"],
    "κόσμος": ["κοσμοσ"],
}
SIGNS = "東京都日本語สวัสดี"
TAGS = ("news", "Café", "日本")


class Said(NamedTuple):
    """A text, the tokens that a slow reader sees in it, and the tags it bears."""

    text: str
    tokens: list[str]
    tags: list[str]


class Life:
    """People who post, edit and delete; one is blocked now and then; days pass."""

    def __init__(self, node: Any, seed: int) -> None:
        self.node = node
        self.rng = random.Random(seed)
        self.people: list[Person] = []
        self.posts: list[tuple[Person, bytes]] = []
        self.now_ms = self.node.runtime.clock.now_ms
        self.said: dict[str, Said] = {}
        self.blocked: set[bytes] = set()
        self.sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)

    async def settle(self, count: int) -> None:
        for seed in range(count):
            network = self.node.settings.network_bytes
            self.people.append(person(network, random.Random(seed), self.node.runtime.clock))
            await join(self.node, self.people[-1])

    def body(self) -> dict[str, Any]:
        rng = self.rng
        tags = rng.sample(TAGS, rng.choice((0, 0, 1, 2)))
        text, facets, tokens = "", [], []
        for tag in tags:
            start = len(text.encode())
            text += f"#{tag}"
            facets.append([start, len(text.encode()), 2, tag])
            text += " "
            tokens += list(tag) if tag == "日本" else [tag.lower().replace("é", "e")]
        if rng.random() < 0.3:
            signs = rng.choices(SIGNS, k=rng.randint(1, 9))
            text += "".join(signs)
            tokens += signs
        else:
            some = rng.choices(WORDS, k=rng.randint(1, 9))
            text += " ".join(some)
            tokens += [token for word in some for token in FOLDED.get(word, [word])]
        self.said[text] = Said(text, tokens, tags)
        body: dict[str, Any] = {"text": text, "facets": facets}
        if rng.random() < 0.5:
            body["lang"] = rng.choice(("en", "pt-BR", "ja"))
        return body

    async def step(self) -> None:
        rng, chance = self.rng, self.rng.random()
        if chance < 0.03:
            movable(self.node.runtime.clock).offset_ms += rng.choice((1, 5, 40)) * DAY_MS
        elif chance < 0.05:
            self.blocked ^= {rng.choice(self.people).account}
            verdict = rng.choice((Verdict.LIMIT, Verdict.HOLD))
            entries = [ListEntry(Subject.ACCOUNT, one.hex(), verdict) for one in self.blocked]
            self.node.gate.policy = self.node.gate.policy.with_entries(entries)
        elif chance < 0.75 or not self.posts:
            who = rng.choice(self.people)
            made = who.sign(kinds.POST, self.body())
            self.posts.append((who, made.id))
            await self.publish(made)
        else:
            who, post = rng.choice(self.posts)
            edit = who.sign(kinds.EDIT, self.body(), post)
            gone = who.sign(kinds.DELETE, {"ids": [post]})
            await self.publish(edit if chance < 0.88 else gone)

    async def publish(self, *records: Any) -> None:
        await self.node.gate.submit([one.encode() for one in records], Origin(Way.BUNDLE))

    async def digested(self) -> None:
        await self.node.digest.reached(await self.node.db.read(read.journal_end))

    async def everything(self) -> list[tuple[int, Item]]:
        """What may be found, by numbers, the newest first: a look at every record there is."""

        def look(db: sqlite3.Connection, viewer: Viewer) -> list[tuple[int, Item]]:
            rows = [one for one in listed.listed_all(db, 0, 10_000) if one.row.kind == kinds.POST]
            found = [(one.row.n, viewer.look(one)) for one in reversed(rows)]
            return [
                (n, item)
                for n, item in found
                if isinstance(item, Item) and item.verdict < Verdict.LIMIT
            ]

        return await self.sight.read(look)

    async def page(self, query: Query, order: Order, after: After, limit: int) -> search.Found:
        def ask(db: sqlite3.Connection, viewer: Viewer) -> search.Found:
            return search.posts(db, viewer, query, order, after, limit, self.now_ms())

        return await self.sight.read(ask)

    async def walk(self, query: Query, order: Order, limit: int) -> list[bytes]:
        """All pages of a search."""
        found: list[bytes] = []
        after = After()
        while True:
            page = await self.page(query, order, after, limit)
            assert len(page.items) <= limit
            found += [item.id for item in page.items]
            if page.next is None:
                return found
            after = search.after(page.next, order)

    def query(self) -> tuple[str, Any]:
        """A query, and what a slow reader makes of it: a test of an item."""
        rng = self.rng
        parts: list[str] = []
        tests: list[Any] = []
        for _ in range(rng.randint(1, 3)):
            part, test = self.term()
            no = bool(parts) and rng.random() < 0.3
            parts.append(f"-{part}" if no else part)
            tests.append((lambda item, test=test: not test(item)) if no else test)
        if rng.random() < 0.2:
            day = terms.day_of(self.node.runtime.clock.now_ms() - rng.randint(0, 90) * DAY_MS)
            name = rng.choice(("since", "until"))
            parts.append(f"{name}:{day}")
            made = lambda item: terms.day_of(item.record.header.created_ms)  # noqa: E731
            tests.append(lambda item: made(item) >= day if name == "since" else made(item) <= day)
        return " ".join(parts), lambda item: all(test(item) for test in tests)

    def term(self) -> tuple[str, Any]:
        rng, chance = self.rng, self.rng.random()
        if chance < 0.15:
            who = rng.choice(self.people).account
            return f"from:{who.hex()}", lambda item: item.account == who
        if chance < 0.25:
            tag = rng.choice(TAGS)
            return f"#{tag.upper()}", lambda item: tag in self.of(item).tags
        if chance < 0.35:
            lang = rng.choice(("en", "pt", "pt-br", "ja", "de"))
            return f"lang:{lang}", lambda item: fits_language(item, lang)
        if chance < 0.5:
            start = rng.choice(("tr", "tree", "don", "сн", "riv", "zz"))
            return f"{start}*", lambda item: any(t.startswith(start) for t in self.of(item).tokens)
        if chance < 0.75:
            signs = "".join(rng.choices(SIGNS, k=rng.randint(1, 2)))
            return signs, lambda item: has(self.of(item).tokens, list(signs))
        some = rng.choices(WORDS, k=rng.randint(1, 2))
        phrase = [token for word in some for token in FOLDED.get(word, [word])]
        return f'"{" ".join(some)}"', lambda item: has(self.of(item).tokens, phrase)

    def of(self, item: Item) -> Said:
        return self.said[item.body["text"]]


def fits_language(item: Item, wanted: str) -> bool:
    lang = item.body.get("lang", "").lower()
    return lang == wanted or lang.split("-")[0] == wanted


def has(tokens: list[str], phrase: list[str]) -> bool:
    size = len(phrase)
    return any(tokens[at : at + size] == phrase for at in range(len(tokens) - size + 1))


@pytest.mark.parametrize("seed", range(3))
async def test_search_finds_what_a_slow_look_finds(tmp_path: Path, seed: int) -> None:
    async with running(tmp_path) as node:
        life = Life(node, seed)
        await life.settle(5)
        hits = 0
        for _ in range(8):
            for _ in range(30):
                await life.step()
            await life.digested()
            everything = await life.everything()
            for _ in range(25):
                text, test = life.query()
                try:
                    query = terms.parse(text)
                except NodeError:
                    continue
                slow = [item.id for _, item in everything if test(item)]
                limit = life.rng.choice((1, 3, 20))
                assert await life.walk(query, Order.NEW, limit) == slow, text
                best = await life.walk(query, Order.BEST, limit)
                assert sorted(best) == sorted(slow), text
                hits += len(slow)
        assert hits > 100


async def test_a_walk_skips_and_repeats_nothing_while_posts_come_and_go(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, 7)
        await life.settle(3)
        ann = life.people[0]
        old = [ann.post("tree " * (1 + at % 7)) for at in range(60)]
        await life.publish(*old)
        await life.digested()
        for order in Order:
            after = After()
            seen: list[bytes] = []
            gone: set[bytes] = set()
            while True:
                found = await life.page(terms.parse("tree"), order, after, 7)
                ids = [item.id for item in found.items]
                assert not gone & set(ids)
                seen += ids
                if found.next is None:
                    break
                after = search.after(found.next, order)
                victim = life.rng.choice([one for one in old if one.id not in gone])
                gone.add(victim.id)
                await life.publish(*(ann.post("tree again") for _ in range(3)))
                await life.publish(ann.sign(kinds.DELETE, {"ids": [victim.id]}))
                await life.digested()
            assert len(seen) == len(set(seen))
            assert set(seen) | gone >= {one.id for one in old}
            old = [one for one in old if one.id not in gone]


async def test_what_says_it_more_often_and_shorter_is_better(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, 1)
        await life.settle(1)
        texts = ("snow", "snow snow", "snow and much else that is said here", "snow snow and rain")
        posts = [life.people[0].post(text) for text in texts]
        await life.publish(*posts)
        await life.digested()
        found = await life.walk(terms.parse("snow"), Order.BEST, 3)
        assert [posts[at].id for at in (1, 3, 0, 2)] == found


async def test_people_by_name_bio_and_handle_never_when_hidden(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, 2)
        await life.settle(4)
        ann, ben, cat, dan = life.people
        profiles = (
            {"name": "Anna Müller", "bio": "likes snow"},
            {"name": "Ben", "bio": "knows anna, and snow, snow, snow"},
            {"name": "東京の猫", "bio": ""},
            {"name": "Anna the other", "bio": ""},
        )
        for who, body in zip(life.people, profiles, strict=True):
            await life.publish(who.sign(kinds.PROFILE, body, target=b""))

        async def find(text: str, order: Order = Order.BEST) -> list[bytes]:
            await life.digested()
            query = terms.parse(text, fields=False)
            page = await life.sight.read(
                lambda db, viewer: search.people(db, viewer, query, order, After(), 20)
            )
            return [one.account for one in page.people]

        assert await find("MULLER") == [ann.account]
        assert await find("京の") == [cat.account]
        assert await find("ann*", Order.NEW) == [dan.account, ben.account, ann.account]
        assert (await find("anna"))[-1] == ben.account
        assert await find("anna -other snow") == [ann.account, ben.account]
        block = [ListEntry(Subject.ACCOUNT, ann.account.hex(), Verdict.LIMIT)]
        node.gate.policy = node.gate.policy.with_entries(block)
        assert await find("muller") == []
        node.gate.policy = node.gate.policy.with_entries([])
        movable(node.runtime.clock).offset_ms += 10
        await life.publish(ann.sign(kinds.PROFILE, {"name": "Zoe", "bio": ""}, target=b""))
        assert await find("muller") == []
        assert await find("zoe") == [ann.account]


async def test_tags_by_their_beginning_with_what_can_be_read(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, 3)
        await life.settle(2)
        ann, ben = life.people

        def tagged(who: Person, tag: str) -> Any:
            facets = [[0, len(tag.encode()) + 1, 2, tag]]
            return who.sign(kinds.POST, {"text": f"#{tag}", "facets": facets})

        await life.publish(*(tagged(ann, "snow") for _ in range(3)), tagged(ben, "SNOW"))
        await life.publish(tagged(ben, "snowman"), tagged(ann, "snowy"), tagged(ann, "rain"))
        await life.publish(*(tagged(ann, "sno") for _ in range(25)))

        async def find(beginning: str, limit: int = 20) -> list[tuple[str, int, bool]]:
            await life.digested()
            found: list[tuple[str, int, bool]] = []
            above: str | None = ""
            while above is not None:

                def ask(db: sqlite3.Connection, viewer: Viewer, above: str = above) -> Any:
                    return search.tags(db, viewer, beginning, above, limit)

                some, above = await life.sight.read(ask)
                found += some
            return found

        for limit in (1, 2, 20):
            everything = [("sno", 10, True), ("snow", 4, False), ("snowman", 1, False)]
            assert await find("#SNO", limit) == [*everything, ("snowy", 1, False)]
        block = [ListEntry(Subject.ACCOUNT, ben.account.hex(), Verdict.LIMIT)]
        node.gate.policy = node.gate.policy.with_entries(block)
        assert await find("snow") == [("snow", 3, False), ("snowy", 1, False)]
        assert await find("zzz") == []


async def test_words_of_a_deleted_post_are_in_no_file(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, 4)
        await life.settle(2)
        ann, ben = life.people
        rng = random.Random(5)

        def secret() -> str:
            return "".join(rng.choices("bcdfghjklmnpqrstvwxz", k=12))

        gone: list[str] = []
        for _ in range(4):
            told = [secret() for _ in range(40)]
            posts = [ann.post(f"a {told[at]} and {told[at + 1]}") for at in range(0, 40, 2)]
            await life.publish(*posts, *(ben.post(f"stays {at}") for at in range(40)))
            await life.digested()
            assert all(word.encode() in everything_in(tmp_path) for word in told)
            picked = rng.sample(range(20), 7)
            await life.publish(ann.sign(kinds.DELETE, {"ids": [posts[at].id for at in picked]}))
            gone += [told[2 * at + side] for at in picked for side in (0, 1)]
            # An edit that is deleted again takes its words along.
            new = secret()
            edit = ann.sign(
                kinds.EDIT, {"text": new}, posts[(set(range(20)) - set(picked)).pop()].id
            )
            await life.publish(edit)
            await life.publish(ann.sign(kinds.DELETE, {"ids": [edit.id]}))
            gone.append(new)
        gone.append(await limited_then_deleted(life, ben.post(secret())))
        movable(node.runtime.clock).offset_ms += 10
        names = [secret(), secret()]
        for name in names:
            movable(node.runtime.clock).offset_ms += 10
            await life.publish(ann.sign(kinds.PROFILE, {"name": name, "bio": ""}, target=b""))
            await life.digested()
        await node.gate.settled()
        await life.digested()
        await node.cleaner.clean()
        data = everything_in(tmp_path)
        assert [word for word in (*gone, names[0]) if word.encode() in data] == []
        assert names[1].encode() in data


async def limited_then_deleted(life: Life, post: Record) -> str:
    """The words of a post that was kept out of search before its bytes went."""
    await life.publish(post)
    await life.digested()

    def limit(db: sqlite3.Connection) -> None:
        row = read.by_id(db, post.id)
        assert row is not None
        body = record.decode_payload(row.payload or b"")
        hidden = row._replace(disposition=int(Verdict.LIMIT))
        WordChapter().take(db, [Seen(row.n, hidden, post.header.account, body, 1, False, True)], 0)

    await life.node.db.write(limit)
    (author,) = (who for who in life.people if who.account == post.header.account)
    await life.publish(author.sign(kinds.DELETE, {"ids": [post.id]}))
    return str(record.decode_payload(post.payload or b"")["text"])


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_no_search_looks_at_a_whole_table(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, 6)
        await life.settle(2)
        for _ in range(40):
            await life.step()
        await life.publish(
            life.people[0].sign(kinds.PROFILE, {"name": "A", "bio": "b"}, target=b"")
        )
        await life.digested()
        now_ms = node.runtime.clock.now_ms()
        name = life.people[0].account.hex()
        query = terms.parse(f"tree from:{name} from:a@b.c from:c since:2026-01-01 -river")

        def plans(db: sqlite3.Connection, viewer: Viewer) -> dict[str, list[str]]:
            seen: list[str] = []
            db.set_trace_callback(seen.append)
            for order in Order:
                search.posts(db, viewer, query, order, After(), 20, now_ms)
                search.posts(db, viewer, terms.parse("tree"), order, After(), 20, now_ms)
                search.people(db, viewer, terms.parse("a"), order, After(), 20)
            search.tags(db, viewer, "n", "", 20)
            words.erased(db)
            words.uncut(db)
            db.set_trace_callback(None)
            asked = {sql for sql in seen if sql.startswith("SELECT")}
            return {
                sql: [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in asked
            }

        found = await life.sight.read(plans)
        assert sum("MATCH" in sql for sql in found) >= 4
        for sql, plan in found.items():
            if "_config'" in sql:
                continue  # the index's own settings: a few rows, once a connection
            for step in plan:
                # A full-text table that is looked at for no word and no number ends with a colon.
                by_index = "VIRTUAL TABLE INDEX" in step and not step.endswith(":")
                given = step.startswith(("SCAN wanted VIRTUAL", "SCAN CONSTANT ROW"))
                assert not step.startswith("SCAN") or by_index or given, (sql, plan)
                if "words_" in sql or "listing" in sql or "word_shard" in sql:
                    assert "TEMP B-TREE" not in step, (sql, plan)
