"""Who holds a record: answers of peers, counted by providers the operator confirmed (R-130).

The home's own commit counts. A node whose provider the operator has not confirmed is shown apart
and never counts, because anybody can claim to be anywhere.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ratoon_node.errors import NodeError
from ratoon_node.ingest.ledger import STORE_RETRY_MS, Ledger
from ratoon_node.peering.roster import Roster
from ratoon_node.runtime import Clock, Spawn, timeout_ms
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Outcome

# Answers noted and not yet written; above it the oldest wait for the next reconciliation.
ANSWERS_WAITING_MAX = 65_536
# Publishers that wait for receipts at once, in records.
WAITS_MAX = 65_536
# A peer that got a record from somebody else was never told of it by this node and has not said
# that it holds it: those who are waited for so long are asked, then again after twice the time.
ASK_MS = 300


class Counts(NamedTuple):
    """How many hold a record. `unconfirmed`: nodes whose provider nobody vouched for here."""

    nodes: int
    providers: int
    countries: int
    unconfirmed: int


class Place(NamedTuple):
    """Where this node is, as its operator says."""

    provider: str
    country: str


class Receipts:
    """Answers of peers as they come, and publishers that wait for them."""

    def __init__(
        self,
        own: bytes,
        place: Place,
        db: Db,
        ledger: Ledger,
        roster: Roster,
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self._own = own
        self._place = place
        self._db = db
        self._ledger = ledger
        self._roster = roster
        self._clock = clock
        self._spawn = spawn
        self._noted: list[tuple[bytes, bytes, Code]] = []
        self._arrived = asyncio.Event()
        self._waits: dict[bytes, dict[asyncio.Event, None]] = {}
        self._waiting = 0
        #: Offers records to every peer, which answers what it holds; the hub puts itself here.
        self.ask: Callable[[Sequence[bytes]], None] = lambda ids: None

    def start(self) -> None:
        """Write what comes, a batch at a time."""
        self._spawn(self._write(), "receipts.write")

    def note(self, node: bytes, outcomes: Sequence[Outcome]) -> None:
        """A peer says what is true of records at its side."""
        room = ANSWERS_WAITING_MAX - len(self._noted)
        self._noted.extend((node, outcome.id, outcome.code) for outcome in outcomes[:room])
        self._arrived.set()

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            noted, self._noted = self._noted, []
            try:
                await self._keep(noted)
            except NodeError:  # the store cannot write now: nothing said is forgotten
                self._noted = [*noted, *self._noted][:ANSWERS_WAITING_MAX]
                await self._clock.sleep_ms(STORE_RETRY_MS)
                self._arrived.set()

    async def _keep(self, noted: Sequence[tuple[bytes, bytes, Code]]) -> None:
        await self._ledger.note_acks(noted, self._own)
        for _, id_, _ in noted:
            for event in self._waits.get(id_, ()):
                event.set()

    async def wait(self, ids: Sequence[bytes], providers: int, wait_ms: int) -> dict[bytes, Counts]:
        """Return once `providers` different ones hold every record, or when the time is over."""
        found = await self.counts(ids)
        if self._waiting + len(found) > WAITS_MAX:
            return found
        event = asyncio.Event()
        for id_ in found:
            self._waits.setdefault(id_, {})[event] = None
        self._waiting += len(found)
        try:
            async with timeout_ms(wait_ms):
                ask_ms = ASK_MS
                while lacking := [id_ for id_, n in found.items() if n.providers < providers]:
                    if not await self._answered(event, ask_ms):
                        self.ask(lacking)
                        ask_ms *= 2
                    found |= await self.counts(lacking)
        except TimeoutError:
            pass
        finally:
            self._waiting -= len(found)
            for id_ in found:
                del self._waits[id_][event]
                if not self._waits[id_]:
                    del self._waits[id_]
        return found

    async def _answered(self, event: asyncio.Event, wait_ms: int) -> bool:
        """Whether an answer came in time."""
        try:
            async with timeout_ms(wait_ms):
                await event.wait()
        except TimeoutError:
            return False
        event.clear()
        return True

    async def counts(self, ids: Sequence[bytes]) -> dict[bytes, Counts]:
        """The counts of every record as far as answers are kept; all 0 for one not here."""
        rows = await self._db.read(lambda db: _holders(db, ids))
        return {id_: self._count(rows.get(id_, set())) for id_ in ids}

    def _lied(self, node: bytes) -> bool:
        peer = self._roster.peers.get(node)
        return peer is not None and peer.lied

    def _count(self, nodes: set[bytes]) -> Counts:
        places = [self._of(node) for node in nodes if not self._lied(node)]
        return Counts(
            nodes=len(places),
            providers=len({provider for provider, _ in places if provider}),
            countries=len({country for provider, country in places if provider and country}),
            unconfirmed=sum(not provider for provider, _ in places),
        )

    def _of(self, node: bytes) -> tuple[str, str]:
        if node == self._own or node == b"":
            return _spelled(self._place.provider) or "this node", _spelled(self._place.country)
        peer = self._roster.peers.get(node)
        return (_spelled(peer.provider), _spelled(peer.country)) if peer else ("", "")


def _spelled(name: str | None) -> str:
    """A provider or country as it is compared: one that is typed twice is still one."""
    return " ".join((name or "").casefold().split())


def _holders(db: sqlite3.Connection, ids: Sequence[bytes]) -> dict[bytes, set[bytes]]:
    """The nodes that said `stored` of each record; b"" stands for this one."""
    found: dict[bytes, set[bytes]] = {}
    for id_, stored in read.by_ids(db, ids).items():
        nodes = {node for node, code in read.acks(db, stored.n) if code == Code.STORED}
        if read.code_of(stored) is Code.STORED:
            nodes.add(b"")
        found[id_] = nodes
    return found
