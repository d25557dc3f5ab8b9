"""No statement on the way of a record looks at a whole table."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

from ratoon_node.store import db as engine
from ratoon_protocol.identity import Form
from tests.node.ingest.replay import AFTERWARDS_MS, LINK, offer, offer_all, tell
from tests.node.ingest.test_erasure import ann_of, publish, vanish
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
    "sqlite_master",
)


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
    scans = {}
    planned = 0
    for sql in seen:
        if not sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
            continue
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
        planned += 1
        bad = [step for step in plan if step.startswith("SCAN") and "subquery" not in step]
        if bad and not any(part in sql for part in SCANNED):
            scans[" ".join(sql.split())[:160]] = bad
    db.close()
    assert scans == {}
    assert planned > 100
