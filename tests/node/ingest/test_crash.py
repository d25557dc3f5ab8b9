"""What was answered is on the disk: power cuts, full disks, and crashes inside the gate."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.ingest import submission
from ratoon_node.ingest.accounts import AccountView
from ratoon_node.ingest.rejudge import Cursor, Rejudge
from ratoon_node.ingest.submission import Origin, Outcome, Way
from ratoon_node.runtime import timeout_ms
from ratoon_node.store import read
from ratoon_protocol import bodies, kinds
from ratoon_protocol.errors import Code
from ratoon_protocol.record import Body, Header, Record
from tests.node.ingest.replay import AFTERWARDS_MS, LINK, statuses, tell
from tests.node.ingest.test_gate_twin import told_all
from tests.node.powercut.disk import write_out
from tests.node.powercut.vfs import FULL, IOERR_FSYNC, IOERR_WRITE, Powercut
from tests.node.world import Clock, Person, join, person, running
from tests.protocol.thefts import theft

API = Origin(Way.API)
KEPT = {Code.STORED, Code.DUPLICATE}


def people_of(node: Node, count: int) -> list[Person]:
    clock = node.runtime.clock
    assert isinstance(clock, Clock)
    return [
        person(node.settings.network_bytes, random.Random(seed), clock) for seed in range(count)
    ]


async def work(node: Node, rng: random.Random, acked: dict[bytes, Record]) -> None:
    """Publish, follow and delete until the power goes; remembers what was acknowledged."""
    people = people_of(node, 4)
    for who in people:
        await join(node, who)
    for _ in range(60):
        batch: list[Record] = []
        for _ in range(rng.randint(1, 12)):
            who = rng.choice(people)
            match rng.choice(("post", "post", "follow", "delete")):
                case "post":
                    batch.append(who.post(f"words {rng.random()}"))
                case "follow":
                    target = rng.choice(people).account
                    state = {"state": rng.randint(0, 1)}
                    batch.append(who.sign(kinds.FOLLOW, state, target=target))
                case "delete":
                    mine = [one for one in acked.values() if one.header.account == who.account]
                    posts = [one.id for one in mine if one.header.kind == kinds.POST]
                    if posts:
                        gone = rng.choice(posts)
                        batch.append(who.sign(kinds.DELETE, {"ids": [gone]}))
                        acked.pop(gone)  # from here on it may be gone
        outcomes = await node.gate.submit([one.encode() for one in batch], API)
        if any(outcome.code is Code.BUSY for outcome in outcomes):
            return
        named = {id_ for one in batch for id_ in deleted_by(one)}
        for one, outcome in zip(batch, outcomes, strict=True):
            if outcome.code in KEPT and one.id not in named:
                acked[one.id] = one


def deleted_by(one: Record) -> list[bytes]:
    body, _ = submission.read_body(one)
    return body["ids"] if body is not None and one.header.kind == kinds.DELETE else []


@pytest.mark.parametrize("first", range(0, 24, 4))
async def test_what_was_acknowledged_outlives_a_power_cut(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 4):
        rng = random.Random(seed)
        acked: dict[bytes, Record] = {}
        before, after = tmp_path / f"{seed}", tmp_path / f"{seed}-after"
        before.mkdir()
        with Powercut() as power:
            async with running(before, seed, vfs=power.vfs) as node:
                power.cut_after(rng.randrange(30, 900), rng)
                with suppress(NodeError, AssertionError):
                    await work(node, rng, acked)
            survivors = power.survivors or power.cut(rng)
        write_out(survivors, after)
        async with running(after, seed) as node:
            rows = await node.db.read(partial(read.by_ids, ids=list(acked)))
            assert rows.keys() == acked.keys()
            for id_, row in rows.items():
                superseded = row.kind == kinds.FOLLOW and row.payload is None
                assert superseded or row.payload == acked[id_].payload
            broken = await node.db.read(lambda db: db.execute("PRAGMA integrity_check").fetchall())
            assert broken == [("ok",)]


@pytest.mark.parametrize(
    ("code", "on"), [(FULL, "write"), (IOERR_WRITE, "write"), (IOERR_FSYNC, "sync")]
)
async def test_a_failing_disk_means_busy_and_nothing_half_stored(
    tmp_path: Path, code: int, on: str
) -> None:
    with Powercut() as power:
        async with running(tmp_path, vfs=power.vfs) as node:
            (ann,) = people_of(node, 1)
            await join(node, ann)
            for nth in (1, 2, 3, 4):
                posts = [ann.post(f"{code} {nth} {number}") for number in range(30)]
                wire = [one.encode() for one in posts]
                power.fail(code, nth=nth if on == "write" else 1, on=on)  # type: ignore[arg-type]
                outcomes = await node.gate.submit(wire, API)
                answers = {outcome.code for outcome in outcomes}
                held = await node.db.read(partial(read.known, ids=[one.id for one in posts]))
                assert (answers, len(held)) in (({Code.BUSY}, 0), ({Code.STORED}, 30))
                again = {outcome.code for outcome in await node.gate.submit(wire, API)}
                assert again <= KEPT
        assert power.failure is None


def misspelt() -> sqlite3.Error:
    """What SQLite says of a statement that is wrong."""
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(":memory:").execute("SELECT nothing FROM nowhere")
    return caught.value


@pytest.mark.parametrize(
    "bug",
    [ZeroDivisionError(), misspelt(), sqlite3.IntegrityError("twice"), sqlite3.DataError("large")],
    ids=["arithmetic", "statement", "constraint", "value"],
)
async def test_a_crash_over_one_item_costs_that_item_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    async with running(tmp_path) as node:
        ann, bob = people_of(node, 2)
        await join(node, ann)
        await join(node, bob)
        items = [who.post(f"{number}") for number in range(20) for who in (ann, bob)]
        poison = ann.sign(kinds.FOLLOW, {"state": 1}, target=bob.account)
        items.insert(13, poison)
        real = bodies.slot_target

        def crashing(kind: int, body: Body) -> bytes | None:
            if body.get("target") == bob.account:
                raise bug
            return real(kind, body)

        monkeypatch.setattr(bodies, "slot_target", crashing)
        outcomes = await node.gate.submit([one.encode() for one in items], API)
        codes = [outcome.code for outcome in outcomes]
        assert codes[13] is Code.INTERNAL
        assert set(codes[:13] + codes[14:]) == {Code.STORED}
        monkeypatch.undo()
        again = await node.gate.submit([poison.encode()], API)
        assert again[0].code is Code.STORED


async def test_a_crash_while_records_are_examined_costs_one_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as node:
        (ann,) = people_of(node, 1)
        await join(node, ann)
        items = [ann.post(f"{number}").encode() for number in range(40)]
        real = bodies.check_body

        def crashing(header: Header, body: Body) -> None:
            if body.get("text") == "13":
                raise ZeroDivisionError
            real(header, body)

        monkeypatch.setattr(bodies, "check_body", crashing)
        with capture_logs() as logs:
            outcomes = await node.gate.submit(items, API)
        assert outcomes.pop(13) == Outcome(None, Code.INTERNAL)
        assert {one.code for one in outcomes} == {Code.STORED}
        (line,) = logs
        assert line["event"] == "examination_failed"
        assert line["where"].startswith("ZeroDivisionError in crashing")


async def test_a_crash_over_one_account_leaves_it_to_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as node:
        ann, bob = people_of(node, 2)
        for who in (ann, bob):
            await join(node, who)
        await node.db.write(lambda db: db.execute("UPDATE account SET judged = 0"))
    real = Rejudge.slice

    def crashing(self: Rejudge, view: AccountView, cursor: Cursor) -> Cursor | None:
        if view.id == ann.account:
            raise ZeroDivisionError
        return real(self, view, cursor)

    with monkeypatch.context() as bug, capture_logs() as said:
        bug.setattr(Rejudge, "slice", crashing)
        async with running(tmp_path) as node, timeout_ms(20_000):
            await node.gate.settled()
            assert await node.db.read(read.unjudged) == [ann.account]
    assert [line["event"] for line in said if line["log_level"] == "error"] == ["judging_failed"]
    async with running(tmp_path) as node, timeout_ms(20_000):
        await node.gate.settled()
        assert await node.db.read(read.unjudged) == []


async def test_views_never_say_more_than_the_store_after_a_rollback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second commit fails; in the end the store is what the slow judge says."""
    async with running(tmp_path, now_ms=AFTERWARDS_MS) as node:
        real = node.db.write
        turn = 0

        async def failing(fn, undone=None):
            nonlocal turn
            turn += 1
            if turn % 2 or undone is None:
                return await real(fn, undone)

            def broken(db):
                fn(db)
                raise sqlite3.OperationalError("disk I/O error")

            return await real(broken, undone)

        monkeypatch.setattr(node.db, "write", failing)
        monkeypatch.setattr("tests.node.ingest.replay.offer", patient(node))
        for seed in range(12):
            rng = random.Random(seed)
            told = tell(theft(rng).history, ("rollback", seed))
            while True:
                with suppress(NodeError):
                    await node.own.host(told.account)
                    break
            order = rng.sample(list(told.records.values()), len(told.records))
            await told_all(node, told, order, rng)
            assert await statuses(node, told.account)


def patient(node: Node):
    """Offers again what the node was too busy for."""

    async def offer(_node: Node, items, origin=LINK) -> list[Outcome]:
        parts = [submission.Parts(one.header_bytes, one.signature, one.payload) for one in items]
        while True:
            outcomes = await node.gate.submit(parts, origin)
            if all(outcome.code is not Code.BUSY for outcome in outcomes):
                return outcomes

    return offer


async def test_closing_answers_everybody_who_waits(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        (ann,) = people_of(node, 1)
        await join(node, ann)
        waiting = [
            asyncio.ensure_future(node.gate.submit([ann.post(f"{n}").encode()] * 50, API))
            for n in range(20)
        ]
        await asyncio.sleep(0)
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, NodeError):
            assert answer.code is Code.SHUTDOWN
        else:
            assert isinstance(answer, list)
            assert {outcome.code for outcome in answer} <= KEPT
