"""The gate on a real store: what is stored, refused, erased, and in which order it may come."""

from __future__ import annotations

import random
from pathlib import Path

from ratoon_node.ingest.submission import Origin, Parts, Way
from ratoon_protocol import kinds
from tests.node.world import Clock, join, listed_newest, person, running

API = Origin(Way.API)
LINK = Origin(Way.LINK, b"p" * 32)


async def test_a_post_is_stored_once_and_then_known(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        ann = person(node.settings.network_bytes, random.Random(2), clock)
        await join(node, ann)
        post = ann.post("hello")
        first = await node.gate.submit([post.encode()], API)
        second = await node.gate.submit([post.encode()], API)
        assert [first[0].code, second[0].code] == ["stored", "duplicate"]
        rows = await listed_newest(node)
        assert [one.row.id for one in rows] == [post.id]


async def test_what_is_told_of_a_record_has_its_bytes_however_often_it_came(
    tmp_path: Path,
) -> None:
    """One peer brought it whole and another its header alone, in one commit: what was passed on
    had neither bytes nor a reason, and the peers that got it ended their links for that.
    """
    async with running(tmp_path) as node:
        ann = person(node.settings.network_bytes, random.Random(2), node.runtime.clock)
        await join(node, ann)
        commits = node.fanout.subscribe()
        post = ann.post("hello")
        bare = Parts(post.header_bytes, post.signature, None, None, post.id)
        whole = Parts(post.header_bytes, post.signature, post.payload, None, post.id)
        found = await node.gate.submit([whole, bare], LINK)
        assert [one.code for one in found] == ["stored", "duplicate"]
        commit = await commits.next()
        assert commit is not None
        assert commit.records[post.id].payload == post.payload


async def test_a_deleted_post_leaves_no_byte(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        ann = person(node.settings.network_bytes, random.Random(2), clock)
        await join(node, ann)
        post = ann.post("a sentence that must go")
        delete = ann.sign(kinds.DELETE, {"ids": [post.id]})
        outcomes = await node.gate.submit([post.encode(), delete.encode()], API)
        assert [outcome.code for outcome in outcomes] == ["stored", "stored"]
        again = await node.gate.submit([post.encode()], API)
        assert again[0].code == "gone"
