"""Who is told what is new: whole records to a few links, ids to the rest, answers that changed.

What begins here goes to a few links at different providers, so that it leaves its provider at
once. What comes over a link is passed on to those who are likely to have it from nobody else
(`ways`), and offered to the rest a moment later, when most of them have told of it themselves.
What this misses, comparing the sets brings (R-76).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Container, Mapping, Sequence
from functools import partial

from ratoon_node.fanout import Committed
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.roster import Roster
from ratoon_node.peering.serve import Serve
from ratoon_node.peering.sets import Sets
from ratoon_node.peering.ways import WORTH_MIN
from ratoon_node.runtime import Clock
from ratoon_node.store import linked, read
from ratoon_node.store.db import Db
from ratoon_node.store.failing import Outage
from ratoon_node.store.rows import Change, What
from ratoon_protocol.events import Event, Pushed
from ratoon_protocol.frames import Get, Outcome, Packed
from ratoon_protocol.framing import pack_item
from ratoon_protocol.kinds import Scope, kind_class
from ratoon_protocol.record import Record

# How often it is looked which offers are due, while any wait.
ROUND_MS = 50

# So many times `push_links` are few.
MESH = 2

# Ids that are looked up for neighbours in one go: some 2 ms of the event loop.
IDS_AT_ONCE = 4096

#: Per account the nodes that stand for it.
Hosts = Mapping[bytes, frozenset[bytes]]


class Gossip:
    """Tells neighbours of one commit after the other."""

    def __init__(
        self,
        own: bytes,
        neighbours: Mapping[bytes, Neighbour],
        sets: Sets,
        db: Db,
        roster: Roster,
        serve: Serve,
        clock: Clock,
        push_links: int,
    ) -> None:
        self._own = own
        self._neighbours = neighbours
        self._sets = sets
        self._db = db
        self._roster = roster
        self._serve = serve
        self._clock = clock
        self._push_links = push_links
        self._waiting = asyncio.Event()
        self._looked = 0

    async def keep_offering(self) -> None:
        """Offer what is due; sleeps while nothing waits."""
        outage = Outage("offers_fail")
        while True:
            await self._waiting.wait()
            await self._clock.sleep_ms(ROUND_MS)
            self._waiting.clear()
            failed = False
            now_ms = self._clock.monotonic_ms()
            for neighbour in list(self._neighbours.values()):
                way = neighbour.way
                if way.idle:
                    continue
                try:
                    _offer(neighbour, way.settle(neighbour.exchange.seen, now_ms))
                except Exception as error:  # whatever it was: comparing brings what was not told
                    outage.failed(error)
                    neighbour.link.behind.set()
                    failed = True
                if not way.idle:
                    self._waiting.set()
                await self._clock.sleep_ms(0)
            if not failed:
                outage.over()

    async def tell(self, commit: Committed) -> None:
        """Pass on what a commit brought, and say what it changed."""
        if not self._neighbours:
            return
        public: list[Change] = []
        private: list[Change] = []
        changed: list[Change] = []
        for change in commit.changes:
            if change.what in (What.ACCOUNT, What.NODES):
                continue
            scope = kind_class(change.kind).scope
            if change.what in (What.STATUS, What.BYTES) and scope is not Scope.PRIVATE:
                changed.append(change)
            if change.what in (What.ADDED, What.BYTES) and change.member:
                (private if scope is Scope.PRIVATE else public).append(change)
        if public:
            await self._tell_public(commit, public)
        for change in private:
            await self._tell_homes(commit, change)
        if changed:
            await self._answer_anew(changed)

    async def _tell_public(self, commit: Committed, changes: Sequence[Change]) -> None:
        packed = _Packets(commit.records)
        hosts = await self._hosts(changes)
        neighbours = list(self._neighbours.values())
        told: set[bytes] = set()
        for neighbour in neighbours:
            seen = neighbour.exchange.seen
            told.update(change.id for change in changes if change.id in seen)
            await self._give_way(len(changes))
        first, onward = self._first(), self._onward()
        for neighbour in neighbours:
            nodes, seen = neighbour.catchup.nodes, neighbour.exchange.seen
            new = [
                change
                for change in changes
                # A peer that has seen the record may have seen it without its bytes.
                if (change.id not in seen or change.what is What.BYTES)
                and (not hosts or not nodes.isdisjoint(hosts[change.account]))
            ]
            eager = (neighbour in first, neighbour in onward)
            self._tell_one(neighbour, new, packed, told, eager)
            await self._give_way(len(changes))

    async def _give_way(self, ids: int) -> None:
        """So many ids were looked at: others have a turn, unless that was little."""
        self._looked += ids
        if self._looked >= IDS_AT_ONCE:
            self._looked = 0
            await self._clock.sleep_ms(0)

    def _tell_one(
        self,
        neighbour: Neighbour,
        new: Sequence[Change],
        packed: _Packets,
        told: Container[bytes],
        eager: tuple[bool, bool],
    ) -> None:
        """Records whole where it is `eager` (for those that begin here, for those passed on)."""
        now_ms, way = self._clock.monotonic_ms(), neighbour.way
        whole = [one.id for one in new if one.id in packed and eager[one.id in told]]
        sent = set(whole)
        way.push([id_ for id_ in whole if id_ in told], now_ms)
        if whole:
            neighbour.link.queue([packed[id_] for id_ in whole])
        rest = [one for one in new if one.id not in sent]
        # Whoever published it here wants to know who holds it: every peer answers an offer.
        certain = [one.id for one in rest if one.id not in told or one.what is What.BYTES]
        others = [one.id for one in rest if one.id in told and one.what is not What.BYTES]
        room = way.offer_later(certain, now_ms, certain=True)
        if not way.offer_later(others, now_ms, certain=False) or not room:
            neighbour.link.behind.set()
        self._waiting.set()

    def hear(self, neighbour: Neighbour, event: Event) -> None:
        """Learn from what a peer pushes unasked, and from what it asks for."""
        if isinstance(event, Get):
            neighbour.way.asked(event.ids)
        elif isinstance(event, Pushed):
            others = [one for one in self._neighbours.values() if one is not neighbour]
            known = [
                item.id
                for item in event.items
                if any(item.id in other.exchange.seen for other in others)
            ]
            if known and neighbour.link.session.can_send:
                neighbour.link.session.have(known)  # in vain: the peer hears of it and learns
                neighbour.link.flush()

    async def _hosts(self, changes: Sequence[Change]) -> Hosts:
        """Who stands for the accounts, if any peer admits less than this node does."""
        admitted = self._sets.nodes
        if all(admitted <= one.catchup.nodes for one in self._neighbours.values()):
            return {}
        accounts = list(dict.fromkeys(change.account for change in changes))
        return await self._db.read(partial(linked.hosts_of, accounts=accounts))

    async def _tell_homes(self, commit: Committed, change: Change) -> None:
        """Private records go to the account's other present homes, and to nobody else."""
        record = commit.records.get(change.id)
        if record is None:
            return
        nodes = await self._db.read(partial(read.homes, account_=change.account))
        for node in sorted(nodes) if self._own in nodes else ():
            neighbour = self._neighbours.get(node)
            if neighbour is not None and record.id not in neighbour.exchange.seen:
                neighbour.link.queue([_packed(record)])

    async def _answer_anew(self, changes: Sequence[Change]) -> None:
        """What is true of a record is another thing now: its homes counted on the old one."""
        found = await self._db.read(partial(self._truths, changes))
        for node, outcomes in found.items():
            neighbour = self._neighbours.get(node)
            if neighbour is None:
                continue
            if neighbour.link.session.can_send:
                neighbour.link.session.ack(outcomes)
            neighbour.link.flush()

    def _truths(
        self, changes: Sequence[Change], db: sqlite3.Connection
    ) -> dict[bytes, list[Outcome]]:
        """For each neighbour that is a home of an account: the answers that changed."""
        found: dict[bytes, dict[bytes, Outcome]] = {}
        truth = self._serve.truths(db, [change.id for change in changes])
        accounts = {change.account for change in changes}
        hosts = {account: read.hosts(db, account) for account in accounts}
        for change in changes:
            for node in hosts[change.account]:
                if node in self._neighbours and change.id in truth:
                    told = found.setdefault(node, {})
                    told[change.id] = Outcome(change.id, truth[change.id])
        return {node: list(told.values()) for node, told in found.items()}

    def _first(self) -> set[Neighbour]:
        """The links that get whole what begins here: different providers, then the most useful.

        All of them if they are few and lead to everybody: nobody has to pass it on then.
        """
        links = len(self._neighbours)
        if len(self._sets.nodes) - 1 <= links <= MESH * self._push_links:
            return set(self._neighbours.values())
        chosen: list[Neighbour] = []
        providers: set[str | None] = set()
        rest = sorted(
            self._neighbours.items(), key=lambda pair: (-pair[1].exchange.useful, pair[0])
        )
        late: list[Neighbour] = []
        for node, neighbour in rest:
            peer = self._roster.peers.get(node)
            provider = peer.provider if peer else None
            (late if provider in providers else chosen).append(neighbour)
            providers.add(provider)
        return set((chosen + late)[: self._push_links])

    def _onward(self) -> set[Neighbour]:
        """The links that get whole what another link brought: those for which it is worth it."""
        worthy = [pair for pair in self._neighbours.items() if pair[1].way.worth >= WORTH_MIN]
        worthy.sort(key=lambda pair: (-pair[1].way.worth, pair[0]))
        return {neighbour for _, neighbour in worthy[: self._push_links]}


class _Packets:
    """Records of one commit as items: each made once, and only if it is sent to somebody."""

    def __init__(self, records: Mapping[bytes, Record]) -> None:
        self._records = records
        self._packed: dict[bytes, Packed] = {}

    def __contains__(self, id_: bytes) -> bool:
        return id_ in self._records

    def __getitem__(self, id_: bytes) -> Packed:
        found = self._packed.get(id_)
        if found is None:
            found = self._packed[id_] = _packed(self._records[id_])
        return found


def _offer(neighbour: Neighbour, ids: Sequence[bytes]) -> None:
    link = neighbour.link
    if ids and link.session.can_send:
        link.session.have(ids)
        link.flush()
    elif ids:
        link.behind.set()


def _packed(record: Record) -> Packed:
    return pack_item(record.header_bytes, record.signature, record.payload, known=record.id)
