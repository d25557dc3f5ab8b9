"""Making two nodes equal: reconciliation of each scope in turn, then bytes that are wanted (R-60).

Whoever starts a session learns both halves: it asks for what it lacks and pushes what the peer
lacks. The log goes first and is repeated until it brings nothing that helps, because what an
account says is judged by its log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ratoon_node.peering.conduct import FAULTS_MAX, Budget
from ratoon_node.peering.exchange import Exchange
from ratoon_node.peering.sets import PUBLIC_SCOPES, Sets
from ratoon_node.runtime import Clock
from ratoon_node.store import linked, read
from ratoon_node.store.db import Db
from ratoon_protocol.errors import Code, SyncError
from ratoon_protocol.frames import Reconcile
from ratoon_protocol.kinds import Scope
from ratoon_protocol.limits import EPOCH_MS, RECONCILE_FRAME_BYTES_MAX
from ratoon_protocol.reconcile import Reconciler, Window

# Looks at what came too early in one scope: each takes in what depends on the one before.
PASSES_MAX = 4
# Records pushed at once to a peer that lacks them.
PUSH_IDS_MAX = 512
# Accounts whose private sets are compared in one go.
PRIVATE_ACCOUNTS_MAX = 1000
# Rounds in a row that find nothing: a million records differ in one place after six.
IDLE_ROUNDS_MAX = 64


class Compared(NamedTuple):
    """What comparing found: records asked for, records pushed, and how many were new here."""

    fetched: int
    pushed: int
    useful: int

    @property
    def fruitless(self) -> bool:
        """The peer has what this node refuses: the next time it will find the same."""
        return bool(self.fetched) and not self.useful and not self.pushed


class CatchUp:
    """The sessions that this side starts on one link."""

    def __init__(
        self,
        exchange: Exchange,
        sets: Sets,
        db: Db,
        clock: Clock,
        own: bytes,
        nodes: Sequence[bytes],
    ) -> None:
        self._exchange = exchange
        self._sets = sets
        self._db = db
        self._clock = clock
        self._own = own
        #: What the peer admits, as it said last.
        self.nodes: frozenset[bytes] = frozenset(nodes)
        self.since_ms = 0
        #: Whole comparisons that this side has finished on this link.
        self.runs = 0
        #: What comparisons may cost, in whichever role.
        self.budget = Budget(clock)
        self._responses: dict[int, asyncio.Queue[Reconcile | None]] = {}

    def take(self, frame: Reconcile) -> None:
        """A response of the peer in a session of this side."""
        queue = self._responses.get(frame.number)
        if queue is not None:
            queue.put_nowait(frame)

    def take_end(self, number: int) -> None:
        """The peer ended a session, or the link did."""
        queue = self._responses.get(number)
        if queue is not None:
            queue.put_nowait(None)

    def end(self) -> None:
        """The link is over."""
        for queue in self._responses.values():
            queue.put_nowait(None)

    async def run(self) -> Compared:
        """Compare everything once; what that found, and what of it was of use here."""
        exchange, before = self._exchange, self._exchange.useful
        fetched = pushed = 0
        exchange.comparing = True
        try:
            for scope in PUBLIC_SCOPES:
                found = await self._scope(scope)
                fetched, pushed = fetched + found.fetched, pushed + found.pushed
            private = await self.run_private()
        finally:
            exchange.comparing = False
        self.runs += 1
        exchange.recover_soon()
        fetched, pushed = fetched + private.fetched, pushed + private.pushed
        return Compared(fetched, pushed, exchange.useful - before)

    async def _scope(self, scope: Scope) -> Compared:
        since_ms = self.since_ms if scope is Scope.WINDOW else 0
        started_ms = self._clock.monotonic_ms()
        window = await self._sets.window(scope, self.nodes, since_ms)
        await self.budget.pay(started_ms)  # a peer that admits others every moment has it made anew
        found = await self._compare(scope, None, window)
        for _ in range(PASSES_MAX):
            if not await self._exchange.retry():
                break
        return found

    async def run_private(self) -> Compared:
        """Compare what this node holds of accounts whose present homes both nodes are.

        Each side does so for what it holds, so nothing is compared where nobody has anything.
        """
        fetched = pushed = after = 0
        both = {self._own, self._exchange.link.peer}
        while self._exchange.link.open:
            page = await self._db.read(
                partial(linked.private_accounts, after=after, limit=PRIVATE_ACCOUNTS_MAX)
            )
            if not page:
                break
            after = page[-1][0]
            for _, account in page:
                present = await self._db.read(partial(read.homes, account_=account))
                if both <= set(present):
                    window = await self._sets.private(account)
                    found = await self._compare(Scope.PRIVATE, account, window)
                    fetched, pushed = fetched + found.fetched, pushed + found.pushed
        return Compared(fetched, pushed, 0)

    async def _compare(self, scope: Scope, account: bytes | None, window: Window) -> Compared:
        """One session; what it finds is fetched and pushed while it goes on, one round behind.

        Returns when all that was fetched has been judged here.
        """
        session = self._exchange.link.session
        reconciler = Reconciler(window, RECONCILE_FRAME_BYTES_MAX)
        if not self._exchange.link.open or not session.credit.reconciliations:
            return Compared(0, 0, 0)
        since_s = max(0, (self.since_ms - EPOCH_MS) // 1000) if scope is Scope.WINDOW else 0
        number = session.reconcile(int(scope), account, since_s, reconciler.initiate())
        responses: asyncio.Queue[Reconcile | None] = asyncio.Queue(maxsize=4)
        self._responses[number] = responses
        self._exchange.link.flush()
        fetched = pushed = idle = 0
        fetching: asyncio.Task[None] | None = None
        try:
            while (frame := await responses.get()) is not None:
                turn = reconciler.begin(frame.message)
                await self.budget.work(turn)
                step = turn.step()
                need = self._exchange.wants(step.need)
                idle = 0 if step.need or step.have else idle + 1
                if idle > IDLE_ROUNDS_MAX:
                    raise SyncError(Code.SYNC_MALFORMED, "rounds without end")
                # The answer goes first: while the peer works on the next round, records move.
                if step.reply is None:
                    session.end_reconciliation(number)
                else:
                    session.proceed(frame._replace(message=step.reply))
                self._exchange.link.flush()
                fetched, pushed = fetched + len(need), pushed + len(step.have)
                await self._push(step.have)
                if fetching is not None:
                    await fetching
                fetching = self._exchange.start_fetch(need, promised=True)
                if step.reply is None:
                    break
        except SyncError as error:
            session.end_reconciliation(number, error.code)
            self._exchange.blame(FAULTS_MAX, error.code)
        finally:
            del self._responses[number]
            self._exchange.link.flush()
        if fetching is not None:
            await fetching
        await self._exchange.settled()
        return Compared(fetched, pushed, 0)

    async def _push(self, ids: Sequence[bytes]) -> None:
        link = self._exchange.link
        for at in range(0, len(ids), PUSH_IDS_MAX):
            part = ids[at : at + PUSH_IDS_MAX]
            items = await self._exchange.serve.pack_ids(link.peer, part)
            await link.push(items)
