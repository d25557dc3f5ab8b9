"""All links of a node: who is dialled, what a new link begins with, and who gets what is new.

New records are pushed whole to a few links at different providers and only offered to the rest;
what that misses, comparing the sets brings (R-60, R-77).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.fanout import Committed, Fanout, Subscription
from ratoon_node.ingest.accounts import load_log
from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.ledger import Ledger
from ratoon_node.ingest.retention import horizon_ms
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.operate.own import OwnAccount
from ratoon_node.peering.catchup import CatchUp
from ratoon_node.peering.exchange import Exchange
from ratoon_node.peering.gossip import Gossip
from ratoon_node.peering.link import Link
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.receipts import Receipts
from ratoon_node.peering.roster import Roster
from ratoon_node.peering.serve import Serve
from ratoon_node.peering.sets import Sets
from ratoon_node.peering.wire import Transport, Wire
from ratoon_node.runtime import Clock, Spawn, timeout_ms
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.rows import What
from ratoon_node.telemetry import Metrics
from ratoon_protocol.errors import Code, SyncError
from ratoon_protocol.events import Answered, Closed, Event, Pushed, Ready
from ratoon_protocol.frames import (
    Ack,
    Admitted,
    Chain,
    Challenge,
    Find,
    Get,
    Have,
    Peers,
    Reconcile,
    Reconciled,
)
from ratoon_protocol.introduction import Introduced, Own, Side
from ratoon_protocol.kinds import Capability, Scope
from ratoon_protocol.limits import (
    EPOCH_MS,
    RECONCILE_FRAME_BYTES_MAX,
)
from ratoon_protocol.reconcile import Index, Reconciler, Window
from ratoon_protocol.session import PeerSession

# How often equal sets are made sure of, while a link stays up.
COMPARE_MS = 60_000
# Node records told to a new peer.
PEERS_TOLD_MAX = 64
# Time for a node that the operator adds to open a link.
MEET_MS_MAX = 15_000
# How often bytes that are due are asked of every peer.
WANTED_ROUND_MS = 5000
# Records asked for in one such round.
WANTED_ROUND_RECORDS_MAX = 4096
# Ids of one request answered at once, so that a large answer is never all in memory.
ANSWER_IDS_MAX = 256
# Time to look for one account at every peer.
FIND_MS_MAX = 5000

log = structlog.get_logger()


@dataclass(frozen=True)
class HubLimits:
    """Bounds from the settings."""

    links_max: int
    push_links: int
    queue_bytes_max: int
    horizon_days: int


class Hub:
    """The links of one node."""

    def __init__(
        self,
        *,
        own: OwnAccount,
        db: Db,
        gate: Gate,
        ledger: Ledger,
        roster: Roster,
        sets: Sets,
        receipts: Receipts,
        fanout: Fanout,
        transport: Transport,
        clock: Clock,
        spawn: Spawn,
        rng: random.Random,
        metrics: Metrics,
        limits: HubLimits,
    ) -> None:
        self.neighbours: dict[bytes, Neighbour] = {}
        self._own = own
        self._db = db
        self._gate = gate
        self._ledger = ledger
        self._roster = roster
        self._sets = sets
        self._receipts = receipts
        receipts.ask = self.offer
        self._fanout = fanout
        self._transport = transport
        self._clock = clock
        self._spawn = spawn
        self._rng = rng
        self._metrics = metrics
        self._limits = limits
        self._links = 0
        self._open: dict[Link, Neighbour] = {}  # also those that another link has replaced
        self._met: dict[Link, asyncio.Future[bytes]] = {}
        self._gossip = Gossip(self.neighbours, db, roster, limits.push_links)
        self.serve = Serve(own.account, own.network, db, lambda: gate.policy, clock)

    def start(self) -> None:
        """Tell what is new, and keep asking for wanted bytes."""
        self._spawn(self._follow(self._fanout.subscribe()), "hub.gossip")
        self._spawn(self._ask_wanted(), "hub.wanted")

    # --- links ---------------------------------------------------------------------------

    async def accept(self, wire: Wire) -> None:
        """Take a link that another node dialled; returns when it has ended."""
        await self._run(Side.ACCEPTOR, wire, None, None)

    async def dial(self, address: str, expected: bytes | None = None) -> Closed | None:
        """Dial a node and stay until the link ends. Raises `NodeError` if nobody is there."""
        wire = await self._transport.dial(address)
        return await self._run(Side.DIALER, wire, address, expected)

    async def meet(self, address: str) -> bytes:
        """Dial an address; the account of the node there once a link to it is open.

        Raises `NodeError` with why there is none.
        """
        met: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._spawn(self._meet(address, met), "hub.meet")
        try:
            async with timeout_ms(MEET_MS_MAX):
                return await met
        except TimeoutError:
            raise NodeError(Code.TIMEOUT, detail="no link in time") from None

    async def _meet(self, address: str, met: asyncio.Future[bytes]) -> None:
        try:
            wire = await self._transport.dial(address)
            closed = await self._run(Side.DIALER, wire, address, None, met)
        except NodeError as error:
            if not met.done():
                met.set_exception(error)
            return
        if not met.done():
            code = closed.code if closed else Code.TIMEOUT
            met.set_exception(NodeError(code, detail="no link"))

    async def _run(
        self,
        side: Side,
        wire: Wire,
        address: str | None,
        expected: bytes | None,
        met: asyncio.Future[bytes] | None = None,
    ) -> Closed | None:
        if self._links >= self._limits.links_max:
            await wire.close()
            raise NodeError(Code.BUSY, detail="links")
        session = PeerSession(
            side,
            self._own.network,
            await self._introduction(),
            self._own.link_key,
            self._rng.randbytes(32),
            self._clock.monotonic_ms(),
            expected,
        )
        link = Link(session, wire, self._clock, address, self._limits.queue_bytes_max)
        if met is not None:
            self._met[link] = met
        self._links += 1
        try:
            await link.run(self._handle, self._spawn)
        finally:
            self._links -= 1
            self._met.pop(link, None)
            self._forget(link)
        return link.closed

    async def _introduction(self) -> Own:
        """What this node shows of itself, as stored now."""
        identity, node = await self._db.read(partial(read.introduction, account=self._own.account))
        return Own(self._own.account, identity, node, self._own.device)

    async def _handle(self, link: Link, event: Event) -> None:
        """Everything a session says, in order."""
        if isinstance(event, Introduced):
            await self._introduced(link, event)
        elif isinstance(event, Ready):
            await self._opened(link, event)
        elif isinstance(event, Closed):
            self._metrics.links_closed.labels(event.code.value).inc()
            log.info("link_closed", code=event.code.value, detail=event.detail)
        else:
            neighbour = self.neighbours.get(link.peer)
            if neighbour is not None and neighbour.link is link:
                await self._traffic(neighbour, event)

    async def _introduced(self, link: Link, event: Introduced) -> None:
        """The peer proved an account, as its own records tell; see what the store knows of it."""
        blocked = self._gate.policy.blocked_nodes(self._clock.now_ms())
        if event.account in blocked:
            link.close(Code.BLOCKED)
            return
        if not self._prefer(link, event.account):
            self._replaced(link)
            return
        if await self._ledger.note_link(event.account, link.address):
            await self._roster.load()
        origin = Origin(Way.LINK, event.account)
        records = [*(record.encode() for record in event.identity), event.node.encode()]
        await self._gate.submit(records, origin)
        if not await self._db.read(
            partial(_may_serve, account=event.account, key=event.device, network=self._own.network)
        ):
            link.close(Code.REVOKED)
            return
        counts = self._sets.state()
        head = await self._db.read(lambda db: read.account(db, self._own.account))
        link.session.welcome(
            horizon_ms=horizon_ms(self._limits.horizon_days, self._clock.now_ms()),
            identity_head=(head.head if head else None) or bytes(32),
            admitted=self._gate.admission.nodes,
            clock_ms=self._clock.now_ms(),
            counts=(counts[Scope.LOG][0], counts[Scope.STATE][0], counts[Scope.WINDOW][0]),
        )

    def _prefer(self, link: Link, account: bytes) -> bool:
        """One link a pair: of two that crossed, both sides keep the one of the lower account."""
        other = self.neighbours.get(account)
        if other is None or other.link.over:
            return True
        old, new = other.link.session.side, link.session.side
        dialer = self._own.account if new is Side.DIALER else account
        if old is not new and dialer != min(self._own.account, account):
            return False
        other.link.close(Code.REPLACED)
        return True

    def _replaced(self, link: Link) -> None:
        """This link is one too many; whoever wanted to meet the node there has met it."""
        link.close(Code.REPLACED)
        if link in self._met and not self._met[link].done():
            self._met[link].set_result(link.peer)

    async def _opened(self, link: Link, event: Ready) -> None:
        if not self._prefer(link, link.peer):  # another one opened while this one was shaking hands
            self._replaced(link)
            return
        exchange = Exchange(link, self._gate, self._db, self.serve, self._clock, self._spawn)
        catchup = CatchUp(exchange, self._sets, self._db, self._own.account, event.admitted)
        own_ms = horizon_ms(self._limits.horizon_days, self._clock.now_ms())
        catchup.since_ms = max(event.hello.horizon_ms, own_ms)
        neighbour = Neighbour(link, exchange, catchup)
        self.neighbours[link.peer] = self._open[link] = neighbour
        self._metrics.links.labels(link.session.side.name.lower()).inc()
        log.info("link_open", peer=link.peer.hex()[:16], side=link.session.side.name.lower())
        neighbour.tasks = [
            self._spawn(self._answer(neighbour), "hub.answer"),
            self._spawn(self._keep_equal(neighbour), "hub.keep_equal"),
        ]
        told = [node.record for node in self._roster.nodes.values()][:PEERS_TOLD_MAX]
        link.session.send_peers(told)
        link.flush()
        if link in self._met and not self._met[link].done():
            self._met[link].set_result(link.peer)

    def _forget(self, link: Link) -> None:
        neighbour = self._open.pop(link, None)
        if neighbour is not None:
            if self.neighbours.get(link.peer) is neighbour:
                del self.neighbours[link.peer]
            neighbour.end()
            self._metrics.links.labels(link.session.side.name.lower()).dec()
            exchange = neighbour.exchange
            self._spawn(self._score(link.peer, exchange), "hub.score")

    async def _score(self, peer: bytes, exchange: Exchange) -> None:
        try:
            await self._ledger.score(peer, exchange.useful, exchange.faults)
        except NodeError:
            log.info("score_lost")

    # --- traffic -------------------------------------------------------------------------

    async def _traffic(self, neighbour: Neighbour, event: Event) -> None:
        exchange, link = neighbour.exchange, neighbour.link
        match event:
            case Pushed():
                await exchange.take_push(event)
            case Answered():
                await exchange.take_answer(event)
            case Ack():
                self._receipts.note(link.peer, event.outcomes)
            case Have():
                await exchange.take_have(event)
            case Get() | Chain() | Find():
                await neighbour.requests.put(event)
            case Reconcile():
                await self._reconcile(neighbour, event)
            case Reconciled():
                if link.session.started(event.number):
                    neighbour.catchup.take_end(event.number)
            case Challenge():
                proof = await self.serve.prove(event.nonce, event.id)
                link.session.answer(event.nonce, event.id, proof)
                link.flush()
            case Admitted():
                neighbour.catchup.nodes = event.accounts
                self._compare_anew(neighbour)
            case Peers():
                self._spawn(exchange.take_peers(event), "hub.peers")

    async def _reconcile(self, neighbour: Neighbour, frame: Reconcile) -> None:
        """A message of a session: ours goes on, the peer's is answered within its CPU budget."""
        link = neighbour.link
        if link.session.started(frame.number):
            neighbour.catchup.take(frame)
            return
        window = await self._window(neighbour, frame)
        started_ms = self._clock.monotonic_ms()
        try:
            answer = Reconciler(window, RECONCILE_FRAME_BYTES_MAX).respond(frame.message)
        except SyncError as error:
            link.close(error.code)
            return
        now_ms = self._clock.monotonic_ms()
        await self._clock.sleep_ms(neighbour.spend(now_ms, now_ms - started_ms))
        link.session.proceed(frame._replace(message=answer))
        link.flush()

    async def _window(self, neighbour: Neighbour, frame: Reconcile) -> Window:
        if frame.scope == Scope.PRIVATE:
            account = frame.account or b""
            nodes = await self._db.read(partial(read.hosts, account_=account))
            if not {neighbour.link.peer, self._own.account} <= set(nodes):
                return Window(Index())
            return await self._sets.private(account)
        since_ms = EPOCH_MS + frame.since_s * 1000 if frame.since_s else 0
        return await self._sets.window(Scope(frame.scope), neighbour.catchup.nodes, since_ms)

    async def _answer(self, neighbour: Neighbour) -> None:
        """Answer requests one after the other, a part at a time."""
        link = neighbour.link
        while not link.over:
            request = await neighbour.requests.get()
            match request:
                case Get():
                    await self._answer_get(link, request)
                case Chain():
                    link.session.reply(request.request, await self.serve.chain(request))
                case Find():
                    link.session.reply(request.request, await self.serve.find(request))
            link.flush()

    async def _answer_get(self, link: Link, request: Get) -> None:
        for at in range(0, len(request.ids), ANSWER_IDS_MAX):
            part = request._replace(ids=request.ids[at : at + ANSWER_IDS_MAX])
            items, absent = await self.serve.get(link.peer, part)
            await link.writable()
            last = at + ANSWER_IDS_MAX >= len(request.ids)
            link.session.reply(request.request, items, absent, last)
            link.flush()

    # --- staying equal -------------------------------------------------------------------

    async def _keep_equal(self, neighbour: Neighbour) -> None:
        """Compare at the start (whoever dialled), when something was dropped, and now and then."""
        link = neighbour.link
        if link.session.side is Side.ACCEPTOR:
            await self._pause(neighbour, 2 * COMPARE_MS)
        while link.open:
            link.behind.clear()
            moved = await neighbour.catchup.run()
            if moved:
                log.info("compared", peer=link.peer.hex()[:16], records=moved)
            await neighbour.exchange.ask_wanted()
            await self._pause(neighbour, COMPARE_MS)

    async def _pause(self, neighbour: Neighbour, ms: int) -> None:
        try:
            async with timeout_ms(ms):
                await neighbour.link.behind.wait()
        except TimeoutError:
            pass

    async def _ask_wanted(self) -> None:
        """Ask every peer for bytes that are due; each round that fails doubles the wait."""
        while True:
            await self._clock.sleep_ms(WANTED_ROUND_MS)
            if not self.neighbours:
                continue
            now_ms = self._clock.now_ms()
            due = await self._db.read(
                partial(read.wanted, due_ms=now_ms, after=0, limit=WANTED_ROUND_RECORDS_MAX)
            )
            if due:
                try:
                    await self._ledger.asked([number for number, _ in due])
                except NodeError:
                    continue  # the store cannot write: not now
                ids = [id_ for _, id_ in due]
                for neighbour in list(self.neighbours.values()):
                    await neighbour.exchange.fetch(ids)

    async def find(self, by: int, name: bytes) -> None:
        """Ask every peer for an account's log; returns when all have answered, or time is up."""
        asked = [neighbour.exchange.find(by, name) for neighbour in self.neighbours.values()]
        try:
            async with timeout_ms(FIND_MS_MAX):
                await asyncio.gather(*asked)
        except TimeoutError:
            log.info("find_timeout")

    # --- telling -------------------------------------------------------------------------

    def offer(self, ids: Sequence[bytes]) -> None:
        """Offer records to every peer: each says what it holds, and fetches what it lacks."""
        for neighbour in self.neighbours.values():
            if neighbour.link.session.can_send:
                neighbour.link.session.have(ids)
                neighbour.link.flush()

    async def _follow(self, changes: Subscription) -> None:
        while True:
            commit = await changes.next()
            if commit is None:
                for neighbour in self.neighbours.values():
                    neighbour.link.behind.set()
                continue
            if any(change.what is What.NODES for change in commit.changes):
                await self._admission_changed(commit)
            await self._gossip.tell(commit)

    async def _admission_changed(self, commit: Committed) -> None:
        if all(
            change.account != self._own.account
            for change in commit.changes
            if change.what is What.NODES
        ):
            return
        nodes = self._gate.admission.nodes
        await self._sets.admit(nodes)
        for neighbour in self.neighbours.values():
            neighbour.link.session.admit(nodes)
            self._compare_anew(neighbour)
            neighbour.link.flush()

    def _compare_anew(self, neighbour: Neighbour) -> None:
        """The sets are others now, on both sides: whoever dialled compares them, for both."""
        if neighbour.link.session.side is Side.DIALER:
            neighbour.link.behind.set()


def _may_serve(db: sqlite3.Connection, account: bytes, key: bytes, network: bytes) -> bool:
    """Whether every operation known here still lets the key serve for the account."""
    row = read.account(db, account)
    if row is None:
        return False
    authority = load_log(db, account, row.n, network).authority(key)
    return not authority.marks and bool(authority.capabilities >> Capability.SERVE & 1)
