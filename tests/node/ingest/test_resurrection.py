"""What its author deleted comes back by no way in, in no order, and not after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Parts, Way
from ratoon_node.policy.engine import Policy
from ratoon_node.store import read
from ratoon_node.store.rows import Bytes
from ratoon_protocol import kinds, record
from ratoon_protocol.author import Chain, Draft
from ratoon_protocol.kinds import Lane
from ratoon_protocol.operation import parse_operation
from ratoon_protocol.record import Record
from ratoon_protocol.status import Status
from tests.node.ingest.replay import API, LINK
from tests.node.ingest.test_erasure import ann_of, secret, settled, traces
from tests.node.ingest.test_policy_at_ingest import wanted
from tests.node.world import Person, join, running

ORIGINS = {"api": API, "link": LINK, "bundle": Origin(Way.BUNDLE)}


def edits(then: str) -> str:
    """A policy with one rule, about edits that speak of tea."""
    when = 'when = { kind = "edit", word = "tea" }'
    return f'[[rule]]\nid = "no-tea"\n{when}\nthen = "{then}"\nreason = "spam"\n'


async def offer(node: Node, origin: Origin, *records: Record) -> list[str]:
    """The codes of one batch."""
    items = [
        Parts(one.header_bytes, one.signature, one.payload, None, one.id)
        if origin is LINK
        else one.encode()
        for one in records
    ]
    return [outcome.code.value for outcome in await node.gate.submit(items, origin)]


@pytest.mark.parametrize("way", ORIGINS)
@pytest.mark.parametrize("order", ["delete first", "in one batch", "delete last"])
async def test_a_deleted_post_and_its_edits_do_not_come_back(
    tmp_path: Path, way: str, order: str
) -> None:
    origin = ORIGINS[way]
    async with running(tmp_path) as node:
        ann = ann_of(node)
        await join(node, ann)
        post = ann.post(secret(ann.rng, 300))
        edit = ann.sign(kinds.EDIT, {"text": secret(ann.rng, 300)}, post.id)
        delete = ann.sign(kinds.DELETE, {"ids": [post.id]})
        if order == "in one batch":
            assert (await offer(node, origin, delete, post, edit))[1] == "gone"
        elif order == "delete first":
            await offer(node, origin, delete)
        else:
            assert await offer(node, origin, post, edit, delete) == 3 * ["stored"]
        assert await wanted(node) == []
        assert (await offer(node, origin, post, edit))[0] == "gone"
    async with running(tmp_path) as node:
        assert (await offer(node, origin, edit, post))[1] == "gone"
        await settled(node)
        rows = await node.db.read(lambda db: read.by_ids(db, [post.id, edit.id]))
        assert [row.payload for row in rows.values()] == [None, None]
        assert await wanted(node) == []
        assert traces(tmp_path, [post, edit]) == []
    assert traces(tmp_path, [post, edit]) == []


@pytest.mark.parametrize("way", ORIGINS)
async def test_a_delete_of_somebody_elses_takes_nothing(tmp_path: Path, way: str) -> None:
    async with running(tmp_path) as node:
        ann, bob = ann_of(node), ann_of(node, 3)
        await join(node, ann)
        await join(node, bob)
        before, after = ann.post("here before"), ann.post("here after")
        delete = bob.sign(kinds.DELETE, {"ids": [before.id, after.id]})
        for one in (before, delete, after):
            assert await offer(node, ORIGINS[way], one) == ["stored"]
        assert await offer(node, ORIGINS[way], before, after) == 2 * ["duplicate"]
        rows = await node.db.read(lambda db: read.by_ids(db, [before.id, after.id]))
        assert rows[before.id].payload == before.payload
        assert rows[after.id].payload == after.payload


def stolen(ann: Person, tips: dict[Lane, list[Chain]]) -> Record:
    """The operation by which the owner says that the device's key was stolen."""
    assert ann.genesis.payload is not None
    body = record.decode_payload(ann.genesis.payload)
    draft = Draft.after(parse_operation(ann.genesis.id, ann.genesis.header, body))
    draft.stolen(ann.author.key.public, ann.clock.now_ms(), tips)
    paper, now_ms = ann.paper_author(), ann.clock.now_ms()
    return paper.sign(kinds.IDENTITY, draft.body(), now_ms, ann.rng.randbytes(16))


async def test_no_bytes_are_wanted_of_an_edit_that_is_revoked_for_a_while(tmp_path: Path) -> None:
    """The walk to the delete closes before the one to the edit of what it took (R-55, R-82)."""
    async with running(tmp_path) as node:
        ann = ann_of(node)
        await join(node, ann)
        post = ann.post("what I said")
        edit = ann.sign(kinds.EDIT, {"text": "what I meant"}, post.id)
        delete = ann.sign(kinds.DELETE, {"ids": [post.id]})
        assert await offer(node, LINK, post, edit, delete) == 3 * ["stored"]
        last_word, last_delete = ann.post("the last"), ann.sign(kinds.DELETE, {"ids": [bytes(32)]})
        tips = {lane: [chain] for lane, chain in ann.author.chains.items()}
        await offer(node, LINK, stolen(ann, tips))
        rows = await node.db.read(lambda db: read.by_ids(db, [delete.id, edit.id]))
        assert {row.status for row in rows.values()} == {Status.REVOKED}
        await offer(node, LINK, last_delete)
        await offer(node, LINK, last_word)
        rows = await node.db.read(lambda db: read.by_ids(db, [delete.id, edit.id]))
        assert {row.status for row in rows.values()} == {Status.LIVE}
        assert rows[edit.id].bytes_state is Bytes.ERASED
        assert await wanted(node) == []


async def test_no_bytes_are_wanted_of_an_edit_that_policy_masked(tmp_path: Path) -> None:
    async with running(tmp_path, policy=edits("limit")) as node:
        ann = ann_of(node)
        await join(node, ann)
        post = ann.post("what I said")
        edit = ann.sign(kinds.EDIT, {"text": "what I meant by tea"}, post.id)
        assert await offer(node, LINK, post, edit) == 2 * ["stored"]
        node.gate.policy = Policy.parse(edits("withhold").encode())
        await node.gate.review()
        assert await offer(node, LINK, ann.sign(kinds.DELETE, {"ids": [post.id]})) == ["stored"]
        node.gate.policy = Policy.parse(b"")
        await node.gate.review()
        (row,) = (await node.db.read(lambda db: read.by_ids(db, [edit.id]))).values()
        assert (row.disposition, row.bytes_state) == (0, Bytes.ERASED)
        assert await wanted(node) == []
