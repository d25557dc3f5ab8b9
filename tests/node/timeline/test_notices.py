"""Notifications: a slow twin on random lives, and each rule by itself."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.api.publish import ACCEPTED
from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.operate.keys import make_keys
from ratoon_node.operate.own import OwnAccount
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import digested, read
from ratoon_node.store import notices as stored
from ratoon_node.store.notices import Notice
from ratoon_node.timeline import inbox, notices
from ratoon_node.timeline.inbox import Inbox
from ratoon_node.timeline.visibility import Sight
from ratoon_node.timeline.walk import Cursor
from ratoon_protocol import kinds
from ratoon_protocol.record import Record
from tests.node.world import Person, join, person, running

DAY_MS = 86_400_000


async def publish(node: Node, *records: Record, wait: bool = True) -> None:
    outcomes = await node.gate.submit([one.encode() for one in records], Origin(Way.BUNDLE))
    assert {one.code for one in outcomes} <= ACCEPTED, outcomes
    if wait:
        await digested_all(node)


async def digested_all(node: Node) -> None:
    await node.digest.reached(await node.db.read(read.journal_end))


async def people(node: Node, count: int, guests: int = 0) -> list[Person]:
    """Some at home here; the guests live at another node, which the operator added."""
    network, clock = node.settings.network_bytes, node.runtime.clock
    found = [person(network, random.Random(100 + n), clock) for n in range(count + guests)]
    for who in found[:count]:
        await join(node, who)
    if guests:
        rng = random.Random(9)
        keys = make_keys(network, rng.randbytes(32), rng, clock.now_ms())
        await node.ledger.add_peer(keys.account, None, None, None)
        await node.peers_changed()
        await node.gate.submit([keys.genesis], Origin(Way.LINK, keys.account))
        other = OwnAccount(keys, node.gate, node.db, clock, rng)
        for who in found[count:]:
            await other.host(who.account)
            await publish(node, who.genesis)
    return found


def mention(*accounts: bytes) -> dict[str, Any]:
    text = " ".join("@x" for _ in accounts)
    facets = [[3 * n, 3 * n + 2, 1, account] for n, account in enumerate(accounts)]
    return {"text": text or "nobody", "facets": facets}


def reply(to: Record) -> dict[str, Any]:
    return {"parent": to.id, "root": to.id, "parent_account": to.header.account}


async def told(node: Node, who: Person, cursor: Cursor | None = None, limit: int = 100) -> Inbox:
    sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)

    def look(db: sqlite3.Connection, viewer: Any) -> Inbox:
        known = viewer.known(who.account)
        return inbox.page(db, viewer, known.n, cursor or Cursor(), inbox.ALL, limit)

    return await sight.read(look)


async def words(node: Node, who: Person) -> list[str]:
    """What somebody is told, oldest first."""
    return [one.line.what.word for one in (await told(node, who)).items][::-1]


async def test_each_kind_is_told_to_whom_it_concerns(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        post = ann.post("hello")
        answer = bob.post("an answer", **reply(post))
        await publish(node, post)
        await publish(node, answer)
        await publish(node, bob.sign(kinds.POST, mention(ann.account)))
        await publish(node, bob.sign(kinds.POST, {"text": "see", "quote": post.id}))
        shared = {"target": post.id, "target_account": ann.account}
        await publish(node, bob.sign(kinds.REPOST, shared))
        await publish(node, bob.sign(kinds.REACTION, {"emoji": "♥", "state": 1}, post.id))
        await publish(node, bob.sign(kinds.FOLLOW, {"state": 1}, ann.account))
        assert await words(node, ann) == [
            *("reply", "mention", "quote", "repost", "reaction", "follow")
        ]
        items = (await told(node, ann)).items
        assert {one.account for one in items} == {bob.account}
        by_word = {one.line.what.word: one for one in items}
        assert by_word["reply"].id == answer.id
        assert {word for word, one in by_word.items() if one.target == post.id} == {
            *("reply", "quote", "repost", "reaction")
        }
        assert await words(node, bob) == []


async def test_a_reply_that_mentions_and_quotes_is_one(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob, cat = await people(node, 3)
        post = ann.post("hello")
        body = mention(ann.account, cat.account, ann.account) | reply(post) | {"quote": post.id}
        await publish(node, post, bob.sign(kinds.POST, body))
        assert await words(node, ann) == ["reply"]
        assert await words(node, cat) == ["mention"]


async def test_nobody_is_told_of_their_own_acts_or_on_a_claim(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        mine, other = ann.post("mine"), bob.post("other")
        await publish(node, mine, other)
        await publish(node, ann.post("me again", **reply(mine)))
        await publish(node, ann.sign(kinds.REACTION, {"emoji": "♥", "state": 1}, mine.id))
        await publish(node, ann.sign(kinds.POST, mention(ann.account)))
        lie = reply(other) | {"parent_account": ann.account}
        await publish(node, bob.post("to myself", **lie))
        assert await words(node, ann) == []


async def test_only_people_at_home_here_are_told(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, guest = await people(node, 1, guests=1)
        post = guest.post("from elsewhere")
        await publish(node, post)
        await publish(node, ann.post("hi", **reply(post)))
        await publish(node, ann.sign(kinds.FOLLOW, {"state": 1}, guest.account))
        count = "SELECT count(*) FROM notice"
        assert await node.db.read(lambda db: db.execute(count).fetchone()[0]) == 0


async def test_toggling_rings_once_and_what_is_taken_back_is_gone(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        post = ann.post("hello")
        await publish(node, post)
        places = set()
        for n in range(3):
            for state in (1, 0):
                bob.clock.offset_ms += 1000
                like = {"emoji": "♥☆"[n % 2], "state": state}
                await publish(node, bob.sign(kinds.REACTION, like, post.id))
                await publish(node, bob.sign(kinds.FOLLOW, {"state": state}, ann.account))
                assert len(await words(node, ann)) == 2 * state
                places |= {one.line.n for one in (await told(node, ann)).items}
        assert len(places) == 2


async def test_edits_tell_of_a_new_mention_once(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        post = bob.post("hello")
        await publish(node, post)
        assert await words(node, ann) == []
        places = set()
        for accounts in ((ann.account,), (), (ann.account,), (ann.account, bob.account)):
            bob.clock.offset_ms += 1000
            await publish(node, bob.sign(kinds.EDIT, mention(*accounts), post.id))
            assert await words(node, ann) == (["mention"] if accounts else [])
            places |= {one.line.n for one in (await told(node, ann)).items}
        assert len(places) == 1


async def test_deleted_blocked_and_vanished_are_not_told(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob, cat = await people(node, 3)
        post, other = ann.post("hello"), ann.post("second")
        await publish(node, post, other)
        answer = bob.post("an answer", **reply(post))
        liked = {"emoji": "♥", "state": 1}
        await publish(node, answer, bob.sign(kinds.REACTION, liked, other.id))
        await publish(node, cat.sign(kinds.POST, mention(ann.account)))
        assert await words(node, ann) == ["reply", "reaction", "mention"]
        await publish(node, bob.sign(kinds.DELETE, {"ids": [answer.id]}))
        assert await words(node, ann) == ["reaction", "mention"]
        await publish(node, ann.sign(kinds.DELETE, {"ids": [other.id]}))
        assert await words(node, ann) == ["mention"]
        entry = ListEntry(
            Subject.ACCOUNT, cat.account.hex(), Verdict.WITHHOLD, "spam", None, "op", 0
        )
        node.gate.policy = node.gate.policy.with_entries([entry])
        assert await words(node, ann) == []


async def test_what_came_before_its_post_is_told_with_it(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        post = ann.post("hello")
        await publish(node, bob.post("an answer", **reply(post)))
        await publish(node, bob.sign(kinds.REACTION, {"emoji": "♥", "state": 1}, post.id))
        assert await words(node, ann) == []
        await publish(node, post)
        assert await words(node, ann) == ["reply", "reaction"]


# --- polls and reports ---------------------------------------------------------------------


def poll(ends_ms: int) -> dict[str, Any]:
    return {"text": "?", "poll": {"ends_ms": ends_ms, "many": 0, "options": ["a", "b"]}}


async def test_the_end_of_a_poll_is_told_to_its_author_and_voters(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob, cat, guest = await people(node, 3, guests=1)
        now_ms = ann.clock.now_ms()
        first = ann.sign(kinds.POST, poll(now_ms + DAY_MS))
        second = guest.sign(kinds.POST, poll(now_ms + 2 * DAY_MS))
        over = ann.sign(kinds.POST, poll(now_ms - 1))
        gone = ann.sign(kinds.POST, poll(now_ms + DAY_MS))
        await publish(node, first, second, over, gone)
        for who, what in ((bob, first), (guest, first), (cat, second), (bob, gone)):
            await publish(node, who.sign(kinds.VOTE, {"choices": [0]}, what.id))
        await publish(node, ann.sign(kinds.DELETE, {"ids": [gone.id]}))
        await node.happenings.step()
        assert [await words(node, who) for who in (ann, bob, cat)] == [[], [], []]
        ann.clock.offset_ms += DAY_MS + 1
        await node.happenings.step()
        await node.happenings.step()
        assert [await words(node, who) for who in (ann, bob, cat)] == [["poll"], ["poll"], []]
        ann.clock.offset_ms += DAY_MS
        await node.happenings.step()
        assert [await words(node, who) for who in (ann, bob, cat)] == [["poll"], ["poll"], ["poll"]]
        assert [one.id for one in (await told(node, cat)).items] == [second.id]


async def test_many_voters_are_told_some_at_a_time(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(notices, "VOTERS_PER_STEP", 2)
    async with running(tmp_path) as node:
        ann, *voters = await people(node, 6)
        first = ann.sign(kinds.POST, poll(ann.clock.now_ms() + DAY_MS))
        await publish(node, first)
        for who in voters:
            await publish(node, who.sign(kinds.VOTE, {"choices": [0]}, first.id))
        ann.clock.offset_ms += DAY_MS + 1
        steps = 0
        while await node.happenings.step():
            steps += 1
            heard = [who for who in voters if await words(node, who) == ["poll"]]
            assert len(heard) == min(2 * steps, len(voters))
        assert steps == 3
        assert await words(node, ann) == ["poll"], "once, however many steps it takes"


async def test_a_moved_end_counts_and_polls_are_bounded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(notices, "POLLS_MAX", 2)
    async with running(tmp_path) as node:
        (ann,) = await people(node, 1)
        now_ms = ann.clock.now_ms()
        posts = [ann.sign(kinds.POST, poll(now_ms + (9 - n) * DAY_MS)) for n in range(3)]
        for one in posts:
            await publish(node, one)
        ann.clock.offset_ms += 1000
        await publish(node, ann.sign(kinds.EDIT, poll(now_ms + 500), posts[2].id))
        await node.happenings.step()
        assert [one.id for one in (await told(node, ann)).items] == [posts[2].id]
        ann.clock.offset_ms += 10 * DAY_MS
        await node.happenings.step()
        assert [one.id for one in (await told(node, ann)).items] == [posts[1].id, posts[2].id]


async def test_what_became_of_a_report_is_told_even_if_that_is_why_it_is_hidden(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as node:
        ann, bob, guest = await people(node, 2, guests=1)
        bad = bob.post("awful")
        await publish(node, bad)
        assert await node.happenings.report_ended(ann.account, bad.id, "withheld")
        assert await node.happenings.report_ended(ann.account, bad.id, "kept")
        assert not await node.happenings.report_ended(guest.account, bad.id, "kept")
        assert not await node.happenings.report_ended(ann.account, bytes(32), "kept")
        await publish(node, bob.sign(kinds.DELETE, {"ids": [bad.id]}))
        (one,) = (await told(node, ann)).items
        assert (one.line.what, one.line.detail, one.id) == (Notice.REPORT, "kept", bad.id)
        assert await words(node, bob) == []


# --- waking, cursors, plans ----------------------------------------------------------------


async def number(node: Node, who: Person) -> int:
    found = await node.db.read(lambda db: stored.number_of(db, who.account))
    assert found is not None
    return found


async def test_a_bell_rings_for_whom_it_concerns(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        first, second = [await number(node, who) for who in (ann, bob)]
        bells = [node.bells.listen(first), node.bells.listen(second)]
        await publish(node, bob.sign(kinds.POST, mention(ann.account)))
        assert [bell.is_set() for bell in bells] == [True, False]
        node.bells.leave(first, bells[0])
        bells[0].clear()
        await publish(node, bob.sign(kinds.POST, mention(ann.account)))
        assert not bells[0].is_set()


async def test_a_walk_skips_and_repeats_nothing_while_things_go(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        rng = random.Random(5)
        posts = [bob.sign(kinds.POST, mention(ann.account)) for _ in range(60)]
        await publish(node, *posts)
        gone = rng.sample(posts, 20)
        for newest_first in (True, False):
            cursor = Cursor(newest_first=newest_first)
            if not newest_first:
                cursor = Cursor(0, newest_first=False)
            found: list[bytes] = []
            while True:
                page = await told(node, ann, cursor, 7)
                found += [one.id for one in page.items]
                if gone and newest_first:
                    await publish(node, bob.sign(kinds.DELETE, {"ids": [gone.pop().id]}))
                    await publish(node, bob.sign(kinds.POST, mention(ann.account)))
                if page.next is None:
                    break
                cursor = Cursor(page.next, newest_first)
            assert len(found) == len(set(found))
        left = {one.id for one in (await told(node, ann)).items}
        assert set(found) == left


class Twin:
    """Whom everything that was published concerns, from the whole of it, every time anew."""

    def __init__(self, home: list[Person]) -> None:
        self.home = {who.account for who in home}
        self.posts: dict[bytes, tuple[bytes, dict[str, Any]]] = {}
        self.edits: dict[bytes, dict[str, Any]] = {}
        self.slots: dict[tuple[int, bytes, bytes], bool] = {}
        self.reposts: dict[bytes, tuple[bytes, bytes]] = {}
        self.gone: set[bytes] = set()

    def told(self, account: bytes) -> set[tuple[str, bytes, bytes]]:
        """(what, who, about) of all that an account is told."""
        found: set[tuple[str, bytes, bytes]] = set()
        alive = {id_ for id_ in self.posts if id_ not in self.gone}
        for id_ in alive:
            author, body = self.posts[id_]
            now = self.edits.get(id_, body)
            parent, quote = body.get("parent"), body.get("quote")
            if parent in self.posts and self.posts[parent][0] == account:
                found.add(("reply", author, id_))
            elif quote in self.posts and self.posts[quote][0] == account:
                found.add(("quote", author, id_))
            elif account in [facet[3] for facet in now.get("facets", ())]:
                found.add(("mention", author, id_))
        for (kind, author, target), state in self.slots.items():
            if kind == kinds.FOLLOW and state and target == account:
                found.add(("follow", author, b""))
            mine = target in alive and self.posts[target][0] == account
            if kind == kinds.REACTION and state and mine:
                found.add(("reaction", author, target))
        for id_, (author, target) in self.reposts.items():
            if id_ not in self.gone and target in alive and self.posts[target][0] == account:
                found.add(("repost", author, target))
        return {one for one in found if one[1] != account and account in self.home}


async def live(node: Node, rng: random.Random, everybody: list[Person], twin: Twin) -> None:
    """One thing that somebody does; the digest comes to it now or later."""
    wait = rng.random() < 0.1
    who = rng.choice(everybody)
    who.clock.offset_ms += 1
    targets = [id_ for id_ in twin.posts if id_ not in twin.gone]
    act = rng.random()
    if act < 0.35 or not targets:
        body = mention(*(one.account for one in rng.sample(everybody, rng.randrange(3))))
        if targets and rng.random() < 0.6:
            parent = rng.choice(targets)
            body |= {"parent": parent, "root": parent}
        if targets and rng.random() < 0.2:
            body["quote"] = rng.choice(targets)
        post = who.sign(kinds.POST, body)
        twin.posts[post.id] = (who.account, body)
        await publish(node, post, wait=wait)
    elif act < 0.5:
        own = [id_ for id_ in targets if twin.posts[id_][0] == who.account]
        if own:
            target = rng.choice(own)
            body = mention(*(one.account for one in rng.sample(everybody, rng.randrange(3))))
            twin.edits[target] = body
            await publish(node, who.sign(kinds.EDIT, body, target), wait=wait)
    elif act < 0.7:
        target, state = rng.choice(targets), rng.randrange(2)
        twin.slots[kinds.REACTION, who.account, target] = bool(state)
        like = {"emoji": rng.choice("♥☆"), "state": state}
        await publish(node, who.sign(kinds.REACTION, like, target), wait=wait)
    elif act < 0.8:
        target, state = rng.choice(everybody).account, rng.randrange(2)
        twin.slots[kinds.FOLLOW, who.account, target] = bool(state)
        await publish(node, who.sign(kinds.FOLLOW, {"state": state}, target), wait=wait)
    elif act < 0.9:
        target = rng.choice(targets)
        shown = {"target": target, "target_account": twin.posts[target][0]}
        shared = who.sign(kinds.REPOST, shown)
        twin.reposts[shared.id] = (who.account, target)
        await publish(node, shared, wait=wait)
    else:
        mine = [id_ for id_ in targets if twin.posts[id_][0] == who.account]
        mine += [id_ for id_, (author, _) in twin.reposts.items() if author == who.account]
        if mine:
            target = rng.choice(mine)
            twin.gone.add(target)
            await publish(node, who.sign(kinds.DELETE, {"ids": [target]}), wait=wait)


def _subject(one: Any) -> tuple[str, bytes, bytes]:
    what = one.line.what
    if what is Notice.FOLLOW:
        return what.word, one.account, b""
    about = one.target if what in (Notice.REACTION, Notice.REPOST) else one.id
    return what.word, one.account, about


@pytest.mark.parametrize("seed", range(6))
async def test_a_naive_twin_agrees(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    async with running(tmp_path) as node:
        everybody = await people(node, 3, guests=1)
        twin = Twin(everybody[:3])
        for _ in range(150):
            await live(node, rng, everybody, twin)
        await digested_all(node)
        for who in everybody[:3]:
            found = [_subject(one) for one in (await told(node, who, limit=500)).items]
            assert len(found) == len(set(found))
            assert set(found) == twin.told(who.account)
        # Going over everything again tells nobody anything anew.
        before = [await lines(node, who) for who in everybody]
        node.digest.position = 0
        await node.db.write(lambda db: digested.save_position(db, 0))
        await publish(node, everybody[0].post("wakes the digest"))
        assert [await lines(node, who) for who in everybody] == before


async def lines(node: Node, who: Person) -> list[tuple[int, tuple[str, bytes, bytes]]]:
    return [(one.line.n, _subject(one)) for one in (await told(node, who)).items]


async def test_no_statement_scans(tmp_path: Path) -> None:
    seen: set[str] = set()
    async with running(tmp_path) as node:
        for run in (node.db.write, node.db.read, node.db.read):
            await run(lambda db: db.set_trace_callback(seen.add))
        everybody = await people(node, 2)
        twin, rng = Twin(everybody), random.Random(1)
        for _ in range(40):
            await live(node, rng, everybody, twin)
        await digested_all(node)
        ends_ms = everybody[0].clock.now_ms() + 1000
        await publish(node, everybody[0].sign(kinds.POST, poll(ends_ms)))
        everybody[0].clock.offset_ms += 2000
        await node.happenings.step()
        await told(node, everybody[0], Cursor(0, newest_first=False))
    db = sqlite3.connect(tmp_path / "ratoon.sqlite")
    ours = [sql for sql in seen if "notice" in sql or "poll_due" in sql or "opinion CROSS" in sql]
    ours = [sql for sql in ours if not sql.lstrip().startswith("CREATE")]
    assert len(ours) > 12
    for sql in ours:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
        bad = [
            step
            for step in plan
            if (step.startswith("SCAN") and "subquery" not in step) or "B-TREE" in step
            if step != "SCAN sqlite_sequence"  # a line for each table that counts, and no index
        ]
        assert not bad, (sql, plan)
    db.close()
