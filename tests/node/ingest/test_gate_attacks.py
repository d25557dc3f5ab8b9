"""The known attacks, offered to a real gate: small ones in every order, others in some."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from ratoon_node.ingest import accounts, caps, rejudge
from ratoon_protocol import status
from ratoon_protocol.identity import Form
from ratoon_protocol.limits import RECORDS_PER_KEY_LANE_DAY_MAX
from ratoon_protocol.status import Status
from tests.node.ingest.replay import AFTERWARDS_MS, in_sets, offer, offer_all, statuses, tell
from tests.node.ingest.test_gate_twin import told_all
from tests.node.world import running
from tests.protocol import test_attacks
from tests.protocol.histories import DAY0_MS, History

# All orders of so many records; of longer histories as many orders as these have.
WHOLE_MAX, ORDERS = 4, 8

ATTACKS = [
    (name, found)
    for name, found in vars(test_attacks).items()
    if name.startswith("test_") and not {"crowded", "horizons"} & set(name.split("_"))
]


def stories(attack: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> list[History]:
    """The histories that a protocol test judges, as they were when it did."""
    found: list[History] = []
    judged = test_attacks.judged

    def told(history: History, count: int = 100):
        found.append(copy.deepcopy(history))
        return judged(history, 1)

    monkeypatch.setattr(test_attacks, "judged", told)
    choices: dict[str, list[object]] = {"on_thiefs_head": [False, True], "form": [*Form, None]}
    (name, *_) = [*inspect.signature(attack).parameters, ""]
    for choice in choices.get(name, [None]):
        attack(**({name: choice} if name else {}))
    return found


@pytest.mark.parametrize(("name", "attack"), ATTACKS, ids=[name for name, _ in ATTACKS])
async def test_an_attack_fails_in_every_order_of_arrival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, attack: Callable[..., None]
) -> None:
    rng = random.Random(name)
    async with running(tmp_path, now_ms=AFTERWARDS_MS) as node:
        for number, history in enumerate(stories(attack, monkeypatch)):
            size = len(history.ops) + len(history.headers)
            orders = list(permutations(range(size))) if size <= WHOLE_MAX else []
            orders = orders or [tuple(rng.sample(range(size), size)) for _ in range(ORDERS)]
            for order in orders:
                told = tell(history, (name, number, order))
                await node.own.host(told.account)
                records = list(told.records.values())
                await told_all(node, told, [records[at] for at in order if at < len(records)], rng)


def crowded(count: int) -> History:
    """Attack 12: more records of one lane in a day than count, forks with low seq among them."""
    h = History()
    g = h.genesis()
    chain = h.chain("D1", count - 2)
    for _ in range(3):
        h.record("D1", chain[0])
    h.op("K1", g, revoke={"D1": (Form.STOLEN, chain[-1:])})
    return h


def set_cap(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    for module in (status, caps, accounts):
        monkeypatch.setattr(module, "RECORDS_PER_KEY_LANE_DAY_MAX", count)


@pytest.mark.parametrize("seed", range(12))
async def test_a_crowded_day_counts_the_same_records_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    set_cap(monkeypatch, 12)
    rng = random.Random(seed)
    async with running(tmp_path, now_ms=AFTERWARDS_MS) as node:
        told = tell(crowded(12), seed)
        await node.own.host(told.account)
        records = list(told.records.values())
        revoking = records[-1]
        order = rng.sample(records, len(records))
        if seed % 2:  # judged first without the revocation, then with it
            order.remove(revoking)
        await offer_all(node, told, order, rng)
        held = await statuses(node, told.account)
        log = told.log() if not seed % 2 else None
        if log is not None:
            assert held == told.real.judge(log, held)
        else:
            before = copy.deepcopy(told)
            del before.real.ops[revoking.id]
            assert held == before.real.judge(before.log(), held)
            assert Status.CAPPED in held.values()
            assert len(await in_sets(node, told.account)) == 13
            await offer(node, [revoking])
        held = await statuses(node, told.account)
        assert held == told.real.judge(told.log(), held)


async def test_5001_real_records_of_a_day(tmp_path: Path) -> None:
    rng = random.Random(1)
    limit = RECORDS_PER_KEY_LANE_DAY_MAX
    async with running(tmp_path, now_ms=AFTERWARDS_MS) as node:
        told = tell(crowded(limit), 1)
        await node.own.host(told.account)
        genesis, *records, revoking = told.records.values()
        await offer(node, [genesis])
        rng.shuffle(records)
        for at in range(0, len(records), 500):
            await offer(node, records[at : at + 500])
        held = await statuses(node, told.account)
        assert sorted(held.values()).count(Status.CAPPED) == 1
        assert len(await in_sets(node, told.account)) == limit + 1
        await offer(node, [revoking])
        await node.gate.settled()
        held = await statuses(node, told.account)
        assert held == told.real.judge(told.log(), held)
        assert sorted(held.values()).count(Status.CAPPED) == 0


async def test_large_accounts_are_judged_in_slices_that_a_restart_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejudge, "SLICE_RECORDS_MAX", 7)
    for seed in range(4):
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        h = History()
        g = h.genesis(devices=["D1", "D2"])
        mine = h.chain("D1", 20) + h.chain("D2", 15)
        h.delete("D1", mine[:2])
        later = h.op("K1", g, revoke={"D1": (Form.STOLEN, [mine[9]])}, at_ms=DAY0_MS + 1)
        h.op("K0", later, revoke={"D2": (Form.STOLEN, [mine[25]])}, at_ms=DAY0_MS + 2)
        told = tell(h, seed)
        records = list(told.records.values())
        changes = [one for one in records if one.id in told.real.ops][1:]
        others = [one for one in records if one not in changes]
        async with running(folder, now_ms=AFTERWARDS_MS) as node:
            await node.own.host(told.account)
            await offer_all(node, told, others, rng)
            for one in changes:
                await offer(node, [one])
            hidden = await node.db.read(
                lambda db: db.execute("SELECT sum(suspect) FROM chain").fetchone()[0]
            )
            unjudged = await node.db.read(
                lambda db: db.execute("SELECT count(*) FROM account WHERE judged = 0").fetchone()[0]
            )
            assert (hidden > 0) == (unjudged == 1)
            if seed % 2:
                await node.gate.settled()
        async with running(folder, now_ms=AFTERWARDS_MS) as node:
            await node.gate.settled()
            held = await statuses(node, told.account)
            assert held.keys() == told.records.keys()
            assert held == told.real.judge(told.log(), held)
            assert Status.REVOKED in held.values()
            left = await node.db.read(
                lambda db: db.execute("SELECT count(*) FROM chain WHERE suspect = 1").fetchone()[0]
            )
            assert left == 0
