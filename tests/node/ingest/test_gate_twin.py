"""The gate's statuses against the slow judge, whatever arrives in whatever order and batches."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_protocol.identity import IdentityLog
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Record
from ratoon_protocol.status import Status
from tests.node.ingest.replay import (
    AFTERWARDS_MS,
    Told,
    in_sets,
    offer_all,
    statuses,
    tell,
)
from tests.node.world import running
from tests.protocol.histories import History
from tests.protocol.thefts import anything, theft


def to_be_held(told: Told, log: IdentityLog) -> set[bytes]:
    """What every node keeps, however things arrived: headers of proven keys and kept operations,
    of a vanished account only its log.
    """
    return {
        id_
        for id_, header in told.real.headers.items()
        if (log.holds(id_) if id_ in told.real.ops else log.authority(header.key).known)
        and not (log.vanished and header.kind_class.lane is not Lane.LOG)
    }


async def told_all(node: Node, told: Told, order: list[Record], rng: random.Random) -> None:
    """Offer a history and check the store against the slow judge, then what is in the sets."""
    await offer_all(node, told, order, rng)
    await node.gate.settled()
    found = await statuses(node, told.account)
    log = told.log()
    assert found == told.real.judge(log, found)
    held = to_be_held(told, log)
    leaving = {id_ for id_ in found.keys() - held if log.vanished and found[id_] is Status.GONE}
    assert found.keys() == held | leaving
    assert await in_sets(node, told.account) == held


async def told_in_two_orders(
    node: Node, history: History, salt: object, rng: random.Random
) -> None:
    """The same story of two accounts, each in an order of its own."""
    for number in range(2):
        told = tell(history, (salt, number))
        await node.own.host(told.account)
        order = rng.sample(list(told.records.values()), len(told.records))
        await told_all(node, told, order, rng)


@pytest.mark.parametrize("first", range(0, 120, 20))
async def test_anything_at_all_is_judged_as_by_the_slow_judge(tmp_path: Path, first: int) -> None:
    async with running(tmp_path, now_ms=AFTERWARDS_MS) as node:
        for seed in range(first, first + 20):
            rng = random.Random(seed)
            await told_in_two_orders(node, anything(rng, ops_max=8), seed, rng)


@pytest.mark.parametrize("first", range(0, 80, 20))
async def test_a_theft_leaves_exactly_what_is_the_owners(tmp_path: Path, first: int) -> None:
    async with running(tmp_path, now_ms=AFTERWARDS_MS) as node:
        for seed in range(first, first + 20):
            rng = random.Random(seed)
            await told_in_two_orders(node, theft(rng).history, seed, rng)
