"""Notifications are bounded: by age, by account, and by who makes them."""

from __future__ import annotations

from pathlib import Path

from ratoon_node.timeline import notices
from ratoon_protocol import kinds
from tests.node.timeline.test_notices import (
    DAY_MS,
    mention,
    people,
    publish,
    reply,
    told,
    words,
)
from tests.node.world import running


async def test_old_news_is_none(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        post = ann.post("hello")
        await publish(node, post)
        late = bob.post("an answer", **reply(post))
        bob.clock.offset_ms += 91 * DAY_MS
        await publish(node, late)
        assert await words(node, ann) == []
        await publish(node, bob.post("another", **reply(post)))
        assert await words(node, ann) == ["reply"]
        bob.clock.offset_ms += 91 * DAY_MS
        await publish(node, bob.post("nothing to do with it"))
        assert await words(node, ann) == []


async def test_an_account_keeps_so_many(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(notices, "NOTICES_PER_ACCOUNT_MAX", 5)
    async with running(tmp_path) as node:
        ann, bob = await people(node, 2)
        posts = [bob.sign(kinds.POST, mention(ann.account)) for _ in range(9)]
        for one in posts:
            await publish(node, one)
        kept = [one.id for one in (await told(node, ann)).items]
        assert kept == [one.id for one in posts[:3:-1]]


async def test_who_shouts_pushes_out_nobody_else(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(notices, "NOTICES_PER_ACCOUNT_MAX", 12)
    monkeypatch.setattr(notices, "NOTICES_PER_AUTHOR_MAX", 5)
    async with running(tmp_path) as node:
        ann, ben, eve = await people(node, 3)
        quiet = [ben.sign(kinds.POST, mention(ann.account)) for _ in range(3)]
        await publish(node, *quiet)
        shouts = [eve.sign(kinds.POST, mention(ann.account)) for _ in range(60)]
        for at in range(0, len(shouts), 20):
            await publish(node, *shouts[at : at + 20])
        kept = [one.id for one in (await told(node, ann)).items]
        assert kept == [one.id for one in reversed([*quiet, *shouts[-5:]])]
