"""What one link is used for once it is open: taking in, asking, answering offers.

Whatever a peer sends goes to the gate. A peer that sends more than the gate takes at once is not
read from: that is all the back-pressure there is. What a peer does wrong is counted, and ends the
link when it is too much.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ratoon_node.errors import NodeError
from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.submission import Origin, Outcome, Parts, Submission, Way
from ratoon_node.peering.conduct import FAULTS_MAX, Deferred, is_fault
from ratoon_node.peering.link import Link
from ratoon_node.peering.serve import Serve
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.failing import Outage
from ratoon_protocol import kinds, record
from ratoon_protocol.bodies import check_body
from ratoon_protocol.errors import TRANSIENT, Code, ProtocolError
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
EARLY_MAX = 8192
# Bytes of those that are kept too; the rest is asked for once more.
EARLY_BYTES_MAX = 8 * 1024 * 1024
# What came too early outside a comparison waits this long for what it depends on.
EARLY_WAIT_MS = 200
# Logs asked for at once because something came too early, and on one link in all.
LOGS_AT_ONCE_MAX = 64
LOGS_ASKED_MAX = 4096
# Ids known to be at the peer, so that they are not offered back.
SEEN_MAX = 16_384
# Ids whose bytes this peer said it has not, so that it is not asked again at once: twice a round.
REFUSED_MAX = 8192
# Offers waiting to be asked for; above it a comparison brings them.
OFFERS_MAX = 16_384
# A peer that advertises an id and cannot deliver it is not asked for it after so many times.
DELIVERIES_FAILED_MAX = 3
# So many ids that it could not deliver count as one fault: one may be an honest race.
LOST_PER_FAULT = 16
# Ids whose failed deliveries are counted.
LOST_MAX = 16_384
# Nodes that a peer told of and nobody here knows: those of one frame.
HINTS_MAX = 64
# Time to come back to a gate that was full.
GATE_FULL_MS = 250

#: Refusals that more of the log scope may cure.
EARLY = frozenset({Code.NOT_HOSTED, Code.UNKNOWN_ACCOUNT, Code.UNKNOWN_KEY, Code.PENDING})


class _Early(NamedTuple):
    """A record that came before what it depends on; `item` is None if it was too much to keep."""

    account: bytes
    item: Item | None


class _Asked(NamedTuple):
    """A request under way. `promised`: the peer itself advertised what is asked for."""

    done: asyncio.Future[None]
    promised: bool


class Exchange:
    """One link's traffic of records."""

    def __init__(
        self,
        link: Link,
        gate: Gate,
        db: Db,
        serve: Serve,
        deferred: Deferred,
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self.link = link
        self.serve = serve
        self.seen: OrderedDict[bytes, None] = OrderedDict()
        #: Where nodes that are not let in here say they are, as this peer told.
        self.hints: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()
        self.useful = 0
        self.faults = 0
        #: Comparing is under way: it takes care of what comes too early.
        self.comparing = False
        self._gate = gate
        self._db = db
        self._deferred = deferred
        self._clock = clock
        self._spawn = spawn
        self._room = asyncio.Semaphore(FRAMES_IN_GATE_MAX)
        self._gets = asyncio.Semaphore(GETS_MAX)
        self._requests: dict[int, _Asked] = {}
        self._taking: dict[asyncio.Task[None], None] = {}
        self._early: dict[bytes, _Early] = {}
        self._early_bytes = 0
        self._recovering = False
        self._asked_logs: dict[bytes, None] = {}
        self._offers: dict[bytes, None] = {}
        self._fetching_offers = False
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self._lost: OrderedDict[bytes, int] = OrderedDict()
        self._lost_count = 0
        self._no_truth = Outage("pushes_wait")

    def blame(self, faults: int, code: Code) -> None:
        """Count what the peer did wrong; too much of it ends the link with `code`."""
        self.faults += faults
        if faults and self.faults >= FAULTS_MAX and not self.link.over:
            self.link.close(code)

    # --- in ------------------------------------------------------------------------------

    async def take_push(self, event: Pushed) -> None:
        """Records nobody asked for; each is answered."""
        await self._start_taking(event.items)

    async def take_answer(self, event: Answered) -> None:
        """A part of an answer to `fetch` or `find`."""
        asked = self._requests.get(event.request)
        if event.items:
            await self._start_taking(event.items)
        if asked is not None and asked.promised:
            absent = [one.id for one in event.absent if one.code is Code.NOT_FOUND]
            self._note_lost([*absent, *event.missing])
        if asked is not None and event.last:
            del self._requests[event.request]
            if not asked.done.done():
                asked.done.set_result(None)

    async def _start_taking(self, items: Sequence[Item]) -> None:
        """Hand a frame to the gate, once there is room for it, and read on."""
        # Before the commit tells of them: they are not sent back.
        _remember(self.seen, (item.id for item in items), SEEN_MAX)
        # What is revoked there and not here will soon be the same: worth another question.
        refused = (
            item.id for item in items if item.payload is None and item.code is not Code.REVOKED
        )
        _remember(self._refused, refused, REFUSED_MAX)
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
        parts = [
            Parts(item.header, item.signature, item.payload, item.code, item.id) for item in items
        ]
        outcomes = await self._submit(parts)
        self._learn(items, outcomes)
        known = [
            item.id
            for item, outcome in zip(items, outcomes, strict=True)
            if outcome.code is Code.DUPLICATE
        ]
        truth = await self._truth(known) if known else {}
        self.link.session.ack(
            [
                Answer(item.id, truth.get(item.id, outcome.code))
                for item, outcome in zip(items, outcomes, strict=True)
            ]
        )
        self.link.flush()

    async def _truth(self, known: Sequence[bytes]) -> dict[bytes, Code]:
        """What is true of records that were here; `busy` where the store cannot say, because a
        push that is not answered takes its credit away for as long as the link lasts.
        """
        try:
            truth = await self.serve.truth(self.link.peer, known)
        except sqlite3.Error as error:
            self._no_truth.failed(error)
            return dict.fromkeys(known, Code.BUSY)
        self._no_truth.over()
        return truth

    async def _submit(self, parts: Sequence[Submission]) -> list[Outcome]:
        origin = Origin(Way.LINK, self.link.peer)
        while True:
            try:
                return await self._gate.submit(parts, origin)
            except NodeError as error:
                if error.code is not Code.BUSY or self.link.over:
                    return [Outcome(None, error.code) for _ in parts]
            await self._clock.sleep_ms(GATE_FULL_MS)

    def _learn(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.code is Code.STORED:
                self.useful += 1
                continue
            if outcome.code in EARLY:
                self._keep_early(item)
            self._deferred.note(item.id, outcome.code)
        self._count_faults(outcomes)
        self.recover_soon()

    def _count_faults(self, outcomes: Iterable[Outcome]) -> None:
        faults = [one.code for one in outcomes if is_fault(one.id, one.code, one.peer_fault)]
        if faults:
            # A payload that does not fit is the peer's fault whatever becomes of the header.
            of_record = faults[-1] in TRANSIENT or faults[-1] is Code.WANTED
            self.blame(len(faults), Code.PAYLOAD_MISMATCH if of_record else faults[-1])

    # --- what came too early -------------------------------------------------------------

    def _keep_early(self, item: Item) -> None:
        if len(self._early) < EARLY_MAX and item.id not in self._early:
            fits = self._early_bytes + _size(item) <= EARLY_BYTES_MAX
            self._early[item.id] = _Early(_account_of(item.header), item if fits else None)
            self._early_bytes += _size(item) if fits else 0

    async def retry(self) -> int:
        """Try once more what came too early; how much of it is of use now."""
        early, self._early, self._early_bytes = self._early, {}, 0
        before = self.useful
        kept = [one.item for one in early.values() if one.item is not None]
        for at in range(0, len(kept), FRAME_RECORDS_MAX):
            await self._start_taking(kept[at : at + FRAME_RECORDS_MAX])
        if self.link.open:
            await self.fetch([id_ for id_, one in early.items() if one.item is None])
        await self.settled()
        return self.useful - before

    def recover_soon(self) -> None:
        """Get what early records depend on, unless a comparison brings it anyway."""
        if self._early and not self._recovering and not self.comparing:
            self._recovering = True
            self._spawn(self._recover(), "exchange.recover")

    async def _recover(self) -> None:
        try:
            await self._clock.sleep_ms(EARLY_WAIT_MS)
            while self._early and self.link.open and not self.comparing:
                if await self.retry():
                    continue
                if not await self._find_logs():
                    break
        finally:
            self._recovering = False

    async def _find_logs(self) -> bool:
        """Ask for the logs of early records' accounts, each once a link; False if all were."""
        accounts = {one.account for one in self._early.values()} - {b""}
        missing = sorted(accounts - self._asked_logs.keys())[:LOGS_AT_ONCE_MAX]
        if len(self._asked_logs) + len(missing) > LOGS_ASKED_MAX:
            return False
        self._asked_logs.update(dict.fromkeys(missing))
        await asyncio.gather(*(self.find(FIND_ACCOUNT, account) for account in missing))
        return bool(missing)

    # --- asking --------------------------------------------------------------------------

    def wants(self, ids: Iterable[bytes]) -> list[bytes]:
        """Those of the peer's `ids` that make sense to ask for now."""
        return [
            id_ for id_ in self._deferred.due(ids) if self._lost.get(id_, 0) < DELIVERIES_FAILED_MAX
        ]

    def not_refused(self, ids: Sequence[bytes]) -> list[bytes]:
        """Those of `ids` for which the peer has not just said that it lacks the bytes.

        The word is kept for one question: the next time it is asked again.
        """
        found = [id_ for id_ in ids if id_ not in self._refused]
        for id_ in ids:
            self._refused.pop(id_, None)
        return found

    def start_fetch(self, ids: Sequence[bytes], promised: bool = False) -> asyncio.Task[None]:
        """`fetch`, going on by itself."""
        return self._spawn(self.fetch(ids, promised), "exchange.fetch")

    async def fetch(self, ids: Sequence[bytes], promised: bool = False) -> None:
        """Ask for records; returns when every answer has come (or the link ended)."""
        parts = [ids[at : at + IDS_PER_GET_MAX] for at in range(0, len(ids), IDS_PER_GET_MAX)]
        await asyncio.gather(*(self._get(part, promised) for part in parts))

    async def _get(self, ids: Sequence[bytes], promised: bool) -> None:
        async with self._gets:
            await self._answer_to(lambda: self.link.session.get(ids), len(ids), promised)

    @property
    def answering(self) -> bool:
        """Whether the peer owes no more than can be asked at once: the rest was given up."""
        return len(self._requests) <= GETS_MAX

    async def bring(self, ids: Sequence[bytes]) -> None:
        """Ask for records; returns when they were taken in."""
        await self.fetch(ids)
        await self.settled()

    async def find(self, by: int, name: bytes) -> None:
        """Ask for an account's log, by its id or an account key; returns when it was taken in."""
        async with self._gets:
            await self._answer_to(lambda: self.link.session.find(by, name), 0, promised=False)
        await self.settled()

    async def newest(self, account: bytes, key: bytes, lane: int, from_seq: int) -> bool:
        """Ask for the newest header of a chain from a seq on; True once what the peer has of it
        was taken in.
        """
        chain = (account, key, int(lane), from_seq, (), 1)
        async with self._gets:
            asked = await self._answer_to(lambda: self.link.session.chain(*chain), 1, False)
        await self.settled()
        return asked and self.link.open

    async def _answer_to(self, ask: Callable[[], int], ids: int, promised: bool) -> bool:
        """Ask, and wait for the answer; a peer that owes too many of them is asked no more.

        Readers give up waiting, and what they asked for stays owed. False if it was not asked.
        """
        credit = self.link.session.credit
        if not self.link.open or not credit.requests or credit.wanted < ids:
            return False
        number = ask()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests[number] = _Asked(done, promised)
        self.link.flush()
        await done
        return True

    def _note_lost(self, ids: Sequence[bytes]) -> None:
        """The peer advertised these and could not deliver them."""
        for id_ in ids:
            self._lost[id_] = self._lost.pop(id_, 0) + 1
            if len(self._lost) > LOST_MAX:
                self._lost.popitem(last=False)
        faults, self._lost_count = divmod(self._lost_count + len(ids), LOST_PER_FAULT)
        self.blame(faults, Code.SYNC_MALFORMED)

    def end(self) -> None:
        """The link is over: nobody waits for it any more."""
        for asked in self._requests.values():
            if not asked.done.done():
                asked.done.set_result(None)
        self._requests.clear()

    # --- offers --------------------------------------------------------------------------

    async def take_have(self, event: Have) -> None:
        """Answer an offer: ask for what is new or wanted, say what is true of the rest."""
        _remember(self.seen, event.ids, SEEN_MAX)
        truth = await self.serve.truth(self.link.peer, event.ids)
        known = [Answer(id_, code) for id_, code in truth.items() if code is not Code.WANTED]
        if known:
            self.link.session.ack(known)
            self.link.flush()
        wanted = [id_ for id_ in event.ids if truth.get(id_, Code.WANTED) is Code.WANTED]
        self._offer(self.wants(wanted))

    def _offer(self, ids: Sequence[bytes]) -> None:
        if len(self._offers) + len(ids) > OFFERS_MAX:
            self.link.behind.set()
            return
        self._offers.update(dict.fromkeys(ids))
        if self._offers and not self._fetching_offers:
            self._fetching_offers = True
            self._spawn(self._fetch_offers(), "exchange.offers")

    async def _fetch_offers(self) -> None:
        try:
            while self._offers and self.link.open:
                ids, self._offers = list(self._offers), {}
                await self.fetch(ids, promised=True)
        finally:
            self._fetching_offers = False

    async def take_peers(self, event: Peers) -> None:
        """Node records as hints: the gate judges them like any record, and of nodes that are not
        let in here, whose records are not kept, it is kept where to dial them.
        """
        async with self._room:
            outcomes = await self._submit(event.records)
        self._count_faults(outcomes)
        for encoded, outcome in zip(event.records, outcomes, strict=True):
            if outcome.code in (Code.NOT_HOSTED, Code.UNKNOWN_ACCOUNT):
                account, addresses = _where(encoded)
                if addresses:
                    self.hints[account] = addresses
        while len(self.hints) > HINTS_MAX:
            self.hints.popitem(last=False)

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
            await self.fetch([id_ for _, id_ in rows if id_ not in self._refused])


def _size(item: Item) -> int:
    return record_bytes(item.header, item.payload)


def _remember(table: OrderedDict[bytes, None], keys: Iterable[bytes], size_max: int) -> None:
    """Keep the newest keys of a bounded table.

    Ordered, because a plain dict steps over every place that was ever emptied to find its first.
    """
    table.update(dict.fromkeys(keys))
    while len(table) > size_max:
        table.popitem(last=False)


def _where(encoded: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The node and the addresses in a node record; none if it says none that can be read. Who is
    dialled there has to prove the account, so nobody is believed for it.
    """
    try:
        found = record.decode_record(encoded)
        if found.header.kind != kinds.NODE or found.payload is None:
            return b"", ()
        body = record.decode_payload(found.payload)
        check_body(found.header, body)
    except ProtocolError:
        return b"", ()
    return found.header.account, tuple(body["addresses"])


def _account_of(header: bytes) -> bytes:
    try:
        return record.decode_header(header).account
    except ProtocolError:
        return b""
