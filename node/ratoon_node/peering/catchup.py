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

from ratoon_node.peering.exchange import Exchange
from ratoon_node.peering.sets import PUBLIC_SCOPES, Sets
from ratoon_node.store import read
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


class Compared(NamedTuple):
    """What one session found."""

    fetched: int
    pushed: int
    rounds: int


class CatchUp:
    """The sessions that this side starts on one link."""

    def __init__(
        self, exchange: Exchange, sets: Sets, db: Db, own: bytes, nodes: Sequence[bytes]
    ) -> None:
        self._exchange = exchange
        self._sets = sets
        self._db = db
        self._own = own
        #: What the peer admits, as it said last.
        self.nodes: tuple[bytes, ...] = tuple(nodes)
        self.since_ms = 0
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

    async def run(self) -> int:
        """Compare everything once; returns how many records moved."""
        moved = 0
        for scope in PUBLIC_SCOPES:
            moved += await self._scope(scope)
        moved += await self._private()
        return moved

    async def _scope(self, scope: Scope) -> int:
        window = await self._sets.window(scope, self.nodes, self.since_ms)
        found = await self._compare(scope, None, window)
        for _ in range(PASSES_MAX):
            if not await self._exchange.retry():
                break
        return found.fetched + found.pushed

    async def _private(self) -> int:
        """The private sets of accounts whose homes both nodes are."""
        moved, after = 0, b""
        while self._exchange.link.open:
            mine = await self._db.read(
                partial(read.hosted, node=self._own, after=after, limit=PRIVATE_ACCOUNTS_MAX)
            )
            if not mine:
                break
            after = mine[-1]
            peer = self._exchange.link.peer
            for account in await self._db.read(
                partial(read.hosted_among, node=peer, accounts=mine)
            ):
                window = await self._sets.private(account)
                found = await self._compare(Scope.PRIVATE, account, window)
                moved += found.fetched + found.pushed
        return moved

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
        fetched = pushed = rounds = 0
        fetching: asyncio.Task[None] | None = None
        try:
            while (frame := await responses.get()) is not None:
                rounds += 1
                step = reconciler.proceed(frame.message)
                # The answer goes first: while the peer works on the next round, records move.
                if step.reply is None:
                    session.end_reconciliation(number)
                else:
                    session.proceed(frame._replace(message=step.reply))
                self._exchange.link.flush()
                fetched, pushed = fetched + len(step.need), pushed + len(step.have)
                await self._push(step.have)
                if fetching is not None:
                    await fetching
                fetching = self._exchange.start_fetch(step.need)
                if step.reply is None:
                    break
        except SyncError as error:
            session.end_reconciliation(number, error.code)
            self._exchange.link.close(Code.SYNC_MALFORMED)
        finally:
            del self._responses[number]
            self._exchange.link.flush()
        if fetching is not None:
            await fetching
        await self._exchange.settled()
        return Compared(fetched, pushed, rounds)

    async def _push(self, ids: Sequence[bytes]) -> None:
        link = self._exchange.link
        for at in range(0, len(ids), PUSH_IDS_MAX):
            part = ids[at : at + PUSH_IDS_MAX]
            items = await self._exchange.serve.pack_ids(link.peer, part)
            await link.push(items)
