"""The horizon: bytes of old posts of accounts at home elsewhere are not kept (R-61).

Headers stay, so sets are what they were; what is older than the horizon is not compared. Accounts
at home here keep everything, and so do the log and state of everybody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import structlog

from ratoon_node.ingest.accounts import Accounts
from ratoon_node.runtime import Clock
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.rows import Bytes, Row, What
from ratoon_node.store.write import Tx, in_set
from ratoon_protocol.kinds import Scope, kind_class
from ratoon_protocol.limits import DAY_MS

# Rows looked at in one transaction: a few milliseconds of the writer.
SLICE_RECORDS = 1000
# Pause between two slices.
PAUSE_MS = 1000
# Pause between two rounds: the horizon moves once a day.
ROUND_MS = 3_600_000

log = structlog.get_logger()


def horizon_ms(days: int, now_ms: int) -> int:
    """00:00 UTC of the oldest day that is kept; 0 if everything is."""
    return (now_ms // DAY_MS - days) * DAY_MS if days else 0


def behind(kind: int, created_ms: int, horizon: int) -> bool:
    """Whether a record is of the scope that has a horizon, and older than that."""
    return created_ms < horizon and kind_class(kind).scope is Scope.WINDOW


class Retention:
    """Walks the store once an hour and drops what is behind the horizon."""

    def __init__(
        self,
        db: Db,
        accounts: Accounts,
        clock: Clock,
        node: bytes,
        days: int,
        changed: Callable[[Tx, set[bytes]], None],
    ) -> None:
        self._db = db
        self._accounts = accounts
        self._clock = clock
        self._node = node
        self._days = days
        self._changed = changed

    async def run(self) -> None:
        """For ever, if there is a horizon at all."""
        while self._days:
            after: int | None = 0
            while after is not None:
                try:
                    after = await self.step(after)
                except sqlite3.Error as error:
                    log.error("retention_failed", error=str(error))
                    after = None
                await self._clock.sleep_ms(PAUSE_MS)
            await self._clock.sleep_ms(ROUND_MS)

    async def step(self, after: int) -> int | None:
        """One slice of rows above `after`; where the next begins, None at the end."""
        horizon = horizon_ms(self._days, self._clock.now_ms())

        def run(db: sqlite3.Connection) -> tuple[Tx, int | None]:
            tx = Tx(db)
            last = min(after + SLICE_RECORDS, read.last_number(db))
            for stored in tx.rows(
                "n > ? AND n <= ? AND created_ms < ? AND bytes_state = ?",
                after,
                last,
                horizon,
                int(Bytes.HERE),
            ):
                if behind(stored.kind, stored.created_ms, horizon):
                    self._drop(tx, stored)
            self._accounts.finish(tx)
            return tx, last if last > after else None

        tx, last = await self._db.write(run, self._accounts.clear)
        self._changed(tx, set())
        return last

    def _drop(self, tx: Tx, stored: Row) -> None:
        account = read.account_id(tx.db, stored.account)
        if self._node in self._accounts.hosts(tx, account):
            return
        stored = tx.set_standing(stored, stored.flags, stored.disposition, Bytes.DROPPED, None)
        tx.log(What.STATUS, stored, account, in_set(stored.flags))
