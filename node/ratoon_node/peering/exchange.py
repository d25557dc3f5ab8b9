"""What one link is used for once it is open: taking in, answering, comparing, catching up.

Answers come from the store; whatever a peer sends goes to the gate. A peer that sends more than
the gate takes at once is not read from: that is all the back-pressure there is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence

from ratoon_node.errors import NodeError
from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.submission import Origin, Outcome, Parts, Way
from ratoon_node.peering.link import Link
from ratoon_node.peering.serve import Serve
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.rows import Row
from ratoon_protocol import record
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.events import Answered, Pushed
from ratoon_protocol.frames import FIND_ACCOUNT, Have, Item, Peers, record_bytes
from ratoon_protocol.frames import Outcome as Answer
from ratoon_protocol.limits import FRAME_IDS_MAX, FRAME_RECORDS_MAX

# Frames of one peer in the gate at once: one commit's worth being written, one being checked.
FRAMES_IN_GATE_MAX = 12
# Ids asked for in one request: a part of an answer is a good batch.
IDS_PER_GET_MAX = 512
# Requests for records under way on one link.
GETS_MAX = 8
# Ids that came too early, kept to be tried again after the log scope.
EARLY_MAX = 65_536
# Bytes of those that are kept too; the rest is asked for once more.
EARLY_BYTES_MAX = 8 * 1024 * 1024
# Ids known to be at the peer, so that they are not offered back.
SEEN_MAX = 16_384
# Time to come back to a gate that was full.
GATE_FULL_MS = 250

#: Refusals that more of the log scope may cure.
EARLY = frozenset({Code.NOT_HOSTED, Code.UNKNOWN_ACCOUNT, Code.UNKNOWN_KEY, Code.PENDING})


class Exchange:
    """One link's traffic of records."""

    def __init__(
        self, link: Link, gate: Gate, db: Db, serve: Serve, clock: Clock, spawn: Spawn
    ) -> None:
        self.link = link
        self.serve = serve
        self._early: dict[bytes, Item | None] = {}
        self._early_bytes = 0
        self.seen: dict[bytes, None] = {}
        self.useful = 0
        self.faults = 0
        self._gate = gate
        self._db = db
        self._clock = clock
        self._spawn = spawn
        self._room = asyncio.Semaphore(FRAMES_IN_GATE_MAX)
        self._gets = asyncio.Semaphore(GETS_MAX)
        self._requests: dict[int, asyncio.Future[None]] = {}
        self._asked_logs: dict[bytes, None] = {}
        self._taking: dict[asyncio.Task[None], None] = {}

    # --- in ------------------------------------------------------------------------------

    async def take_push(self, event: Pushed) -> None:
        """Records nobody asked for; each is answered."""
        await self._start_taking(event.items)

    async def take_answer(self, event: Answered) -> None:
        """A part of an answer to `fetch` or `find`."""
        if event.items:
            await self._start_taking(event.items)
        if event.last:
            waiting = self._requests.pop(event.request, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def _start_taking(self, items: Sequence[Item]) -> None:
        """Hand a frame to the gate, once there is room for it, and read on."""
        for item in items:  # before the commit tells of them: they are not sent back
            _remember(self.seen, item.id, SEEN_MAX)
        await self._room.acquire()
        task = self._spawn(self._take(items), "exchange.take")
        self._taking[task] = None
        task.add_done_callback(self._taken)

    def _taken(self, task: asyncio.Task[None]) -> None:
        del self._taking[task]
        self._room.release()

    async def settled(self) -> None:
        """Return once everything that came so far has its outcome."""
        if self._taking:
            await asyncio.wait(list(self._taking))

    async def _take(self, items: Sequence[Item]) -> None:
        outcomes = await self._submit(items)
        self._learn(items, outcomes)
        answers = [
            Answer(item.id, Code.STORED if outcome.code is Code.DUPLICATE else outcome.code)
            for item, outcome in zip(items, outcomes, strict=True)
        ]
        self.link.session.ack(answers)
        self.link.flush()

    async def _submit(self, items: Sequence[Item]) -> list[Outcome]:
        parts = [Parts(item.header, item.signature, item.payload, item.code) for item in items]
        origin = Origin(Way.LINK, self.link.peer)
        while True:
            try:
                return await self._gate.submit(parts, origin)
            except NodeError as error:
                if error.code is not Code.BUSY or self.link.over:
                    return [Outcome(item.id, error.code) for item in items]
            await self._clock.sleep_ms(GATE_FULL_MS)

    def _learn(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        logs: set[bytes] = set()
        for item, outcome in zip(items, outcomes, strict=True):
            self.faults += outcome.peer_fault
            self.useful += outcome.code is Code.STORED
            if outcome.code in EARLY:
                self._keep_early(item)
                if outcome.code is not Code.NOT_HOSTED:
                    logs.add(_account_of(item.header))
        for account in sorted(logs):
            if account and account not in self._asked_logs:
                _remember(self._asked_logs, account, EARLY_MAX)
                self._spawn(self.find(FIND_ACCOUNT, account), "exchange.find")

    def _keep_early(self, item: Item) -> None:
        if len(self._early) < EARLY_MAX and item.id not in self._early:
            fits = self._early_bytes + _size(item) <= EARLY_BYTES_MAX
            self._early[item.id] = item if fits else None
            self._early_bytes += _size(item) if fits else 0

    async def retry(self) -> int:
        """Try once more what came too early; how much of it is of use now."""
        early, self._early, self._early_bytes = self._early, {}, 0
        before = self.useful
        kept = [item for item in early.values() if item is not None]
        for at in range(0, len(kept), FRAME_RECORDS_MAX):
            await self._start_taking(kept[at : at + FRAME_RECORDS_MAX])
        if self.link.open:
            await self.fetch([id_ for id_, item in early.items() if item is None])
        await self.settled()
        return self.useful - before

    # --- asking --------------------------------------------------------------------------

    def start_fetch(self, ids: Sequence[bytes]) -> asyncio.Task[None]:
        """`fetch`, going on by itself."""
        return self._spawn(self.fetch(ids), "exchange.fetch")

    async def fetch(self, ids: Sequence[bytes]) -> None:
        """Ask for records; returns when every answer has come (or the link ended)."""
        parts = [ids[at : at + IDS_PER_GET_MAX] for at in range(0, len(ids), IDS_PER_GET_MAX)]
        await asyncio.gather(*(self._get(part) for part in parts))

    async def _get(self, ids: Sequence[bytes]) -> None:
        async with self._gets:
            await self._answer_to(lambda: self.link.session.get(ids))

    async def find(self, by: int, name: bytes) -> None:
        """Ask for an account's log, by its id or an account key; returns when it was taken in."""
        async with self._gets:
            await self._answer_to(lambda: self.link.session.find(by, name))

    async def _answer_to(self, ask: Callable[[], int]) -> None:
        if not self.link.open:
            return
        number = ask()
        if not number:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests[number] = waiting
        self.link.flush()
        await waiting

    def end(self) -> None:
        """The link is over: nobody waits for it any more."""
        for waiting in self._requests.values():
            if not waiting.done():
                waiting.set_result(None)
        self._requests.clear()

    # --- offers --------------------------------------------------------------------------

    async def take_have(self, event: Have) -> None:
        """Answer an offer: ask for what is new or wanted, say what is true of the rest."""
        for id_ in event.ids:
            _remember(self.seen, id_, SEEN_MAX)
        found = await self._db.read(lambda db: read.by_ids(db, event.ids))
        wanted = [id_ for id_ in event.ids if id_ not in found or _lacks(found[id_])]
        known = [Answer(id_, read.code_of(row)) for id_, row in found.items() if not _lacks(row)]
        if known:
            self.link.session.ack(known)
            self.link.flush()
        if wanted:
            self.start_fetch(wanted)

    async def take_peers(self, event: Peers) -> None:
        """Node records as hints: the gate judges them like any record."""
        outcomes = await self._gate.submit(event.records, Origin(Way.LINK, self.link.peer))
        self.faults += sum(outcome.peer_fault for outcome in outcomes)

    async def ask_wanted(self) -> None:
        """Ask this peer once for every record whose bytes are wanted here."""
        after = 0
        while self.link.open:

            def page(db: sqlite3.Connection, at: int = after) -> list[tuple[int, bytes]]:
                return read.wanted(db, 2**53, at, FRAME_IDS_MAX)

            rows = await self._db.read(page)
            if not rows:
                return
            after = rows[-1][0]
            await self.fetch([id_ for _, id_ in rows])


def _lacks(row: Row) -> bool:
    return read.code_of(row) is Code.WANTED


def _size(item: Item) -> int:
    return record_bytes(item.header, item.payload)


def _remember(table: dict[bytes, None], key: bytes, size_max: int) -> None:
    """Keep the newest keys of a bounded table."""
    table[key] = None
    if len(table) > size_max:
        del table[next(iter(table))]


def _account_of(header: bytes) -> bytes:
    try:
        return record.decode_header(header).account
    except ProtocolError:
        return b""
