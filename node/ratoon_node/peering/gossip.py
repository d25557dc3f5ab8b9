"""Telling peers what is new: whole records to a few links, the ids alone to the others (R-77)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from ratoon_node.fanout import Committed
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.roster import Roster
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.rows import Change, What
from ratoon_protocol.frames import Packed
from ratoon_protocol.framing import pack_item
from ratoon_protocol.kinds import Scope, kind_class
from ratoon_protocol.record import Record


class Gossip:
    """What is told of each commit. `push_links`: how many peers get records whole."""

    def __init__(
        self, neighbours: Mapping[bytes, Neighbour], db: Db, roster: Roster, push_links: int
    ) -> None:
        self._neighbours = neighbours
        self._db = db
        self._roster = roster
        self._push_links = push_links

    async def tell(self, commit: Committed) -> None:
        """Tell every peer of a commit what it does not know from itself."""
        if not self._neighbours:
            return
        public: list[bytes] = []
        private: list[Change] = []
        for change in commit.changes:
            if change.what not in (What.ADDED, What.BYTES) or not change.member:
                continue
            if kind_class(change.kind).scope is Scope.PRIVATE:
                private.append(change)
            else:
                public.append(change.id)
        if public:
            parcels = _Parcels(commit.records)
            eager = self._eager()
            for neighbour in self._neighbours.values():
                _tell_one(neighbour, public, parcels, neighbour in eager)
        for change in private:
            await self._tell_homes(commit, change)

    async def _tell_homes(self, commit: Committed, change: Change) -> None:
        nodes = await self._db.read(partial(read.hosts, account_=change.account))
        record = commit.records.get(change.id)
        for node in nodes:
            neighbour = self._neighbours.get(node)
            if neighbour is not None and record is not None:
                neighbour.link.queue([_packed(record)])

    def _eager(self) -> set[Neighbour]:
        """The links that get records whole: different providers first, then the most useful."""
        chosen: list[Neighbour] = []
        providers: set[str | None] = set()
        pairs = self._neighbours.items()
        rest = sorted(pairs, key=lambda pair: (-pair[1].exchange.useful, pair[0]))
        late: list[Neighbour] = []
        for node, neighbour in rest:
            peer = self._roster.peers.get(node)
            provider = peer.provider if peer else None
            (late if provider in providers else chosen).append(neighbour)
            providers.add(provider)
        return set((chosen + late)[: self._push_links])


class _Parcels:
    """The records of one commit in wire form, each encoded once, if anybody needs it."""

    def __init__(self, records: Mapping[bytes, Record]) -> None:
        self._records = records
        self._made: dict[bytes, Packed] = {}

    def get(self, id_: bytes) -> Packed | None:
        """A record; None if its bytes did not come with the commit."""
        made = self._made.get(id_)
        record = self._records.get(id_)
        if made is None and record is not None:
            made = self._made[id_] = _packed(record)
        return made


def _tell_one(neighbour: Neighbour, ids: Sequence[bytes], parcels: _Parcels, eager: bool) -> None:
    seen, link = neighbour.exchange.seen, neighbour.link
    fresh = [id_ for id_ in ids if id_ not in seen]
    if not fresh:
        return
    if eager:
        parcel = {id_: parcels.get(id_) for id_ in fresh}
        link.queue([item for item in parcel.values() if item is not None])
        fresh = [id_ for id_, item in parcel.items() if item is None]
    if fresh and link.session.can_send:
        link.session.have(fresh)
    elif fresh:
        link.behind.set()
    link.flush()


def _packed(record: Record) -> Packed:
    return pack_item(record.header_bytes, record.signature, record.payload, known=record.id)
