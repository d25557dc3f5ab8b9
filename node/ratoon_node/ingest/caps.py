"""Counted bounds: the daily cap of a key and lane, mailboxes, budgets of unknown nodes."""

from __future__ import annotations

import sqlite3
from bisect import insort
from collections.abc import Collection
from dataclasses import dataclass, field

from ratoon_node.policy.admission import Admission, Budgets, Usage
from ratoon_node.store.write import Tx
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code, RecordError
from ratoon_protocol.limits import DAY_MS, RECORDS_PER_KEY_LANE_DAY_MAX
from ratoon_protocol.record import Header

# Envelopes one mailbox takes a day from people it does not know.
MAILBOX_DAY_MAX = 100
# Envelopes one mailbox keeps.
MAILBOX_RECORDS_MAX = 5000
# Bytes one mailbox keeps.
MAILBOX_BYTES_MAX = 64 * 1024 * 1024
# Full days of one chain kept sorted: 400 KiB each, and honest chains have none.
FULL_DAYS_MAX = 8

#: (not reached from tips, seq, id): who comes first counts (R-56).
Rank = tuple[bool, int, bytes]


def day_of(created_ms: int) -> int:
    """The UTC day of a time."""
    return created_ms // DAY_MS


@dataclass(slots=True)
class Days:
    """How many records each day of one chain has, and of full days who counts.

    Made only for chains with as many records as one day may have: smaller ones cannot be over.
    """

    counts: dict[int, int]
    full: dict[int, list[Rank]] = field(default_factory=dict)

    @classmethod
    def read(cls, db: sqlite3.Connection, chain: int) -> Days:
        """Count a stored chain: one pass over its index."""
        found = db.execute(
            f"SELECT created_ms / {DAY_MS}, count(*) FROM record WHERE chain = ?"
            f" AND kind != {kinds.IDENTITY} GROUP BY 1",
            (chain,),
        )
        return cls(dict(found.fetchall()))

    def over(
        self,
        db: sqlite3.Connection,
        chain: int,
        header: Header,
        rank: Rank,
        tips: Collection[bytes],
    ) -> bool:
        """Whether a new record is above the cap of its day. Changes nothing."""
        day = day_of(header.created_ms)
        if self.counts.get(day, 0) < RECORDS_PER_KEY_LANE_DAY_MAX:
            return False
        return rank > self._counted(db, chain, day, tips)[-1]

    def add(self, header: Header, rank: Rank, over: bool) -> bytes | None:
        """Count a record that was stored; the id that it pushed above the cap, if it did."""
        day = day_of(header.created_ms)
        self.counts[day] = self.counts.get(day, 0) + 1
        if over or day not in self.full:
            return None
        counted = self.full[day]
        insort(counted, rank)
        return counted.pop()[2]

    def _counted(
        self, db: sqlite3.Connection, chain: int, day: int, tips: Collection[bytes]
    ) -> list[Rank]:
        if day not in self.full:
            if len(self.full) >= FULL_DAYS_MAX:
                self.full.pop(next(iter(self.full)))
            ranks = (rank for rank, _ in ranks_of(db, chain, day, tips))
            self.full[day] = sorted(ranks)[:RECORDS_PER_KEY_LANE_DAY_MAX]
        return self.full[day]


def ranks_of(
    db: sqlite3.Connection, chain: int, day: int, tips: Collection[bytes]
) -> list[tuple[Rank, int]]:
    """(rank, row) of every record of one day of a chain."""
    found = db.execute(
        "SELECT seq, id, n FROM record WHERE chain = ? AND created_ms >= ? AND created_ms < ?"
        f" AND kind != {kinds.IDENTITY}",
        (chain, day * DAY_MS, (day + 1) * DAY_MS),
    )
    return [((id_ not in tips, seq, id_), number) for seq, id_, number in found]


def above(ranks: list[tuple[Rank, int]]) -> dict[int, bool]:
    """For each row of one day whether it is above the cap."""
    ordered = sorted(ranks)
    return {
        number: place >= RECORDS_PER_KEY_LANE_DAY_MAX for place, (_, number) in enumerate(ordered)
    }


def full_days(db: sqlite3.Connection, chain: int, size: int | None) -> list[int]:
    """The days of a chain with more records than may count. `size`: of the chain, if known."""
    if size is not None and size <= RECORDS_PER_KEY_LANE_DAY_MAX:
        return []
    found = db.execute(
        f"SELECT created_ms / {DAY_MS} FROM record WHERE chain = ? AND kind != {kinds.IDENTITY}"
        " GROUP BY 1 HAVING count(*) > ?",
        (chain, RECORDS_PER_KEY_LANE_DAY_MAX),
    )
    return [day for (day,) in found]


def check_mailbox(db: sqlite3.Connection, account: int, header: Header, now_ms: int) -> None:
    """The strangers' quota of an envelope's recipient, counted by arrival (R-123)."""
    found = db.execute(
        "SELECT records, bytes, day, today FROM mailbox WHERE account = ?", (account,)
    ).fetchone()
    if found is None:
        return
    count, size, day, today = found
    if day == day_of(now_ms) and today >= MAILBOX_DAY_MAX:
        raise RecordError(Code.RATE, "mailbox")
    if count >= MAILBOX_RECORDS_MAX or size + header.payload_len > MAILBOX_BYTES_MAX:
        raise RecordError(Code.RATE, "mailbox is full")


class Purse:
    """Budgets of nodes that nobody added by hand, inside one transaction (R-66)."""

    def __init__(self, tx: Tx, admission: Admission, budgets: Budgets, now_ms: int) -> None:
        self._tx = tx
        self._admission = admission
        self._budgets = budgets
        self._day = day_of(now_ms)
        self._used: dict[bytes, Usage] = {}
        self._spent: dict[bytes, Usage] = {}

    def check(self, nodes: tuple[bytes, ...], cost: Usage) -> bytes | None:
        """Who would pay for `cost`. Raises `RecordError` if nobody can."""
        used = {node: self._usage(node) for node in nodes}
        charge = self._admission.charge(nodes, cost, used, self._budgets)
        if charge.refusal is not None:
            raise RecordError(charge.refusal, "budget of the node that hosts the account")
        return charge.node

    def pay(self, node: bytes | None, cost: Usage) -> None:
        """Charge what was stored."""
        if node is None:
            return
        for book in (self._used, self._spent):
            book[node] = book.get(node, Usage()).plus(cost)

    def finish(self) -> None:
        """Write down what this transaction spent."""
        for node, cost in self._spent.items():
            self._tx.spend(node, self._day, *cost)

    def _usage(self, node: bytes) -> Usage:
        if node not in self._used:
            found = self._tx.db.execute(
                "SELECT accounts, headers, size FROM budget WHERE node = ? AND day = ?",
                (node, self._day),
            ).fetchone()
            self._used[node] = Usage(*found) if found else Usage()
        return self._used[node]
