"""The gate: batches in, one commit each, answers out (invariants 1, 2 and 7).

Whatever arrived while the last batch was being written is the next batch. Two stages run side by
side: while one batch is in the store's thread, the signatures of the next are being checked.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.fanout import Committed, Fanout
from ratoon_node.ingest.accounts import Accounts
from ratoon_node.ingest.batch import Applied, apply
from ratoon_node.ingest.intake import Batch, GateLimits, Verified, Waiting
from ratoon_node.ingest.judge import Place
from ratoon_node.ingest.pace import Pace
from ratoon_node.ingest.plugins import Plugins
from ratoon_node.ingest.rejudge import Cursor, Rejudge
from ratoon_node.ingest.retention import Retention, horizon_ms
from ratoon_node.ingest.review import Review
from ratoon_node.ingest.scrub import Scrub
from ratoon_node.ingest.submission import (
    Candidate,
    Origin,
    Outcome,
    Parts,
    Question,
    Submission,
    Way,
    accept,
    size_of,
)
from ratoon_node.ingest.verifier import Verifier
from ratoon_node.policy.admission import Admission
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.failing import Outage, is_bug
from ratoon_node.store.write import Tx
from ratoon_node.telemetry import Metrics
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import VANISH_GRACE_MS

# What a client is told to wait when the intake is full: a few batches' time.
BUSY_RETRY_MS = 1000
# Records of a batch that are read anew in one go: 1 to 2 ms of the event loop.
ACCEPTED_AT_ONCE = 250
# Of the intake any one way in may fill so much. What is left is for the others: a flood of people's
# posts keeps no peer out, nor peers people. A way with nothing waiting may fill all of it.
WAY_SHARE = 7 / 8
# Erasures that come within this time share one cut of the log, which the writer pays for.
FOLD_GATHER_MS = 200
# Pause before the log is cut again while a reader still holds it.
FOLD_RETRY_MS = 200
# How often grace periods are looked at.
GRACE_CHECK_MS = 600_000

T = TypeVar("T")

log = structlog.get_logger()


class Gate:
    """The one way in. `policy` and `admission` are replaced whole when they change."""

    def __init__(
        self,
        *,
        db: Db,
        clock: Clock,
        spawn: Spawn,
        verifier: Verifier,
        network: bytes,
        node: bytes,
        policy: Policy,
        accounts: Accounts,
        fanout: Fanout,
        metrics: Metrics,
        limits: GateLimits,
    ) -> None:
        self._db = db
        self._clock = clock
        self._spawn = spawn
        self._verifier = verifier
        self._network = network
        self._node = node
        self.policy = policy
        self.admission = Admission(added=[node])
        self._fanout = fanout
        self._metrics = metrics
        self._limits = limits
        self._accounts = accounts
        self.plugins = Plugins(db, clock, node)
        self._no_read = Outage("store_cannot_read")
        self.scrub = Scrub(db, self._accounts, clock, metrics, self._repaired)
        self.retention = Retention(
            db, self._accounts, clock, node, limits.horizon_days, self._repaired
        )
        self._intake: deque[Batch] = deque()
        self._waiting = Waiting()
        self._pace = Pace()
        self._waiting_of = {way: Waiting() for way in Way}
        self._arrived = asyncio.Event()
        #: Fewer are written with the next ones, if these are ready: a commit has its price.
        self._join_below = limits.batch_records_max // 2
        self._verified: asyncio.Queue[Verified] = asyncio.Queue(maxsize=1)
        #: Accounts to judge in slices, each once: never more than there are in the store.
        self._postponed: dict[bytes, None] = {}
        self._judging = False
        self._work = asyncio.Event()
        self._erasures = 0
        self._erased = asyncio.Event()
        self._quiet = asyncio.Event()

    def start(self) -> None:
        """Begin to work; before this, submissions only wait."""
        self._spawn(self._verifier.start(), "gate.verifier")
        self._spawn(self._verify_batches(), "gate.verify")
        self._spawn(self._write_batches(), "gate.write")
        self._spawn(self._judge_postponed(), "gate.rejudge")
        self._spawn(self._fold_log(), "gate.fold")
        self._spawn(self._watch_graces(), "gate.graces")
        self._spawn(self.scrub.run(), "gate.scrub")
        self._spawn(self.retention.run(), "gate.retention")

    async def close(self) -> None:
        """End what checks signatures and records, after all tasks have ended."""
        await self._verifier.close()
        await self.plugins.close()

    # --- in ------------------------------------------------------------------------------

    async def submit(self, items: Sequence[Submission], origin: Origin) -> list[Outcome]:
        """Take records in; returns when the commit that holds them is on disk.

        One outcome an item, in order; a bad item never fails the others. Raises
        `NodeError(busy)` at once, with a hint when to come back, if the intake is full, and
        `NodeError(shutdown)` if the node is closed before an answer is known.
        """
        if not items:
            return []
        size = sum(map(size_of, items))
        self.check_room(origin.way, len(items), size)
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        came_ms = self._clock.monotonic_ms()
        self._intake.append(Batch(items, size, origin, came_ms, answer))
        self._wait_for(origin.way, len(items), size)
        self._arrived.set()
        return await answer

    def check_room(self, way: Way, records: int, size: int) -> None:
        """Raise `NodeError(busy)` if the intake has no room for so many records and bytes now:
        whoever asks before they take a batch apart has refused it for less.
        """
        most, bytes_most = self._limits.intake_records_max, self._limits.intake_bytes_max
        all_, own = self._waiting, self._waiting_of[way]
        fits = all_.records + records <= most and all_.size + size <= bytes_most
        shared = (
            own.records + records <= WAY_SHARE * most and own.size + size <= WAY_SHARE * bytes_most
        )
        # What waits before it tells how long it would wait, so that a large batch has its turn too.
        soon = own.records < WAY_SHARE * self._pace.room
        if not fits or (own.records and not (shared and soon)):
            raise NodeError(Code.BUSY, detail="intake is full", retry_ms=BUSY_RETRY_MS)

    def _wait_for(self, way: Way, records: int, size: int) -> None:
        """Count what is taken in and not yet answered, or (below zero) what is."""
        self._waiting = self._waiting.more(records, size)
        self._waiting_of[way] = self._waiting_of[way].more(records, size)
        self._metrics.ingest_waiting_records.set(self._waiting.records)
        self._metrics.ingest_waiting_bytes.set(self._waiting.size)

    async def _verify_batches(self) -> None:
        batches: list[Batch] = []
        try:
            while True:
                await self._arrived.wait()
                batches = self._take()
                try:
                    verified = await self._verify(batches)
                except Exception as error:
                    log.exception("verify_failed", records=sum(len(b.items) for b in batches))
                    self._refuse(batches, Code.INTERNAL, repr(error))
                    continue
                await self._verified.put(verified)
                batches = []
        finally:
            self._refuse([*batches, *self._intake], Code.SHUTDOWN, "closing")

    def _take(self) -> list[Batch]:
        """Everything that waits, up to a batch; at least one submission, whatever its size."""
        taken = [self._intake.popleft()]
        size = len(taken[0].items)
        while self._intake and size + len(self._intake[0].items) <= self._limits.batch_records_max:
            batch = self._intake.popleft()
            size += len(batch.items)
            taken.append(batch)
        if not self._intake:
            self._arrived.clear()
        return taken

    async def _verify(self, batches: list[Batch]) -> Verified:
        """Look up what a link said it is, and have the rest done where signatures are checked."""
        flat = [(item, batch.origin) for batch in batches for item in batch.items]
        known = await self._known([item.id for item, _ in flat if isinstance(item, Parts)])
        asked = [
            Question(item, origin.strict, isinstance(item, Parts) and item.id in known)
            for item, origin in flat
        ]
        started = self._clock.monotonic_ms()
        found = await self._verifier.examine(asked, self._network, self._clock.now_ms())
        self._metrics.ingest_check_seconds.observe((self._clock.monotonic_ms() - started) / 1000)
        for where in {one.detail for one in found if one.code is Code.INTERNAL}:
            log.error("examination_failed", where=where)
        items: list[Candidate | Outcome] = []
        for at in range(0, len(flat), ACCEPTED_AT_ONCE):
            some = zip(
                flat[at : at + ACCEPTED_AT_ONCE], found[at : at + ACCEPTED_AT_ONCE], strict=True
            )
            fresh = [accept(item, origin, finding) for (item, origin), finding in some]
            items += await self.plugins.ask(self.policy, fresh)
            await self._clock.sleep_ms(0)  # whoever reads meanwhile
        return Verified(batches, items, known)

    async def _known(self, ids: Sequence[bytes]) -> frozenset[bytes]:
        """Those of `ids` whose header is here; none where the store cannot say."""
        if not any(ids):
            return frozenset()
        try:
            known = frozenset(await self._db.read(lambda db: read.known(db, ids)))
        except sqlite3.Error as error:
            self._no_read.failed(error)
            return frozenset()
        self._no_read.over()
        return known

    async def _write_batches(self) -> None:
        batches: list[Batch] = []
        try:
            while True:
                verified = await self._verified.get()
                batches = verified.batches
                await self._clock.sleep_ms(0)  # what was examined meanwhile is handed over
                while len(verified.items) < self._join_below and not self._verified.empty():
                    verified = verified.joined(self._verified.get_nowait())
                    batches = verified.batches
                try:
                    outcomes = await self._write(verified.items, verified.known)
                except Exception as error:
                    log.exception("commit_failed", records=len(verified.items))
                    self._refuse(batches, Code.INTERNAL, repr(error))
                    continue
                now_ms = self._clock.monotonic_ms()
                self._pace.written(len(outcomes), batches[0].came_ms, now_ms)
                self._answer(batches, outcomes)
                batches = []
        finally:
            left = [] if self._verified.empty() else self._verified.get_nowait().batches
            self._refuse([*batches, *left], Code.SHUTDOWN, "closing")

    def _answer(self, batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> None:
        at = 0
        for batch in batches:
            part = list(outcomes[at : at + len(batch.items)])
            at += len(batch.items)
            self._count(batch.origin, part)
            self._wait_for(batch.origin.way, -len(batch.items), -batch.size)
            if not batch.answer.done():
                batch.answer.set_result(part)

    def _refuse(self, batches: Sequence[Batch], code: Code, detail: str) -> None:
        for batch in batches:
            self._wait_for(batch.origin.way, -len(batch.items), -batch.size)
            if not batch.answer.done():
                batch.answer.set_exception(NodeError(code, detail=detail))

    def _count(self, origin: Origin, outcomes: Sequence[Outcome]) -> None:
        for code, count in Counter([outcome.code for outcome in outcomes]).items():
            self._metrics.ingest_records.labels(code.value, origin.way.value).inc(count)

    async def _write(
        self, items: list[Candidate | Outcome], known: frozenset[bytes]
    ) -> list[Outcome]:
        """One commit. A store that cannot write makes every item `busy`; a crash in one item
        (a bug) costs that item alone: the halves are tried by themselves until it is found.
        """
        started = self._clock.monotonic_ms()
        try:
            applied = await self._commit(items, known)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not is_bug(error):  # the store has said why
                return [_busy(item) for item in items]
            if len(items) == 1:
                log.exception("item_failed")
                return [Outcome(_id(items[0]), Code.INTERNAL)]
            half = len(items) // 2
            return [
                *await self._write(items[:half], known),
                *await self._write(items[half:], known),
            ]
        self._metrics.ingest_batch_records.observe(len(items))
        self._metrics.ingest_commit_seconds.observe((self._clock.monotonic_ms() - started) / 1000)
        return applied.outcomes

    async def _commit(self, items: list[Candidate | Outcome], known: frozenset[bytes]) -> Applied:
        now_ms, policy = self._clock.now_ms(), self.policy
        horizon = horizon_ms(self._limits.horizon_days, now_ms)
        place = Place(self._network, self._node, now_ms, self.admission, policy.budgets, horizon)
        applied = await self._db.write(
            lambda db: apply(db, items, known, self._accounts, policy, place), self._accounts.clear
        )
        self.published(applied.committed, applied.erased)
        self._postpone(applied.postponed)
        return applied

    def published(self, committed: Committed, erased: bool) -> None:
        """Tell subscribers of a commit, and have the log cut if bytes were erased."""
        if committed.changes:
            self._fanout.publish(committed)
        if erased:
            self._fold_soon()

    async def review(self) -> None:
        """Undo what rules and entries did that stand no longer; call it after `policy` changed.

        In slices; what it did stays done if it is cut short, and a second call does the rest.
        """
        after: int | None = 0
        while after is not None:
            after = await self._review_slice(after)

    async def _review_slice(self, after: int) -> int | None:
        now_ms, policy = self._clock.now_ms(), self.policy

        def run(db: sqlite3.Connection) -> tuple[int | None, Tx]:
            tx = Tx(db)
            last = Review(tx, self._accounts, policy, self._node, now_ms).slice(after)
            self._accounts.finish(tx)
            return last, tx

        last, tx = await self._db.write(run, self._accounts.clear)
        self._repaired(tx, set())
        return last

    def _repaired(self, tx: Tx, accounts: set[bytes]) -> None:
        self.published(Committed(tuple(tx.changes), {}), tx.erased)
        self._postpone(accounts)

    def _fold_soon(self) -> None:
        self._erasures += 1
        self._erased.set()
        self._quiet.clear()

    def _postpone(self, accounts: Iterable[bytes]) -> None:
        for account in accounts:
            self._postponed[account] = None
            self._work.set()
            self._quiet.clear()

    def _rest(self) -> None:
        """Say so if nothing is left to do behind."""
        if not (self._postponed or self._judging or self._erased.is_set()):
            self._quiet.set()

    async def settled(self) -> None:
        """Return once every stored status follows its account's keys, and what was erased is out
        of the log too.
        """
        await self._quiet.wait()

    # --- what goes on behind -------------------------------------------------------------

    async def _judge_postponed(self) -> None:
        """Slices of accounts whose keys changed; after a restart those that were not done."""
        self._postpone(await self._retried(lambda: self._db.read(read.unjudged)))
        self._fold_soon()  # the last end may have come between an erasure and its fold
        while True:
            await self._work.wait()
            self._judging = True
            while self._postponed:
                account = next(iter(self._postponed))
                del self._postponed[account]
                await self._judge(account)
            self._judging = False
            self._work.clear()
            self._rest()

    async def _judge(self, account: bytes) -> None:
        """All slices of one account. A crash in one (a bug) costs that account alone: it stays
        marked in the store, and the next start tries again.
        """
        cursor: Cursor | None = Cursor()
        try:
            while cursor is not None:
                cursor = await self._retried(partial(self._judge_slice, account, cursor))
        except Exception:
            log.exception("judging_failed")

    async def _judge_slice(self, account: bytes, cursor: Cursor) -> Cursor | None:
        now_ms = self._clock.now_ms()

        def run(db: sqlite3.Connection) -> tuple[Cursor | None, Tx]:
            tx = Tx(db)
            view = self._accounts.find(tx, account)
            assert view is not None, "a marked account has a row"
            after = Rejudge(tx, self._accounts, now_ms).slice(view, cursor)
            self._accounts.finish(tx)
            return after, tx

        after, tx = await self._db.write(run, self._accounts.clear)
        self.published(Committed(tuple(tx.changes), {}), tx.erased)
        return after

    async def _retried(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of `work`, however long the store cannot do it."""
        outage = Outage("store_fails")
        while True:
            try:
                result = await work()
            except sqlite3.Error as error:
                outage.failed(error)
                await self._clock.sleep_ms(BUSY_RETRY_MS)
            else:
                outage.over()
                return result

    async def _fold_log(self) -> None:
        """Cut the write-ahead log after an erasure, so that no page of it keeps the text."""
        while True:
            await self._erased.wait()
            await self._clock.sleep_ms(FOLD_GATHER_MS)
            erasures = self._erasures
            if not await self._retried(self._db.checkpoint):
                await self._clock.sleep_ms(FOLD_RETRY_MS)
            elif erasures == self._erasures:
                self._erased.clear()
                self._rest()

    async def _watch_graces(self) -> None:
        """A vanish by a lower key takes bytes and headers once its grace is over (R-84)."""
        while True:
            due = partial(read.leaving, before_ms=self._clock.now_ms() - VANISH_GRACE_MS)
            self._postpone(await self._retried(partial(self._db.read, due)))
            await self._clock.sleep_ms(GRACE_CHECK_MS)


def _id(item: Candidate | Outcome) -> bytes | None:
    return item.record.id if isinstance(item, Candidate) else item.id


def _busy(item: Candidate | Outcome) -> Outcome:
    """What was refused for its own sake stays refused; the rest may come again."""
    return item if isinstance(item, Outcome) else Outcome(item.record.id, Code.BUSY)
