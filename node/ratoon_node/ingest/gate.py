"""The gate: batches in, one commit each, answers out (invariants 1, 2 and 7).

Whatever arrived while the last batch was being written is the next batch. Two stages run side by
side: while one batch is in the store's thread, the signatures of the next are being checked.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.fanout import Committed, Fanout
from ratoon_node.ingest.accounts import Accounts
from ratoon_node.ingest.batch import Applied, apply
from ratoon_node.ingest.judge import Place
from ratoon_node.ingest.rejudge import Cursor, Rejudge
from ratoon_node.ingest.submission import (
    Candidate,
    Origin,
    Outcome,
    Submission,
    check_signatures,
    read_all,
)
from ratoon_node.policy.admission import Admission
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import Clock, Executor, Spawn
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.write import Tx
from ratoon_node.telemetry import Metrics
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import VANISH_GRACE_MS

# What a client is told to wait when the intake is full: a few batches' time.
BUSY_RETRY_MS = 1000
# Pause before the log is cut again while a reader still holds it.
FOLD_RETRY_MS = 200
# How often grace periods are looked at.
GRACE_CHECK_MS = 600_000

log = structlog.get_logger()


class GateLimits(NamedTuple):
    """Bounds of the intake, in records; and how many parts a batch's signatures are cut into."""

    intake_records_max: int
    batch_records_max: int
    signature_parts: int


class _Batch(NamedTuple):
    items: Sequence[Submission]
    origin: Origin
    answer: asyncio.Future[list[Outcome]]


class _Verified(NamedTuple):
    """Batches whose items are candidates or refused, flat and in order."""

    batches: list[_Batch]
    items: list[Candidate | Outcome]


class Gate:
    """The one way in. `policy` and `admission` are replaced whole when they change."""

    def __init__(
        self,
        *,
        db: Db,
        clock: Clock,
        spawn: Spawn,
        signatures: Executor,
        network: bytes,
        node: bytes,
        policy: Policy,
        fanout: Fanout,
        metrics: Metrics,
        limits: GateLimits,
    ) -> None:
        self._db = db
        self._clock = clock
        self._spawn = spawn
        self._signatures = signatures
        self._network = network
        self._node = node
        self.policy = policy
        self.admission = Admission(added=[node])
        self._fanout = fanout
        self._metrics = metrics
        self._limits = limits
        self._accounts = Accounts(network)
        self._intake: deque[_Batch] = deque()
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._verified: asyncio.Queue[_Verified] = asyncio.Queue(maxsize=1)
        self._postponed: asyncio.Queue[bytes] = asyncio.Queue()
        self._erased = asyncio.Event()

    def start(self) -> None:
        """Begin to work; before this, submissions only wait."""
        self._spawn(self._verify_batches(), "gate.verify")
        self._spawn(self._write_batches(), "gate.write")
        self._spawn(self._judge_postponed(), "gate.rejudge")
        self._spawn(self._fold_log(), "gate.fold")
        self._spawn(self._watch_graces(), "gate.graces")

    # --- in ------------------------------------------------------------------------------

    async def submit(self, items: Sequence[Submission], origin: Origin) -> list[Outcome]:
        """Take records in; returns when the commit that holds them is on disk.

        One outcome an item, in order; a bad item never fails the others. Raises
        `NodeError(busy)` at once, with a hint when to come back, if the intake is full.
        """
        if not items:
            return []
        if self._waiting + len(items) > self._limits.intake_records_max:
            raise NodeError(Code.BUSY, detail="intake is full", retry_ms=BUSY_RETRY_MS)
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._intake.append(_Batch(items, origin, answer))
        self._waiting += len(items)
        self._metrics.ingest_waiting_records.set(self._waiting)
        self._arrived.set()
        return await answer

    async def _verify_batches(self) -> None:
        while True:
            await self._arrived.wait()
            batches = self._take()
            try:
                items = await self._verify(batches)
            except Exception as error:
                log.exception("verify_failed", records=sum(len(b.items) for b in batches))
                _refuse(batches, error)
                continue
            await self._verified.put(_Verified(batches, items))

    def _take(self) -> list[_Batch]:
        """Everything that waits, up to a batch; at least one submission, whatever its size."""
        taken = [self._intake.popleft()]
        size = len(taken[0].items)
        while self._intake and size + len(self._intake[0].items) <= self._limits.batch_records_max:
            batch = self._intake.popleft()
            size += len(batch.items)
            taken.append(batch)
        self._waiting -= size
        self._metrics.ingest_waiting_records.set(self._waiting)
        if not self._intake:
            self._arrived.clear()
        return taken

    async def _verify(self, batches: list[_Batch]) -> list[Candidate | Outcome]:
        """Decode, look the ids up, and check the signatures of what is new."""
        flat = [(item, batch.origin) for batch in batches for item in batch.items]
        now_ms = self._clock.now_ms()
        items = await self._signatures.run(read_all, flat, self._network, now_ms)
        ids = [item.record.id for item in items if isinstance(item, Candidate)]
        known = await self._db.read(lambda db: read.known(db, ids))
        fresh = [
            place
            for place, item in enumerate(items)
            if isinstance(item, Candidate) and item.record.id not in known
        ]
        for place, code in zip(fresh, await self._check(items, fresh), strict=True):
            if code is not None:
                item = items[place]
                assert isinstance(item, Candidate), "only candidates are checked"
                items[place] = Outcome(item.record.id, code, peer_fault=True)
        return items

    async def _check(
        self, items: Sequence[Candidate | Outcome], places: Sequence[int]
    ) -> list[Code | None]:
        candidates = [
            item for item in map(items.__getitem__, places) if isinstance(item, Candidate)
        ]
        parts = min(self._limits.signature_parts, 1 + len(candidates) // 16)
        size = -(-len(candidates) // parts) or 1
        cut = [candidates[at : at + size] for at in range(0, len(candidates), size)]
        checked = await asyncio.gather(
            *(self._signatures.run(check_signatures, part) for part in cut)
        )
        return [code for part in checked for code in part]

    async def _write_batches(self) -> None:
        while True:
            verified = await self._verified.get()
            try:
                outcomes = await self._write(verified.items)
            except Exception as error:
                log.exception("commit_failed", records=len(verified.items))
                _refuse(verified.batches, error)
                continue
            at = 0
            for batch in verified.batches:
                part = outcomes[at : at + len(batch.items)]
                at += len(batch.items)
                self._count(batch.origin, part)
                if not batch.answer.done():
                    batch.answer.set_result(part)

    def _count(self, origin: Origin, outcomes: Sequence[Outcome]) -> None:
        for code, count in Counter(outcome.code for outcome in outcomes).items():
            self._metrics.ingest_records.labels(code.value, origin.way.value).inc(count)

    async def _write(self, items: list[Candidate | Outcome]) -> list[Outcome]:
        """One commit. A store that cannot write makes every item `busy`; a crash in one item
        (a bug) costs that item alone: the others are tried again by themselves.
        """
        started = self._clock.monotonic_ms()
        try:
            applied = await self._commit(items)
        except sqlite3.Error as error:
            log.error("store_cannot_write", error=str(error), records=len(items))
            return [_busy(item) for item in items]
        except Exception:
            if len(items) == 1:
                log.exception("item_failed")
                return [Outcome(_id(items[0]), Code.INTERNAL)]
            return [(await self._write([item]))[0] for item in items]
        self._metrics.ingest_batch_records.observe(len(items))
        self._metrics.ingest_commit_seconds.observe((self._clock.monotonic_ms() - started) / 1000)
        return applied.outcomes

    async def _commit(self, items: list[Candidate | Outcome]) -> Applied:
        place = Place(
            self._network, self._node, self._clock.now_ms(), self.admission, self.policy.budgets
        )
        policy = self.policy
        try:
            applied = await self._db.write(
                lambda db: apply(db, items, self._accounts, policy, place)
            )
        except BaseException:
            self._accounts.clear()
            raise
        self.published(applied.committed, applied.erased)
        for account in applied.postponed:
            self._postponed.put_nowait(account)
        return applied

    def published(self, committed: Committed, erased: bool) -> None:
        """Tell subscribers of a commit, and have the log cut if bytes were erased."""
        if committed.changes:
            self._fanout.publish(committed)
        if erased:
            self._erased.set()

    def forget_views(self) -> None:
        """Views of accounts are made anew: something outside a batch changed them."""
        self._accounts.clear()

    # --- what goes on behind -------------------------------------------------------------

    async def _judge_postponed(self) -> None:
        """Slices of accounts whose keys changed; after a restart those that were not done."""
        for account in await self._db.read(read.unjudged):
            self._postponed.put_nowait(account)
        while True:
            account = await self._postponed.get()
            cursor: Cursor | None = Cursor()
            while cursor is not None:
                cursor = await self._judge_slice(account, cursor)

    async def _judge_slice(self, account: bytes, cursor: Cursor) -> Cursor | None:
        now_ms = self._clock.now_ms()

        def run(db: sqlite3.Connection) -> tuple[Cursor | None, Tx]:
            tx = Tx(db)
            view = self._accounts.find(db, account)
            assert view is not None, "a marked account has a row"
            return Rejudge(tx, self._accounts, now_ms).slice(view, cursor), tx

        try:
            after, tx = await self._db.write(run)
        except sqlite3.Error as error:
            log.error("store_cannot_write", error=str(error))
            self._accounts.clear()
            await self._clock.sleep_ms(BUSY_RETRY_MS)
            return cursor
        self.published(Committed(tuple(tx.changes), {}), tx.erased)
        return after

    async def _fold_log(self) -> None:
        """Cut the write-ahead log after an erasure, so that no page of it keeps the text."""
        while True:
            await self._erased.wait()
            self._erased.clear()
            while not await self._db.checkpoint():
                await self._clock.sleep_ms(FOLD_RETRY_MS)

    async def _watch_graces(self) -> None:
        """A vanish by a lower key takes bytes and headers once its grace is over (R-84)."""
        while True:
            due_ms = self._clock.now_ms() - VANISH_GRACE_MS
            for account in await self._db.read(partial(read.leaving, before_ms=due_ms)):
                self._postponed.put_nowait(account)
            await self._clock.sleep_ms(GRACE_CHECK_MS)


def _refuse(batches: Sequence[_Batch], error: Exception) -> None:
    for batch in batches:
        if not batch.answer.done():
            batch.answer.set_exception(NodeError(Code.INTERNAL, detail=repr(error)))


def _id(item: Candidate | Outcome) -> bytes | None:
    return item.record.id if isinstance(item, Candidate) else item.id


def _busy(item: Candidate | Outcome) -> Outcome:
    """What was refused for its own sake stays refused; the rest may come again."""
    return item if isinstance(item, Outcome) else Outcome(item.record.id, Code.BUSY)
