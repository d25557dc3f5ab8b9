"""Answering a peer: its requests, its side of comparisons, its challenges (R-77 to R-79)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from ratoon_node.peering.conduct import FAULTS_MAX, Pace
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.serve import Serve
from ratoon_node.peering.sets import Sets
from ratoon_node.runtime import Clock
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_protocol.errors import Code, SyncError
from ratoon_protocol.frames import (
    SCOPE_ACCOUNT,
    Chain,
    Challenge,
    Find,
    Get,
    Outcome,
    Packed,
    Reconcile,
)
from ratoon_protocol.kinds import Scope
from ratoon_protocol.limits import EPOCH_MS, OPERATION_DEPTH_MAX, RECONCILE_FRAME_BYTES_MAX
from ratoon_protocol.reconcile import Reconciler, Window

# Ids of one request answered at once, so that a large answer is never all in memory.
ANSWER_IDS_MAX = 256
# What looking up one id counts for, found or not.
ASKED_BYTES = 256
# Operations of one answer to `find` sent at once: each has up to 16 KiB.
ANSWER_OPERATIONS_MAX = 64


class Replies:
    """What this node owes a peer, from its store and its sets."""

    def __init__(
        self,
        own: bytes,
        db: Db,
        sets: Sets,
        serve: Serve,
        clock: Clock,
        pace: Pace,
        is_added: Callable[[bytes], bool],
    ) -> None:
        self._pace = pace
        self._is_added = is_added
        self._own = own
        self._db = db
        self._sets = sets
        self._serve = serve
        self._clock = clock

    async def keep_answering(self, neighbour: Neighbour) -> None:
        """Answer requests one after the other, a part at a time."""
        link = neighbour.link
        while not link.over:
            request = await neighbour.requests.get()
            match request:
                case Get():
                    await self._get(neighbour, request)
                case Chain():
                    items, absent = await self._serve.chain(request)
                    await link.writable()
                    link.session.reply(request.request, items, absent)
                    await self._pay(link.peer, items, len(items) + len(absent))
                case Find():
                    await self._find(neighbour, request)
            link.flush()

    async def _get(self, neighbour: Neighbour, request: Get) -> None:
        link = neighbour.link
        for at in range(0, len(request.ids), ANSWER_IDS_MAX):
            part = request._replace(ids=request.ids[at : at + ANSWER_IDS_MAX])
            items, absent = await self._serve.get(link.peer, part)
            await link.writable()
            last = at + ANSWER_IDS_MAX >= len(request.ids)
            link.session.reply(request.request, items, absent, last)
            link.flush()
            await self._pay(link.peer, items, len(part.ids))

    async def _pay(self, peer: bytes, items: Iterable[Packed], asked: int) -> None:
        """Have a node that nobody added wait for its share of what strangers are given: asking
        costs it 32 bytes, whatever it asks for and however often.
        """
        if not self._is_added(peer):
            await self._pace.pay(asked * ASKED_BYTES + sum(item.size for item in items))

    async def _find(self, neighbour: Neighbour, request: Find) -> None:
        link = neighbour.link
        ids = (await self._serve.find(request))[:OPERATION_DEPTH_MAX]
        for at in range(0, len(ids), ANSWER_OPERATIONS_MAX):
            items = await self._serve.pack_ids(link.peer, ids[at : at + ANSWER_OPERATIONS_MAX])
            await link.writable()
            if items:
                link.session.reply(request.request, items, last=False)
                link.flush()
                await self._pay(link.peer, items, len(items))
        link.session.reply(request.request, ())

    async def challenge(self, neighbour: Neighbour, event: Challenge) -> None:
        """Prove a payload, or first say what is true of it now."""
        link = neighbour.link
        proof = await self._serve.prove(link.peer, event.nonce, event.id)
        if proof is None:
            truth = await self._serve.truth(link.peer, [event.id])
            link.session.ack([Outcome(event.id, truth.get(event.id, Code.NOT_FOUND))])
        link.session.answer(event.nonce, event.id, proof)
        link.flush()

    async def reconcile(self, neighbour: Neighbour, frame: Reconcile) -> None:
        """A message of a session: ours goes on, the peer's is answered within its CPU budget."""
        link = neighbour.link
        if link.session.started(frame.number):
            neighbour.catchup.take(frame)
            return
        started_ms = self._clock.monotonic_ms()
        window = await self._window(neighbour, frame)
        if window is None:
            link.session.end_reconciliation(frame.number, Code.NOT_HOME)
            link.flush()
            return
        budget = neighbour.catchup.budget
        await budget.pay(started_ms)
        try:
            turn = Reconciler(window, RECONCILE_FRAME_BYTES_MAX).begin(frame.message)
            await budget.work(turn)
        except SyncError as error:
            neighbour.exchange.blame(FAULTS_MAX, error.code)
            return
        link.session.proceed(frame._replace(message=bytes(turn.out)))
        link.flush()

    async def _window(self, neighbour: Neighbour, frame: Reconcile) -> Window | None:
        """What the session is about; None for private records of somebody else's people."""
        nodes, account = neighbour.catchup.nodes, frame.account or b""
        if frame.scope == Scope.PRIVATE:
            present = await self._db.read(partial(read.homes, account_=account))
            if not {neighbour.link.peer, self._own} <= set(present):
                return None
            return await self._sets.private(account)
        if frame.scope == SCOPE_ACCOUNT:
            return await self._sets.account(account, nodes)
        since_ms = EPOCH_MS + frame.since_s * 1000 if frame.since_s else 0
        return await self._sets.window(Scope(frame.scope), nodes, since_ms)
