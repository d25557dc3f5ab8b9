"""All links of a node: how one begins, what is done with it while it lasts, and how it ends.

Each open link is a `Neighbour`; what comes over it is handed to whoever deals with it. Comparing
the sets, at the start and now and then, brings whatever else was missed (R-60, R-74 to R-79).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from dataclasses import dataclass
from functools import partial

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.fanout import Fanout
from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.ledger import Ledger
from ratoon_node.ingest.retention import horizon_ms
from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.operate.own import OwnAccount, is_whole
from ratoon_node.peering.catchup import CatchUp
from ratoon_node.peering.challenges import Challenges
from ratoon_node.peering.clocks import Clocks
from ratoon_node.peering.conduct import YIELD_MS, YIELD_MS_MAX, Conduct, Deferred, Pace, room_for
from ratoon_node.peering.entry import may_serve
from ratoon_node.peering.errands import Errands
from ratoon_node.peering.exchange import Exchange
from ratoon_node.peering.gossip import Gossip
from ratoon_node.peering.heads import Heads
from ratoon_node.peering.hidden import Hidden
from ratoon_node.peering.link import Link
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.news import News
from ratoon_node.peering.receipts import Receipts
from ratoon_node.peering.replies import Replies
from ratoon_node.peering.roster import Roster
from ratoon_node.peering.serve import Serve
from ratoon_node.peering.sets import Sets
from ratoon_node.peering.wants import Wants
from ratoon_node.peering.wire import Transport, Wire
from ratoon_node.policy.admission import NodeClass
from ratoon_node.policy.verdict import Verdict
from ratoon_node.runtime import Clock, Spawn, timeout_ms
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.telemetry import Metrics
from ratoon_protocol.errors import Code
from ratoon_protocol.events import Answered, Closed, Event, Pushed, Ready
from ratoon_protocol.frames import (
    Ack,
    Admitted,
    Answer,
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
from ratoon_protocol.kinds import Scope
from ratoon_protocol.limits import HANDSHAKE_MS_MAX
from ratoon_protocol.session import PeerSession

# How often equal sets are made sure of, while a link stays up.
COMPARE_MS = 60_000
# How seldom, while all they bring is refused here.
COMPARE_MS_MAX = 3_600_000
# Shortest: a peer that says every moment that its sets are others does not set the pace.
COMPARE_MS_MIN = 200
# Node records told to a new peer.
PEERS_TOLD_MAX = 64
# Time to tell all peers that this node ends.
GOODBYES_MS_MAX = 2000
# Time for a node that the operator adds to open a link.
MEET_MS_MAX = 15_000

log = structlog.get_logger()


@dataclass(frozen=True)
class HubLimits:
    """Bounds from the settings."""

    links_max: int
    push_links: int
    queue_bytes_max: int
    horizon_days: int
    strangers_bytes_per_s: int


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
        heads: Heads,
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
        self._heads = heads
        self._fanout = fanout
        self._transport = transport
        self._clock = clock
        self._spawn = spawn
        self._rng = rng
        self._metrics = metrics
        self._limits = limits
        self._links = 0
        self._running: set[Link] = set()
        #: The own records that were found to be whole.
        self._whole: tuple[bytes, ...] = ()
        self._open: dict[Link, Neighbour] = {}  # also those that another link has replaced
        self._met: dict[Link, asyncio.Future[bytes]] = {}
        self.clocks = Clocks(clock, metrics)
        own.clock_sound, own.latest_ms = self.clocks.sound, self.clocks.latest_ms
        self._conduct = Conduct(clock)
        self._yielded = Conduct(clock, YIELD_MS, YIELD_MS_MAX)
        self._deferred = Deferred(clock)
        self.serve = Serve(own.account, own.network, db, lambda: gate.policy, clock)
        self._replies = Replies(
            own.account,
            db,
            sets,
            self.serve,
            clock,
            Pace(clock, limits.strangers_bytes_per_s),
            lambda node: gate.admission.class_of(node) is NodeClass.ADDED,
        )
        self._challenges = Challenges(own.network, db, ledger, roster, clock, rng)
        self.errands = Errands(self.neighbours, clock)  # for what readers miss
        self._wants = Wants(self.neighbours, db, ledger, clock, spawn)
        self._hidden = Hidden(self.neighbours, db, self.serve, lambda: gate.policy, clock)
        self._gossip = Gossip(
            own.account, self.neighbours, sets, db, roster, self.serve, clock, limits.push_links
        )
        self._news = News(own, self.neighbours, db, gate, sets, self.serve, self._gossip, spawn)
        receipts.ask = self._news.offer

    def start(self) -> None:
        """Tell what is new, and keep asking for wanted bytes."""
        self._news.start(self._fanout)
        self._spawn(self._gossip.keep_offering(), "hub.offers")
        self._spawn(self._wants.keep_asking(), "hub.wanted")
        self._spawn(self._hidden.keep_telling(), "hub.hidden")

    async def close(self) -> None:
        """Tell every peer that this node ends; returns when that is said, or after a moment."""
        links = list(self._open)
        for link in links:
            link.close(Code.SHUTDOWN)
        try:
            async with timeout_ms(GOODBYES_MS_MAX):
                await asyncio.gather(*(link.ended.wait() for link in links))
        except TimeoutError:
            log.info("goodbyes_cut_off")

    # --- links ---------------------------------------------------------------------------

    async def accept(self, wire: Wire) -> None:
        """Take a link that another node dialled; returns when it has ended."""
        try:
            await self._run(Side.ACCEPTOR, wire, None, None)
        except NodeError as error:
            log.info("link_refused", code=error.code.value)

    async def dial(self, address: str, expected: bytes | None = None) -> Closed | None:
        """Dial a node and stay until the link ends. Raises `NodeError` if nobody is there."""
        wire = await self._transport.dial(address)
        return await self._run(Side.DIALER, wire, address, expected)

    def shuns(self, node: bytes) -> bool:
        """Whether a node has to wait for its next link, because of what it did on the last.

        The last may not be over yet: who is slow to hang up gets no other link by it.
        """
        last = self.neighbours.get(node)
        return self._conduct.paused(node) or (last is not None and last.link.over and last.guilty)

    def waits(self, node: bytes) -> bool:
        """Whether a node is not to be dialled now: it is shunned, or has another link of somebody
        with this node's key, and both would go on taking it from each other.
        """
        return self.shuns(node) or self._yielded.paused(node)

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
            # The other end went without a word: a node that is full, or none.
            safe = "No node that has room answers there." if code is Code.TIMEOUT else ""
            met.set_exception(NodeError(code, safe=safe, detail="no link"))

    async def _run(
        self,
        side: Side,
        wire: Wire,
        address: str | None,
        expected: bytes | None,
        met: asyncio.Future[bytes] | None = None,
    ) -> Closed | None:
        if self._links >= room_for(side, self._limits.links_max):
            await wire.close()
            raise NodeError(Code.BUSY, detail="links")
        self._links += 1
        link: Link | None = None
        try:
            session = await self._session(side, expected)
            link = Link(session, wire, self._clock, address, self._limits.queue_bytes_max)
            self._running.add(link)
            if met is not None:
                self._met[link] = met
            await link.run(self._handle, self._spawn)
        finally:
            self._links -= 1
            if link is None:
                await wire.close()
            else:
                self._forget(link)
        return link.closed

    async def _session(self, side: Side, expected: bytes | None) -> PeerSession:
        """A new end of a link that shows this node as stored now."""
        account, network = self._own.account, self._own.network
        try:
            found = await self._db.read(self._introduction)
        except sqlite3.Error as error:
            raise NodeError(Code.BUSY, detail=str(error)) from error
        if found is None:  # the disk has changed them
            await self._own.say_again()
            raise NodeError(Code.BUSY, detail="own records were damaged")
        identity, node = found
        own = Own(account, identity, node, self._own.device)
        ephemeral = self._rng.randbytes(32)
        now_ms = self._clock.monotonic_ms()
        return PeerSession(side, network, own, self._own.link_key, ephemeral, now_ms, expected)

    def _introduction(self, db: sqlite3.Connection) -> tuple[tuple[bytes, ...], bytes] | None:
        """What this node shows of itself, or None if it is not what was signed.

        On a reader's thread, and checked once: strangers' links come by the dozen, and a long log
        has thousands of signatures.
        """
        identity, node = read.introduction(db, self._own.account)
        shown = (*identity, node)
        if shown != self._whole:
            if not identity or not is_whole(shown):
                return None
            self._whole = shown
        return identity, node

    async def _handle(self, link: Link, event: Event) -> None:
        """Everything a session says, in order; a store that fails ends the link."""
        try:
            await self._take(link, event)
        except (NodeError, sqlite3.Error) as error:
            log.error("link_cannot_go_on", error=repr(error))
            link.close(Code.BUSY)

    async def _take(self, link: Link, event: Event) -> None:
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
        node = event.account
        blocked = self._gate.policy.blocked_nodes(self._clock.now_ms())
        if blocked.get(node, Verdict.ACCEPT) >= Verdict.WITHHOLD or self.shuns(node):
            link.close(Code.BLOCKED)
            return
        # Before it may take the place of another link, and before anything of it is kept.
        if not await self._db.read(partial(may_serve, event=event, network=self._own.network)):
            link.close(Code.REVOKED)
            return
        if not self._prefer(link, node):
            self._replaced(link)
            return
        if await self._ledger.note_link(node, link.address):
            await self._roster.load()
        records = [*(record.encode() for record in event.identity), event.node.encode()]
        await self._gate.submit(records, Origin(Way.LINK, node))
        await self._sets.loaded.wait()
        counts = self._sets.state()
        head = await self._db.read(lambda db: read.account(db, self._own.account))
        link.admitted = self._gate.admission.nodes
        link.session.welcome(
            horizon_ms=horizon_ms(self._limits.horizon_days, self._clock.now_ms()),
            identity_head=(head.head if head else None) or bytes(32),
            admitted=link.admitted,
            clock_ms=self._clock.now_ms(),
            counts=(counts[Scope.LOG][0], counts[Scope.STATE][0], counts[Scope.WINDOW][0]),
        )

    def _prefer(self, link: Link, account: bytes) -> bool:
        """One link a pair, the newer one: but of two that crossed, because both sides dialled at
        once, both keep the one of the lower account.
        """
        other = self.neighbours.get(account)
        if other is None or other.link.over:
            return True
        old, new = other.link.session.side, link.session.side
        dialer = self._own.account if new is Side.DIALER else account
        crossed = self._clock.monotonic_ms() - other.opened_ms <= HANDSHAKE_MS_MAX
        if crossed and old is not new and dialer != min(self._own.account, account):
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
        neighbour = self._neighbour(link, event)
        self.neighbours[link.peer] = self._open[link] = neighbour
        side = link.session.side.name.lower()
        self._metrics.links.labels(side).inc()
        log.info("link_open", peer=link.peer.hex()[:16], side=side)
        self.clocks.heard(link.peer, event.skew_ms)
        for work, name in (
            (self._replies.keep_answering(neighbour), "hub.answer"),
            (self._keep_equal(neighbour), "hub.keep_equal"),
            (self._challenges.keep_asking(neighbour), "hub.challenge"),
            (self._heads.ask(neighbour), "hub.heads"),
        ):
            neighbour.start(work, name, self._spawn)
        if link.admitted != self._gate.admission.nodes:  # it changed while they shook hands
            link.session.admit(self._gate.admission.nodes)
        others = self._roster.others(link.peer)
        link.session.send_peers(self._rng.sample(others, min(len(others), PEERS_TOLD_MAX)))
        link.flush()
        if link in self._met and not self._met[link].done():
            self._met[link].set_result(link.peer)

    def _neighbour(self, link: Link, event: Ready) -> Neighbour:
        exchange = Exchange(
            link, self._gate, self._db, self.serve, self._deferred, self._clock, self._spawn
        )
        catchup = CatchUp(
            exchange, self._sets, self._db, self._clock, self._own.account, event.admitted
        )
        own_ms = horizon_ms(self._limits.horizon_days, self._clock.now_ms())
        catchup.since_ms = max(event.hello.horizon_ms, own_ms)
        return Neighbour(link, exchange, catchup, self._clock.monotonic_ms())

    def _forget(self, link: Link) -> None:
        self._running.discard(link)
        met = self._met.pop(link, None)
        replaced = link.closed is not None and link.closed.code is Code.REPLACED
        if met is not None and replaced and link.session.peer is not None and not met.done():
            met.set_result(link.peer)  # the peer keeps another link of the two: it was met
        neighbour = self._open.pop(link, None)
        if neighbour is None:
            return
        peer, exchange = link.peer, neighbour.exchange
        if self.neighbours.get(peer) is neighbour:
            del self.neighbours[peer]
        neighbour.end()
        self._metrics.links.labels(link.session.side.name.lower()).dec()
        if neighbour.guilty:
            self._conduct.pause(peer)
        elif self._taken_over(link):
            self._yielded.pause(peer)
            self._spawn(self._own.suspect(), "hub.suspect")
        self._spawn(self._score(peer, exchange), "hub.score")

    def _taken_over(self, link: Link) -> bool:
        """Whether the peer let go of an open link for one that is none of this node's."""
        closed = link.closed
        if closed is None or closed.code is not Code.REPLACED or not closed.by_peer:
            return False
        others = [other.session.peer for other in self._running if not other.over]
        return all(found is not None and found.account != link.peer for found in others)

    async def _score(self, peer: bytes, exchange: Exchange) -> None:
        try:
            await self._ledger.score(peer, exchange.useful, exchange.faults)
        except NodeError:
            log.info("score_lost")

    # --- traffic -------------------------------------------------------------------------

    async def _traffic(self, neighbour: Neighbour, event: Event) -> None:
        exchange, link = neighbour.exchange, neighbour.link
        self._gossip.hear(neighbour, event)
        match event:
            case Pushed():
                await exchange.take_push(event)
            case Answered():
                await exchange.take_answer(event)
            case Ack():
                self._challenges.hear(neighbour, event.outcomes)
                self._receipts.note(link.peer, event.outcomes)
            case Have():
                await exchange.take_have(event)
            case Get() | Chain() | Find():
                await neighbour.requests.put(event)
            case Reconcile():
                await self._replies.reconcile(neighbour, event)
            case Reconciled() if link.session.started(event.number):
                neighbour.catchup.take_end(event.number)
            case Challenge():
                await self._replies.challenge(neighbour, event)
            case Answer():
                await self._challenges.take(neighbour, event)
            case Admitted():
                neighbour.catchup.nodes = frozenset(event.accounts)
                neighbour.compare_anew()
            case Peers():
                await exchange.take_peers(event)

    # --- staying equal -------------------------------------------------------------------

    async def _keep_equal(self, neighbour: Neighbour) -> None:
        """Compare at the start (whoever dialled), when something was dropped, and now and then.

        Less and less often while all that a comparison finds is refused here.
        """
        link = neighbour.link
        if link.session.side is Side.ACCEPTOR:
            await neighbour.catchup.run_private()
            await neighbour.exchange.ask_wanted()
            await neighbour.pause(2 * COMPARE_MS)
        pause_ms, asked = COMPARE_MS, link.session.side is Side.ACCEPTOR
        while link.open:
            link.behind.clear()
            found = await neighbour.catchup.run()
            if found.fetched or found.pushed:
                peer = link.peer.hex()[:16]
                log.info("compared", peer=peer, fetched=found.fetched, pushed=found.pushed)
            if not asked:
                await neighbour.exchange.ask_wanted()
                asked = True
            pause_ms = min(2 * pause_ms, COMPARE_MS_MAX) if found.fruitless else COMPARE_MS
            await self._clock.sleep_ms(COMPARE_MS_MIN)
            await neighbour.pause(pause_ms)
