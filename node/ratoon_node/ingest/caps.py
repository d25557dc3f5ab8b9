"""Counted bounds: the daily cap of a key and lane, mailboxes, budgets of unknown nodes."""

from __future__ import annotations

import sqlite3

from ratoon_node.ingest.standing import Standing
from ratoon_node.policy.admission import Admission, Budgets, Usage
from ratoon_node.store.rows import Flag
from ratoon_node.store.write import Tx
from ratoon_protocol.errors import Code, RecordError
from ratoon_protocol.limits import DAY_MS, RECORDS_PER_KEY_LANE_DAY_MAX
from ratoon_protocol.record import Header
from ratoon_protocol.status import over_cap

# Envelopes one mailbox takes a day from people it does not know.
MAILBOX_DAY_MAX = 100
# Envelopes one mailbox keeps.
MAILBOX_RECORDS_MAX = 5000
# Bytes one mailbox keeps.
MAILBOX_BYTES_MAX = 64 * 1024 * 1024

_COUNTED = "chain = ? AND created_ms >= ? AND created_ms < ?"


def _day(created_ms: int) -> tuple[int, int]:
    start = created_ms - created_ms % DAY_MS
    return start, start + DAY_MS


def over(
    tx: Tx, chain: int, record_id: bytes, header: Header, reached: frozenset[bytes] | None
) -> bool:
    """Whether a new record is above the cap of its key, lane and day (R-67).

    The first 5,000 by (reached from tips, seq, id) count, whatever came first. `reached` is
    given for a key that has tips.
    """
    start, end = _day(header.created_ms)
    if reached is not None:
        return False  # `settle` sorts the day once the row is in
    counted = tx.rows(
        f"{_COUNTED} AND flags & {int(Flag.CAPPED)} = 0 ORDER BY seq DESC, id DESC LIMIT ?",
        chain,
        start,
        end,
        RECORDS_PER_KEY_LANE_DAY_MAX,
    )
    if len(counted) < RECORDS_PER_KEY_LANE_DAY_MAX:
        return False
    return (header.seq, record_id) > (counted[0].seq, counted[0].id)


def settle(
    tx: Tx, standing: Standing, chain: int, created_ms: int, reached: frozenset[bytes] | None
) -> None:
    """Sort one full day again: what a new or newly reached record pushes out is capped."""
    start, end = _day(created_ms)
    rows = tx.rows(_COUNTED, chain, start, end)
    if len(rows) <= RECORDS_PER_KEY_LANE_DAY_MAX and not any(r.flags & Flag.CAPPED for r in rows):
        return
    above = over_cap([(r.seq, r.id) for r in rows], reached or frozenset())
    for stored in rows:
        capped = Flag.CAPPED if stored.id in above else 0
        standing.change(stored, stored.flags & ~Flag.CAPPED | capped)


def check_mailbox(db: sqlite3.Connection, account: int, header: Header, now_ms: int) -> None:
    """The strangers' quota of an envelope's recipient (R-123)."""
    found = db.execute(
        "SELECT count(*), coalesce(sum(length(payload)), 0),"
        " coalesce(sum(record.created_ms > ?), 0)"
        " FROM record JOIN chain ON chain.n = record.chain"
        " WHERE chain.account = ? AND chain.key = x'' AND chain.lane = 4",
        (now_ms - DAY_MS, account),
    ).fetchone()
    count, size, today = found
    if today >= MAILBOX_DAY_MAX or count >= MAILBOX_RECORDS_MAX:
        raise RecordError(Code.RATE, "mailbox")
    if size + header.payload_len > MAILBOX_BYTES_MAX:
        raise RecordError(Code.RATE, "mailbox is full")


def charge_budget(
    tx: Tx,
    admission: Admission,
    budgets: Budgets,
    nodes: tuple[bytes, ...],
    known: bool,
    now_ms: int,
) -> None:
    """Charge a node that brings an account, unless the operator added one of them (R-66)."""
    day = now_ms // DAY_MS
    used = {
        node: Usage(*spent)
        for node in nodes
        if (
            spent := tx.db.execute(
                "SELECT accounts, headers FROM budget WHERE node = ? AND day = ?", (node, day)
            ).fetchone()
        )
    }
    cost = Usage(0 if known else 1, 1)
    charge = admission.charge(nodes, cost, used, budgets)
    if charge.refusal is not None:
        raise RecordError(charge.refusal, "budget of the node that hosts the account")
    if charge.node is not None:
        tx.spend(charge.node, day, cost.new_accounts, cost.headers)
