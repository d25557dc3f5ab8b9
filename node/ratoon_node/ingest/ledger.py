"""Everything a node writes down that is not a record: answers of peers, blocks, peers, invites.

It stands beside the gate because the store has one writer; none of it can bring a record in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TypeVar

from ratoon_node.errors import NodeError
from ratoon_node.fanout import Committed
from ratoon_node.ingest.gate import Gate
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.runtime import Clock
from ratoon_node.store.db import Db, Read
from ratoon_node.store.rows import What, id_is
from ratoon_node.store.write import Tx
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code

T = TypeVar("T")

# Pause before what the store could not write is tried again.
STORE_RETRY_MS = 1000
# Nodes whose answers are kept with one record.
ACKS_PER_RECORD_MAX = 16
# Of them by nodes at no confirmed provider: those never crowd out the ones that count.
ACKS_UNCONFIRMED_MAX = 8
# Rows of the peer table: nodes that were added or proved themselves.
PEERS_MAX = 4096
# First wait before bytes are asked of everybody again, then doubling.
WANTED_RETRY_MS = 3_600_000
# Longest wait between two rounds of asking.
WANTED_RETRY_MS_MAX = 7 * 86_400_000


_NOTE_ACK = f"""
INSERT INTO ack (record, node, code, at_ms)
SELECT record.n, ?, ?, ? FROM record JOIN account ON account.n = record.account
WHERE {id_is("?4")}
  AND EXISTS (
    SELECT 1 FROM pointer JOIN account AS host ON host.n = pointer.account
    WHERE target = account.id AND kind = ? AND host.id = ?
  )
  AND (
    EXISTS (SELECT 1 FROM ack WHERE ack.record = record.n AND ack.node = ?)
    OR (SELECT count(*) FROM ack WHERE ack.record = record.n) < iif(
      EXISTS (SELECT 1 FROM peer WHERE peer.node = ? AND provider IS NOT NULL),
      {ACKS_PER_RECORD_MAX}, {ACKS_UNCONFIRMED_MAX})
  )
ON CONFLICT (record, node) DO UPDATE SET code = excluded.code, at_ms = excluded.at_ms
"""


async def write(db: Db, fn: Read[T]) -> T:
    """One transaction. Raises `NodeError(busy)` if the store cannot write now."""
    try:
        return await db.write(fn)
    except sqlite3.Error as error:  # the store has said why
        raise NodeError(Code.BUSY, detail=str(error), retry_ms=STORE_RETRY_MS) from error


class Ledger:
    """Writes, one transaction each. All raise `NodeError(busy)` when the store cannot write:
    whoever does that again and again waits and goes on.
    """

    def __init__(self, db: Db, gate: Gate, clock: Clock) -> None:
        self._db = db
        self._gate = gate
        self._clock = clock

    async def _write(self, fn: Read[T]) -> T:
        return await write(self._db, fn)

    # --- receipts and wanted bytes -------------------------------------------------------

    async def note_acks(self, answers: Sequence[tuple[bytes, bytes, Code]], home: bytes) -> None:
        """Keep (node, id, code): what peers said they hold, of accounts that `home` hosts (R-130).

        All in one transaction: each one waits for the disk.
        """
        now_ms = self._clock.now_ms()
        rows = [
            (node, code.value, now_ms, id_, kinds.HOSTING, home, node, node)
            for node, id_, code in answers
        ]
        await self._write(lambda db: db.executemany(_NOTE_ACK, rows))

    async def asked(self, records: Sequence[int]) -> None:
        """Every peer was asked for these bytes: wait longer before the next round."""
        now_ms = self._clock.now_ms()

        def run(db: sqlite3.Connection) -> None:
            db.executemany(
                "UPDATE wanted SET asks = asks + 1,"
                f" ask_ms = ? + min({WANTED_RETRY_MS} << min(asks, 8), {WANTED_RETRY_MS_MAX})"
                " WHERE record = ?",
                [(now_ms, record) for record in records],
            )

        await self._write(run)

    # --- peers ---------------------------------------------------------------------------

    async def note_link(self, node: bytes, address: str | None) -> bool:
        """A node proved its account on a link; True if it was not known before."""
        now_ms = self._clock.now_ms()

        def run(db: sqlite3.Connection) -> bool:
            (count,) = db.execute("SELECT count(*) FROM peer").fetchone()
            known = db.execute("SELECT linked_ms FROM peer WHERE node = ?", (node,)).fetchone()
            if known is None and count >= PEERS_MAX:
                db.execute(
                    "DELETE FROM peer WHERE node = (SELECT node FROM peer WHERE added = 0"
                    " ORDER BY useful, linked_ms LIMIT 1)"
                )
            db.execute(
                "INSERT INTO peer (node, address, linked_ms) VALUES (?, ?, ?)"
                " ON CONFLICT (node) DO UPDATE SET linked_ms = excluded.linked_ms,"
                " address = coalesce(excluded.address, address)",
                (node, address, now_ms),
            )
            return known is None or known[0] is None

        return await self._write(run)

    async def add_peer(
        self, node: bytes, address: str | None, provider: str | None, country: str | None
    ) -> None:
        """The operator adds a node and says at which provider it is; what is None stays.

        A node that lied about what it holds is believed again.
        """

        def run(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO peer (node, address, added, provider, country) VALUES (?, ?, 1, ?, ?)"
                " ON CONFLICT (node) DO UPDATE SET added = 1, lied_ms = NULL,"
                " address = coalesce(excluded.address, address),"
                " provider = coalesce(excluded.provider, provider),"
                " country = coalesce(excluded.country, country)",
                (node, address, provider, country),
            )

        await self._write(run)

    async def remove_peer(self, node: bytes) -> None:
        """Forget a node; what it brought stays until its hosting no longer counts."""
        await self._write(lambda db: db.execute("DELETE FROM peer WHERE node = ?", (node,)))

    async def score(self, node: bytes, useful: int, faults: int) -> None:
        """Add to what a peer was worth."""

        def run(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE peer SET useful = useful + ?, faults = faults + ? WHERE node = ?",
                (useful, faults, node),
            )

        await self._write(run)

    async def note_lie(self, node: bytes) -> None:
        """A peer could not prove what it claims to hold: its acks count nothing from now on."""
        now_ms = self._clock.now_ms()
        await self._write(
            lambda db: db.execute("UPDATE peer SET lied_ms = ? WHERE node = ?", (now_ms, node))
        )

    async def admission_changed(self, node: bytes) -> None:
        """Journal that other nodes are admitted now: the sets are made anew."""

        def run(db: sqlite3.Connection) -> Tx:
            tx = Tx(db)
            tx.log_account(What.NODES, 0, node)
            tx.finish()
            return tx

        tx = await self._write(run)
        self._gate.published(Committed(tuple(tx.changes), {}), erased=False)

    # --- the operator's lists ------------------------------------------------------------

    async def block(self, entry: ListEntry) -> None:
        """Put an entry on the operator's lists, or replace the one about the same thing."""
        row = (
            entry.subject.value,
            entry.entity,
            int(entry.verdict),
            entry.reason,
            entry.by,
            entry.at_ms,
            entry.expires_ms,
        )
        await self._write(
            lambda db: db.execute(
                "INSERT OR REPLACE INTO block (subject, entity, verdict, reason, made_by, at_ms,"
                " expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        )

    async def unblock(self, subject: Subject, entity: str) -> bool:
        """Take an entry off; False if there was none."""

        def run(db: sqlite3.Connection) -> bool:
            gone = db.execute(
                "DELETE FROM block WHERE subject = ? AND entity = ?", (subject.value, entity)
            )
            return gone.rowcount > 0

        return await self._write(run)
