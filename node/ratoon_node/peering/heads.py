"""How far this node's own chain is, as peers know it: asked before anything is signed (R-36).

A disk that was restored from a backup does not know what was signed after it, and nothing on it
tells that it is old. Peers do: some of them are asked, for a bounded time, because a node whose
peers are gone has to sign again one day; what comes to light later it goes on behind.
"""

from __future__ import annotations

import sqlite3

import structlog

from ratoon_node.ingest.gate import Gate
from ratoon_node.operate.own import OwnAccount
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.sets import Sets
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_protocol.kinds import Lane

# Peers whose answers are enough, where so many are known: one may be restored itself, or lie.
ANSWERS_MAX = 2
# How long they are waited for, once links can open: some rounds of dialling and a slow handshake.
WAIT_MS_MAX = 15_000

log = structlog.get_logger()


class Heads:
    """Asks whoever links first, and then lets the node sign."""

    def __init__(
        self,
        own: OwnAccount,
        seeds: bool,
        db: Db,
        gate: Gate,
        sets: Sets,
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self._own = own
        self._seeds = seeds
        self._db = db
        self._gate = gate
        self._sets = sets
        self._clock = clock
        self._spawn = spawn
        self._needed = 0
        self._answered: set[bytes] = set()
        self._waiting = False

    def start(self) -> None:
        """Hold back what is to be signed, if there is anybody to ask."""
        others = len(set(self._gate.admission.nodes) - {self._own.account})
        self._needed = min(ANSWERS_MAX, max(others, int(self._seeds)))
        if self._needed:
            self._waiting = True
            self._own.hold()
            self._spawn(self._give_up(), "heads.wait")

    async def ask(self, neighbour: Neighbour) -> None:
        """Have a peer bring what it has of the own chain beyond what is here."""
        if len(self._answered) >= self._needed:
            return
        account, key = self._own.account, self._own.device.public

        def newest(db: sqlite3.Connection) -> tuple[int, bytes | None]:
            rows = read.chain_records(db, account, key, Lane.LOG, 0, 1)
            missing = [row.id for row in rows if row.payload is None]
            return (rows[0].seq if rows else 0), (missing[0] if missing else None)

        seq, _ = await self._db.read(newest)
        if not await neighbour.exchange.newest(account, key, Lane.LOG, seq + 1):
            return
        _, missing = await self._db.read(newest)
        if missing is not None:
            await neighbour.exchange.bring([missing])
        self._answered.add(neighbour.link.peer)
        if len(self._answered) >= self._needed:
            self._go_on()

    async def _give_up(self) -> None:
        await self._sets.loaded.wait()
        await self._clock.sleep_ms(WAIT_MS_MAX)
        if self._waiting:
            log.warning("signing_unasked", answered=len(self._answered), needed=self._needed)
            self._go_on()

    def _go_on(self) -> None:
        if self._waiting:
            self._waiting = False
            self._spawn(self._own.go_on(), "heads.go_on")
