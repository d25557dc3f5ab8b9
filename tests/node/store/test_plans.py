"""No statement on the way of a record, or of a request, looks at a whole table."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from ratoon_node.api.route import Access
from ratoon_node.store import db as engine
from ratoon_node.store import read, schema
from ratoon_protocol.identity import Form
from tests.node.api.described import little
from tests.node.ingest.replay import AFTERWARDS_MS, LINK, offer, offer_all, tell
from tests.node.ingest.test_erasure import ann_of, publish, vanish
from tests.node.store.questions import IN_ORDER, QUESTIONS
from tests.node.world import join, running
from tests.protocol.histories import History
from tests.protocol.thefts import theft

# Small by their bounds, or walked once in the background: not on the way of a record.
SCANNED = (
    "FROM peer",  # at most 4,096
    "count(*) FROM peer",
    "FROM block",  # the operator's own entries
    "SELECT id, n FROM account",  # at start
    "judged = 0",  # at start
    "vanished_ms <",  # each ten minutes
    "SELECT kind, created_ms, id FROM record WHERE flags",  # the sets, at start
    "SELECT target, account.id, pointer.created_ms, state FROM pointer",  # the sets, at start
    "FROM (SELECT created_ms, account FROM record ORDER BY n DESC LIMIT",  # the newest few
    "sqlite_master",
)


# Read from end to end, and short: a list given as a parameter, a made-up row, an index of what is
# marked (accounts that are being judged anew, somebody who moves).
SHORT = (
    "SCAN wanted VIRTUAL TABLE",
    "SCAN CONSTANT ROW",
    "SCAN asked",
    "SCAN (subquery",
    "SCAN account USING INDEX account_unjudged",
    "SCAN account USING COVERING INDEX account_unjudged",
    "SCAN moving",
    "SCAN sqlite_sequence",  # a line for each table that counts, and no index
    "SCAN tally",
)


# A full-text index is always "scanned", by its own words; its tables come and go.
FULL_TEXT = re.compile("words_[a-z]+_[0-9]")


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_question_of_a_request_looks_at_a_whole_table(name: str) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(db)
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    found = QUESTIONS[name](db)
    if isinstance(found, Iterator):
        list(found)
    db.set_trace_callback(None)
    assert asked
    plan = plans(db, asked)
    assert scans(plan) == []
    if name in IN_ORDER:
        assert not any("TEMP B-TREE" in step for step in plan), plan


def plans(db: sqlite3.Connection, asked: Iterable[str]) -> list[str]:
    return [row[3] for sql in asked for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]


def scans(plan: Iterable[str]) -> list[str]:
    found = [step for step in plan if step.startswith("SCAN") and not step.startswith(SHORT)]
    return [step for step in found if not step.endswith("CONSTANT ROWS")]


async def test_no_route_looks_at_a_whole_table(tmp_path: Path, monkeypatch) -> None:
    seen: set[str] = set()
    prepare = engine._prepare_reader

    def traced(db: sqlite3.Connection) -> None:
        prepare(db)
        db.set_trace_callback(seen.add)

    monkeypatch.setattr(engine, "_prepare_reader", traced)
    async with little(tmp_path) as world:
        await world.place.node.digest.reached(await world.place.node.db.read(read.journal_end))
        seen.clear()
        for route in world.routes:
            if route.access is not Access.OPERATOR and not route.holds:
                (await world.call(route)).release()
    db = sqlite3.connect(tmp_path / "ratoon.sqlite")
    asked = [sql for sql in seen if sql.startswith("SELECT") and not FULL_TEXT.search(sql)]
    assert len(asked) > 60
    found = {sql: scans(plans(db, [sql])) for sql in asked}
    bad = {" ".join(sql.split())[:200]: plan for sql, plan in found.items() if plan}
    db.close()
    assert {sql: plan for sql, plan in bad.items() if not any(one in sql for one in SCANNED)} == {}


async def statements(folder: Path, monkeypatch) -> tuple[set[str], Path]:
    """Every statement of a busy life, as the store ran it."""
    seen: set[str] = set()
    for name in ("_prepare_writer", "_prepare_reader"):
        prepare = getattr(engine, name)

        def traced(db: sqlite3.Connection, prepare=prepare) -> None:
            prepare(db)
            db.set_trace_callback(seen.add)

        monkeypatch.setattr(engine, name, traced)
    policy = '[[rule]]\nid = "first"\nthen = "limit"\nreason = "new"\n'
    policy += "when = { first_post = true, followed_locally = false }\n"
    async with running(folder, now_ms=AFTERWARDS_MS, policy=policy) as node:
        rng = random.Random(1)
        for seed in range(6):
            told = tell(theft(random.Random(seed)).history, seed)
            await node.own.host(told.account)
            await offer_all(node, told, list(told.records.values()), rng)
        h = History()
        g = h.genesis()
        chain = h.chain("D1", 30)
        h.op("K1", g, revoke={"D1": (Form.STOLEN, chain[-3:-2])})
        told = tell(h, "chain")
        await node.own.host(told.account)
        await offer(node, list(told.records.values()), LINK)
        ann = ann_of(node)
        await join(node, ann)
        await publish(node, [ann.post("a"), ann.post("b")])
        await publish(node, [vanish(ann)])
        await node.gate.review()
        await node.gate.scrub.step(0)
        await node.gate.settled()
    return seen, folder / "ratoon.sqlite"


async def test_no_statement_scans_a_table(tmp_path: Path, monkeypatch) -> None:
    seen, path = await statements(tmp_path, monkeypatch)
    monkeypatch.undo()
    db = sqlite3.connect(path)
    found = {}
    planned = 0
    for sql in seen:
        if not sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")) or FULL_TEXT.search(sql):
            continue
        planned += 1
        bad = scans(plans(db, [sql]))
        if bad and not any(part in sql for part in SCANNED):
            found[" ".join(sql.split())[:160]] = bad
    db.close()
    assert found == {}
    assert planned > 100
