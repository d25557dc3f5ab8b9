"""Who holds a record: only confirmed providers count, and only as long as it is true."""

from __future__ import annotations

from pathlib import Path

from ratoon_node.app import Node
from ratoon_node.peering.receipts import Counts
from ratoon_node.policy.lists import Subject
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Answer
from ratoon_protocol.record import Record
from tests.node.peering.meeting import (
    befriend,
    befriended,
    block,
    equal,
    linked,
    listening,
    neighbour,
    publish,
    serving,
    someone,
    until,
)
from tests.node.world import join, running


async def counts(node: Node, record: Record) -> Counts:
    return (await node.receipts.counts([record.id]))[record.id]


async def test_only_confirmed_providers_count_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    async with (
        serving(tmp_path / "b", 2, "Q") as (b, at_b),
        serving(tmp_path / "c", 3, "R") as (c, at_c),
    ):
        async with running(tmp_path / "a", seed=1, provider="P") as a, listening(a):
            ann = someone(a, 4)
            await join(a, ann)
            await befriend(a, b, at_b, "Q")
            await befriend(a, c, at_c, None)  # it says R, nobody confirmed it
            await until(lambda: linked(a, b) and linked(a, c), a)
            post = ann.post("who holds it?")
            await publish(a, post)
            found = (await a.receipts.wait([post.id, post.id], 2, 20_000))[post.id]
            assert found.providers == 2
            await until(lambda: all_hold(a, post), a)
            assert await counts(a, post) == Counts(nodes=3, providers=2, countries=1, unconfirmed=1)
            late = await a.receipts.wait([post.id], 3, 50)
            assert late[post.id].providers == 2
            assert a.receipts._waits == {}
        async with running(tmp_path / "a", seed=1, provider="P") as a:
            assert await counts(a, post) == Counts(nodes=3, providers=2, countries=1, unconfirmed=1)


async def all_hold(node: Node, record: Record) -> bool:
    return (await counts(node, record)).nodes == 3


async def test_a_holder_takes_its_word_back_when_it_holds_no_more(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1, "P") as (a, at_a),
        serving(tmp_path / "b", 2, "Q") as (b, at_b),
    ):
        ann = someone(a, 4)
        await join(a, ann)
        await befriended(a, at_a, b, at_b)
        await until(lambda: linked(a, b), a)
        post = ann.post("soon gone")
        await publish(a, post)
        await a.receipts.wait([post.id], 2, 20_000)
        await publish(a, ann.sign(kinds.DELETE, {"ids": [post.id]}))

        async def taken_back() -> bool:
            rows = await a.db.read(
                lambda db: db.execute(
                    "SELECT code FROM ack JOIN record ON record.n = ack.record WHERE record.id = ?",
                    (post.id,),
                ).fetchall()
            )
            return rows == [(Code.GONE.value,)]

        await until(taken_back, a)
        assert (await counts(a, post)).nodes == 0


async def test_a_challenge_is_met_by_a_holder_and_shows_a_liar(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1, "P") as (a, at_a),
        serving(tmp_path / "b", 2, "Q") as (b, at_b),
    ):
        ann = someone(a, 4)
        await join(a, ann)
        await befriended(a, at_a, b, at_b)
        await until(lambda: linked(a, b) and equal(a, b), a)
        posts = [ann.post(f"post {number}") for number in range(5)]
        await publish(a, *posts)
        found = await a.receipts.wait([post.id for post in posts], 2, 20_000)
        assert all(one.providers == 2 for one in found.values())
        there = neighbour(a, b)
        assert there is not None
        answers: list[Answer] = []
        take = a.hub._challenges.take

        async def watched(neighbour, answer):
            answers.append(answer)
            await take(neighbour, answer)

        a.hub._challenges.take = watched
        assert await a.hub._challenges.ask(there)
        await until(lambda: len(answers) == 1, a)
        assert answers[0].hash is not None
        assert there.doubts == 0
        assert not a.roster.peers[b.own.account].lied

        async def invented(peer, nonce, id_):
            return bytes(32)

        b.hub.serve.prove = invented  # it keeps saying `stored` and makes up the proof
        assert await a.hub._challenges.ask(there)
        await until(lambda: a.roster.peers[b.own.account].lied, a)
        assert (await counts(a, posts[0])).nodes == 1
        await until(lambda: neighbour(a, b) is None, a)
        # The operator adds it again: it is believed again.
        await a.ledger.add_peer(b.own.account, None, None, None)
        await a.peers_changed()
        assert (await counts(a, posts[0])).providers == 2


async def test_a_block_made_since_is_no_lie(tmp_path: Path) -> None:
    async with (
        serving(tmp_path / "a", 1, "P") as (a, at_a),
        serving(tmp_path / "b", 2, "Q") as (b, at_b),
    ):
        ann = someone(a, 4)
        await join(a, ann)
        await befriended(a, at_a, b, at_b)
        await until(lambda: linked(a, b) and equal(a, b), a)
        post = ann.post("blocked later")
        await publish(a, post)
        await a.receipts.wait([post.id], 2, 20_000)
        await block(b, Subject.ACCOUNT, ann.account)
        there = neighbour(a, b)
        assert there is not None

        async def told() -> bool:
            if not there.challenges:  # by chance it may be asked for another record, or for none
                await a.hub._challenges.ask(there)
            return (await counts(a, post)).nodes == 1

        await until(told, a)
        assert not a.roster.peers[b.own.account].lied
        assert neighbour(a, b) is there
