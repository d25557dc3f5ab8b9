"""Policy inside the gate: what is refused is never written, never asked for, and can be undone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.ingest.submission import Origin, Parts, Way
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.record import Record
from tests.node.ingest.replay import LINK, in_sets, offer
from tests.node.ingest.test_erasure import ann_of, publish, traces
from tests.node.world import Clock, join, listed_newest, running

API = Origin(Way.API)
HOUR_MS = 3_600_000
RULE = """
[[rule]]
id     = "no-{word}"
when   = {{ kind = "post", word = "{word}" }}
then   = "{then}"
reason = "spam"
"""


def rules(**verdicts: str) -> str:
    return "".join(RULE.format(word=word, then=then) for word, then in verdicts.items())


async def decisions(node: Node, id_: bytes) -> list[tuple]:
    return await node.db.read(
        lambda db: db.execute(
            "SELECT verdict, reason, rule, policy FROM decision JOIN record"
            " ON record.n = decision.record WHERE record.id = ? ORDER BY decision.n",
            (id_,),
        ).fetchall()
    )


async def wanted(node: Node, due_ms: int = 2**53) -> list[bytes]:
    return [id_ for _, id_ in await node.db.read(lambda db: read.wanted(db, due_ms, 0, 100))]


def bare(one: Record) -> Parts:
    return Parts(one.header_bytes, one.signature, None)


async def test_verdicts_of_rules_and_their_undoing(tmp_path: Path) -> None:
    policy = rules(pills="withhold", maybe="hold", dull="limit")
    async with running(tmp_path, policy=policy) as node:
        ann = ann_of(node)
        await join(node, ann)
        posts = [ann.post(f"all about {word} here") for word in ("pills", "maybe", "dull", "tea")]
        pills, maybe, dull, tea = posts
        outcomes = await offer(node, posts, LINK)
        assert [one.code for one in outcomes] == ["withheld", "held", "stored", "stored"]
        await node.gate.settled()
        assert traces(tmp_path, [pills]) == []
        version = node.gate.policy.version
        assert await decisions(node, pills.id) == [(4, "spam", "no-pills", version)]
        assert await decisions(node, maybe.id) == [(3, "spam", "no-maybe", version)]
        assert await decisions(node, dull.id) == [(2, "spam", "no-dull", version)]
        assert await decisions(node, tea.id) == []
        assert {one.id for one in posts} <= await in_sets(node, ann.account)
        assert await wanted(node) == []
        again = await offer(node, [pills], LINK)
        assert again[0].code == "withheld"
        shown = await listed_newest(node)
        assert {one.row.id for one in shown} == {dull.id, tea.id}

        node.gate.policy = Policy.parse(rules(tea="withhold").encode())
        await node.gate.review()
        assert await wanted(node) == [pills.id]
        shown = await listed_newest(node)
        assert {one.row.id for one in shown} == {maybe.id, dull.id, tea.id}
        assert (await offer(node, [pills], LINK))[0].code == "stored"
        assert await wanted(node) == []


@pytest.mark.parametrize("kind", [kinds.REPOST, kinds.POST])
async def test_a_lie_about_whom_it_shows_does_not_pass_a_block(tmp_path: Path, kind: int) -> None:
    async with running(tmp_path) as node:
        ann, bob = ann_of(node), ann_of(node, 3)
        await join(node, ann)
        await join(node, bob)
        shown = bob.post("of a blocked account")
        await publish(node, [shown])
        entry = ListEntry(Subject.ACCOUNT, bob.account.hex(), Verdict.WITHHOLD, "spam", None)
        node.gate.policy = node.gate.policy.with_entries([entry])
        if kind == kinds.REPOST:
            lie = ann.sign(kind, {"target": shown.id, "target_account": ann.account})
        else:
            lie = ann.post("look", quote=shown.id, quote_account=ann.account)
        assert (await offer(node, [lie], LINK))[0].code == "withheld"
        ((_, _, rule, _),) = await decisions(node, lie.id)
        assert rule == f"block.account:{bob.account.hex()}"
        await node.gate.review()
        assert await wanted(node) == []
        node.gate.policy = node.gate.policy.with_entries([])
        await node.gate.review()
        assert await wanted(node) == [lie.id]


async def test_wanted_bytes_are_asked_less_and_less_and_taken_from_anybody(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann = ann_of(node)
        await join(node, ann)
        post = ann.post("later")
        assert (await node.gate.submit([bare(post)], LINK))[0].code == "wanted"
        wrong = Parts(post.header_bytes, post.signature, ann.post("other").payload)
        (answer,) = await node.gate.submit([wrong], LINK)
        assert (answer.code, answer.peer_fault) == ("wanted", True)
        clock = node.runtime.clock
        assert isinstance(clock, Clock)
        waits = []
        for _ in range(11):
            now_ms = clock.now_ms()
            ((number, _),) = await node.db.read(lambda db: read.wanted(db, 2**53, 0, 1))
            await node.ledger.asked([number])
            ask_ms = await node.db.read(
                lambda db: db.execute("SELECT ask_ms FROM wanted").fetchone()[0]
            )
            waits.append(round((ask_ms - now_ms) / HOUR_MS))
        assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 168, 168, 168]
        assert await wanted(node, clock.now_ms()) == []
        other = Origin(Way.LINK, b"q" * 32)
        assert (await offer(node, [post], other))[0].code == "stored"
        assert await wanted(node) == []


async def test_a_bad_payload_is_kept_as_a_header_from_a_link_and_refused_here(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as node:
        ann = ann_of(node)
        await join(node, ann)
        delete = ann.sign(kinds.DELETE, {"ids": [bytes(32)]})
        outcomes = await node.gate.submit([bare(delete)], API)
        assert outcomes[0].code == "empty"
        assert delete.id not in await in_sets(node, ann.account)
        assert (await node.gate.submit([bare(delete)], LINK))[0].code == "wanted"
        assert delete.id in await in_sets(node, ann.account)


async def test_the_intake_is_bounded_in_records_and_bytes(tmp_path: Path) -> None:
    async with running(tmp_path, intake_records_max=100, intake_bytes_max=2**20) as node:
        ann = ann_of(node)
        await join(node, ann)
        small, large = ann.post("s").encode(), ann.post("l" * 8000).encode()
        with pytest.raises(NodeError) as records:
            await node.gate.submit([small] * 101, LINK)
        with pytest.raises(NodeError) as size:
            await node.gate.submit([large * 20] * 10, LINK)
        assert records.value.code is size.value.code is Code.BUSY
        assert (await node.gate.submit([small], LINK))[0].code == "stored"
        assert node.metrics.ingest_waiting_records._value.get() == 0
        assert node.metrics.ingest_waiting_bytes._value.get() == 0


async def test_a_key_deletes_no_more_than_500_an_hour_here(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        ann = ann_of(node)
        await join(node, ann)
        rng = random.Random(1)
        codes = []
        for _ in range(5):
            ids = [rng.randbytes(32) for _ in range(120)]
            delete = ann.sign(kinds.DELETE, {"ids": ids})
            codes.append((await node.gate.submit([delete.encode()], API))[0].code)
        assert codes == ["stored"] * 4 + ["rate"]
