"""Every timeline, thread and count is what a slow look at every record finds."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.store.references import Relation
from ratoon_node.timeline import counts, tables, walk
from ratoon_node.timeline.thread import Placeholder, thread
from ratoon_node.timeline.visibility import Item, Sight, Viewer
from ratoon_node.timeline.walk import Cursor, Page
from ratoon_protocol import kinds
from tests.node.timeline import slow
from tests.node.timeline.life import TAGS, Life
from tests.node.world import running

Walk = Callable[..., Page]


async def lived(life: Life, steps: int) -> None:
    for _ in range(steps):
        await life.step()
    await life.digested()


def cold(life: Life, db: sqlite3.Connection) -> Viewer:
    """A viewer that remembers nothing of readers before."""
    return Viewer(db, life.node.gate.policy, life.node.runtime.clock.now_ms())


async def walked(sight: Sight, make: Walk, limit: int, newest_first: bool) -> list[bytes]:
    found: list[bytes] = []
    cursor = Cursor() if newest_first else Cursor(0, newest_first=False)
    while True:
        ask = partial(make, cursor=cursor, limit=limit)
        page = await sight.read(ask)
        found += [item.id for item in page.items]
        if page.next is None:
            return found[::-1] if newest_first else found
        cursor = Cursor(page.next, newest_first)


@pytest.mark.parametrize("seed", [11, 12, 13])
async def test_timelines_are_what_a_slow_look_finds(tmp_path: Path, seed: int) -> None:
    async with running(tmp_path) as node:
        life = Life(node, random.Random(seed))
        await life.settle(5)
        sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)
        ann, *others = life.people
        for friend in others[:2]:
            await life.publish(ann.sign(kinds.FOLLOW, {"state": 1}, friend.account))
        for _ in range(3):
            await lived(life, 50)
            all_ = await node.db.read(lambda db: slow.whole(db, cold(life, db)))
            for make, wanted in every(life, all_):
                for limit in (1, 7, 200):
                    for newest_first in (True, False):
                        found = await walked(sight, make, limit, newest_first)
                        ids = [one.id for one in wanted]
                        if make.func in LATE:  # an edit may have put it further up
                            found, ids = sorted(found), sorted(ids)
                        assert found == ids, (make, limit, newest_first)


LATE = (tables.tag, tables.media_by)


def every(life: Life, all_: slow.Whole) -> list[tuple[partial[Page], list[Item]]]:
    """Each timeline and what is in it."""
    own, ann = life.node.own.account, life.people[0].account
    whole: list[tuple[partial[Page], list[Item]]] = [
        (partial(walk.network), slow.public(all_.items)),
        (partial(tables.local), slow.local(all_, own)),
        (
            partial(walk.home, account=ann),
            slow.among(all_, {ann} | slow.follows(all_, ann)),
        ),
    ]
    members = [one.account for one in life.people[1:4]]
    whole.append((partial(walk.by_authors, accounts=members), slow.among(all_, set(members))))
    for name in {tag.casefold() for tag in TAGS}:
        whole.append((partial(tables.tag, tag=name), slow.tag(all_, name)))
    for person in life.people:
        for only, make in (
            (None, walk.by_author),
            ("posts", tables.own_posts),
            ("replies", tables.replies_by),
            ("media", tables.media_by),
        ):
            mine = partial(make, account=person.account)
            whole.append((mine, slow.by(all_, person.account, only)))
    for how, name in (
        (Relation.REPLY, "parent"),
        (Relation.QUOTE, "quote"),
        (Relation.REPOST, "target"),
    ):
        for _, post, _ in life.posts[:8]:
            about = partial(tables.referring, how=how, id_=post.id)
            whole.append((about, slow.referring(all_, name, post.id)))
    return whole


async def test_a_late_tag_is_new_for_whoever_waits_for_news(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, random.Random(3))
        await life.settle(1)
        ann = life.people[0]
        sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)
        post = ann.post("x")
        await life.publish(post, ann.post("y"))
        await life.digested()
        make = partial(tables.tag, tag="#News")
        first = await sight.read(partial(make, cursor=Cursor(), limit=9))
        assert first.items == []
        words = {"text": "#news", "facets": [[0, 5, 2, "news"]]}
        await life.publish(ann.sign(kinds.EDIT, words, post.id))
        await life.digested()
        new = await sight.read(partial(make, cursor=Cursor(first.end, False), limit=9))
        assert [one.id for one in new.items] == [post.id]
        again = await sight.read(partial(make, cursor=Cursor(new.end, False), limit=9))
        assert again.items == []


@pytest.mark.parametrize("seed", [21, 23])
async def test_counts_are_what_a_slow_look_counts(
    tmp_path: Path, seed: int, monkeypatch: Any
) -> None:
    async with running(tmp_path) as node:
        life = Life(node, random.Random(seed))
        await life.settle(6)
        sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)
        for _ in range(4):
            await lived(life, 50)
            all_ = await node.db.read(lambda db: slow.whole(db, cold(life, db)))
            shown = slow.posts(all_.items)
            ask = {one.id: one.body for one in shown}
            for bound in (counts.ROWS_MAX, 10):  # the second: one by one, within the bound
                monkeypatch.setattr(counts, "ROWS_MAX", bound)
                found = await sight.read(partial(counts.counts, posts=ask))
                for post in shown:
                    one = found[post.id]._asdict()
                    if not one.pop("more"):
                        assert one == slow.counts(all_, post)
        told = [slow.counts(all_, one) for one in shown]
        for what in ("replies", "quotes", "reposts", "reactions", "votes"):
            assert any(one[what] for one in told), what


async def test_a_block_and_a_delete_count_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, random.Random(1))
        await life.settle(4)
        ann, ben, cyd, dan = life.people
        sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)
        post = ann.post("x")
        likes = [
            one.sign(kinds.REACTION, {"emoji": "👍", "state": 1}, post.id) for one in (ben, cyd)
        ]
        answers = [
            one.post("y", parent=post.id, root=post.id, parent_account=ann.account)
            for one in (cyd, dan)
        ]
        again = [
            dan.sign(kinds.REPOST, {"target": post.id, "target_account": ann.account})
            for _ in range(2)
        ]
        await life.publish(post, *likes, *answers, *again)
        await life.digested()

        async def told() -> counts.Counts:
            asked = partial(counts.counts, posts={post.id: {"text": "x"}})
            return (await sight.read(asked))[post.id]

        assert await told() == counts.Counts(2, 0, 1, {"👍": 2})
        life.blocked = {cyd.account}
        life.rule()
        assert await told() == counts.Counts(1, 0, 1, {"👍": 1})
        life.blocked = set()
        life.rule()
        await life.publish(dan.sign(kinds.DELETE, {"ids": [answers[1].id, again[0].id]}))
        await life.digested()
        assert await told() == counts.Counts(1, 0, 1, {"👍": 2})


@pytest.mark.parametrize("seed", [31, 32])
async def test_a_thread_is_whole_and_says_what_is_missing(tmp_path: Path, seed: int) -> None:
    async with running(tmp_path) as node:
        life = Life(node, random.Random(seed))
        await life.settle(5)
        sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)
        for _ in range(3):
            await lived(life, 50)
            all_ = await node.db.read(lambda db: slow.whole(db, cold(life, db)))
            here = {one.id: one for one in all_.items}
            for _, post, body in life.posts[::3]:
                await check_thread(sight, here, post.id, body)


async def check_thread(
    sight: Sight, here: dict[bytes, Item], id_: bytes, body: dict[str, Any]
) -> None:
    replies: list[bytes] = []
    missing: dict[bytes, Placeholder] = {}
    after: int | None = 0
    while after is not None:
        found = await sight.read(partial(thread, id_=id_, after=after, limit=4))
        if found is None:
            assert id_ not in here
            return
        replies += [one.id for one in found.replies]
        missing |= {one.id: one for one in found.missing}
        after = found.next
    assert found is not None
    assert isinstance(found.focus, Item) == (id_ in here)
    told = [one.id for one in found.ancestors]
    root = body.get("root", id_)
    if not isinstance(found.focus, Item):
        missing[id_] = found.focus
        if not told and root not in missing:
            root = id_  # its own words are gone, and nobody answered it
    members = [
        one.id
        for one in here.values()
        if one.body.get("root") == root and one.record.header.kind == kinds.POST
    ]
    assert sorted(replies) == sorted(set(members) - {id_, *told})
    assert replies == [one for one in members if one in replies], "by position"
    shown = {id_, *told, *replies} - missing.keys()
    assert shown <= here.keys()
    assert not missing.keys() & here.keys(), "what is missing cannot be read"
    for one in shown:
        parent = here[one].body.get("parent")
        assert parent is None or parent in missing or parent in here
    wish = here[root].body.get("replies", 0) if root in here else 0
    if wish == 3:
        others = {one for one in shown if here[one].account != here[root].account}
        assert set(found.uninvited) <= others
    if wish == 0:
        assert found.uninvited == []


async def test_who_may_answer_is_named_and_nothing_is_left_out(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        life = Life(node, random.Random(1))
        await life.settle(4)
        ann, ben, cyd, dan = life.people
        sight = Sight(node.db, node.runtime.clock, lambda: node.gate.policy)
        await life.publish(ann.sign(kinds.FOLLOW, {"state": 1}, ben.account))
        mention = {"text": "x", "facets": [[0, 1, 1, cyd.account]]}
        names = {"root_account": ann.account, "parent_account": ann.account}
        for wish, invited in ((0, [ben, cyd, dan]), (1, [ben]), (2, [cyd]), (3, [])):
            post = ann.sign(kinds.POST, {**mention, "replies": wish})
            answers = [
                (who, who.post("a", parent=post.id, root=post.id, **names)) for who in life.people
            ]
            await life.publish(post, *[one for _, one in answers])
            await life.digested()
            found = await sight.read(partial(thread, id_=post.id, after=0, limit=9))
            assert found is not None
            assert [one.id for one in found.replies] == [one.id for _, one in answers]
            welcome = {who.account for who in (ann, *invited)}
            assert set(found.uninvited) == {
                one.id for who, one in answers if who.account not in welcome
            }
