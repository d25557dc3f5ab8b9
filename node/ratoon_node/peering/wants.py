"""Asking for bytes that are missing here: every peer, then less and less often (R-62)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from functools import partial

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.ingest.ledger import Ledger
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.rows import Bytes

# How often bytes that are due are asked of every peer.
WANTED_ROUND_MS = 5000
# Records asked for in one such round.
WANTED_ROUND_RECORDS_MAX = 4096

log = structlog.get_logger()


class Wants:
    """Rounds in which all peers are asked for what is due."""

    def __init__(
        self,
        neighbours: Mapping[bytes, Neighbour],
        db: Db,
        ledger: Ledger,
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self._neighbours = neighbours
        self._db = db
        self._ledger = ledger
        self._clock = clock
        self._spawn = spawn
        #: Peers that have not answered the last round yet: they are passed over in the next.
        self._asking: dict[Neighbour, asyncio.Task[None]] = {}
        #: What those are asked for once they have answered: nobody else may have it.
        self._missed: dict[Neighbour, dict[bytes, None]] = {}

    async def keep_asking(self) -> None:
        """One round after the other; each that fails doubles the wait of its records."""
        while True:
            await self._clock.sleep_ms(WANTED_ROUND_MS)
            there = list(self._neighbours.values())
            self._asking = {one: task for one, task in self._asking.items() if not task.done()}
            self._missed = {one: ids for one, ids in self._missed.items() if one in there}
            free = [one for one in there if one not in self._asking]
            if not free:
                continue
            try:
                await self._ask(free)
            except (NodeError, sqlite3.Error) as error:  # the store fails: not now
                log.error("wanted_fails", error=repr(error))

    async def _ask(self, free: list[Neighbour]) -> None:
        due = await self._db.read(
            partial(
                read.wanted,
                due_ms=self._clock.now_ms(),
                after=0,
                limit=WANTED_ROUND_RECORDS_MAX,
            )
        )
        if due:
            await self._ledger.asked([number for number, _ in due])
        ids = dict.fromkeys(id_ for _, id_ in due)
        for neighbour in self._asking:
            if ids:
                self._miss(neighbour, ids)
        for neighbour in free:
            missing = list(ids | await self._still(neighbour))
            chosen = neighbour.exchange.wants(neighbour.exchange.not_refused(missing))
            if chosen and neighbour.link.open:
                self._asking[neighbour] = neighbour.exchange.start_fetch(chosen)

    def _miss(self, neighbour: Neighbour, ids: dict[bytes, None]) -> None:
        """Ask for these too, later; bounded, and the newest first: the rest waits for an hour."""
        missed = self._missed.get(neighbour, {}) | ids
        self._missed[neighbour] = dict.fromkeys(list(missed)[-WANTED_ROUND_RECORDS_MAX:])

    async def _still(self, neighbour: Neighbour) -> dict[bytes, None]:
        """What a peer was not asked for because it was busy, as far as nobody else had it."""
        missed = list(self._missed.get(neighbour, ()))
        if not missed:
            return {}
        rows = await self._db.read(lambda db: read.by_ids(db, missed))
        del self._missed[neighbour]
        return {id_: None for id_, row in rows.items() if row.bytes_state is Bytes.WANTED}
