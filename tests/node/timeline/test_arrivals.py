"""What the digest is handed in memory is what it would read, and it reads whatever it is not."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Outcome, Way
from ratoon_node.store import arrivals, digested, read
from ratoon_node.store.arrivals import Arrivals, Taken
from ratoon_node.store.rows import Bytes, Row
from ratoon_node.store.write import Tx
from ratoon_node.timeline import digest
from ratoon_protocol import kinds
from ratoon_protocol.record import Record
from ratoon_protocol.status import Status
from tests.node.timeline.life import Life
from tests.node.world import join, person, running


def row(n: int, payload: bytes = b"p") -> Row:
    state = (Status.LIVE, 0, 0, Bytes.HERE, n)
    return Row(n, n.to_bytes(32), 1, 1, kinds.POST, n, 0, None, *state, b"h", b"s", payload)


def here(kept: Arrivals, *numbers: int) -> set[int]:
    return set(kept.take(numbers))


def test_a_row_that_changed_is_forgotten() -> None:
    kept = Arrivals()
    kept.note([Taken(row(n), b"a") for n in (1, 2, 3)], [])
    kept.note([], [2])
    assert here(kept, 1, 2, 3, 4) == {1, 3}
    assert len(kept) == 0


def test_what_did_not_commit_is_forgotten() -> None:
    kept = Arrivals()
    kept.note([Taken(row(1), b"a")], [])
    kept.clear()
    kept.note([Taken(row(2), b"a")], [])
    assert here(kept, 1, 2) == {2}


def test_what_waits_is_bounded_and_makes_room(monkeypatch) -> None:
    monkeypatch.setattr(arrivals, "BYTES_MAX", 100_000)
    kept = Arrivals()
    kept.note([Taken(row(n, bytes(18_000)), b"a") for n in range(50)], [])
    assert here(kept, *range(50)) == {0, 1, 2, 3, 4}
    kept.note([Taken(row(n, bytes(18_000)), b"a") for n in range(50)], [])
    assert len(kept) == 5


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_handed_over_is_what_the_store_has(
    tmp_path: Path, monkeypatch, seed: int
) -> None:
    count = Counter[str]()
    taken = digested.taken

    def compared(
        db: sqlite3.Connection, numbers: Sequence[int], kept: Arrivals | None = None
    ) -> dict[int, Taken]:
        stored = taken(db, numbers)
        if kept is None:
            return stored
        found = taken(db, numbers, kept)
        assert found.keys() == stored.keys()
        for n, one in found.items():
            assert (one.row, one.account) == (stored[n].row, stored[n].account)
            if one.readable:
                assert digest._body(one) == digest._body(stored[n])
            count["handed" if one.body is not None else "read"] += 1
        return found

    monkeypatch.setattr(digested, "taken", compared)
    async with running(tmp_path) as node:
        life = Life(node, random.Random(seed))
        await life.settle(4)
        for _ in range(60):
            for _ in range(life.rng.randint(1, 4)):
                await life.step()
            if life.rng.random() < 0.3:
                await life.digested()
        await life.digested()
    assert count["handed"] > 20
    assert count["read"] > 5


async def test_a_commit_that_fails_hands_nothing_over(tmp_path: Path, monkeypatch) -> None:
    """The same number is given to another record, which must be looked at and not the lost one."""
    async with running(tmp_path) as node:
        who = person(node.settings.network_bytes, random.Random(1), node.runtime.clock)
        await join(node, who)
        await node.digest.reached(await node.db.read(read.journal_end))
        lost, kept = who.post("lost"), who.post("kept")
        accounts = node.gate._accounts
        finish = accounts.finish

        def failing(tx: Tx) -> None:
            finish(tx)
            raise sqlite3.OperationalError("disk I/O error")

        async with node.digest.still:
            monkeypatch.setattr(accounts, "finish", failing)
            assert [one.code for one in await submit(node, lost)] == ["busy"]
            assert len(accounts._arrivals) == 0
            monkeypatch.setattr(accounts, "finish", finish)
            assert [one.code for one in await submit(node, kept)] == ["stored"]
            assert len(accounts._arrivals) == 1


async def submit(node: Node, record: Record) -> list[Outcome]:
    return await node.gate.submit([record.encode()], Origin(Way.API))
