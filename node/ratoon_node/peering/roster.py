"""Who is admitted, and how the node knows: added, proved on a link, vouched for (R-64, R-65).

The roster keeps the gate's admission and policy lists up to date. It is made anew from the store
whenever a node record, a peer or a block changes, so there is nothing to get out of step.
"""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import NamedTuple

from ratoon_node.errors import NodeError
from ratoon_node.fanout import Fanout
from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.ledger import STORE_RETRY_MS, Ledger
from ratoon_node.policy.admission import NODES_ADMITTED_MAX, Admission
from ratoon_node.policy.engine import Policy
from ratoon_node.policy.lists import ListEntry, Subject
from ratoon_node.policy.verdict import Verdict
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.failing import Outage
from ratoon_node.store.rows import What
from ratoon_protocol import record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.record import Body


class Peer(NamedTuple):
    """A node as this operator knows it: `provider` and `country` only if confirmed."""

    node: bytes
    address: str | None
    added: bool
    linked_ms: int | None
    provider: str | None
    country: str | None
    useful: int
    faults: int
    #: It claimed to hold what it could not prove: its acks count nothing.
    lied: bool = False


class NodeRecord(NamedTuple):
    """What a node says of itself: hints, nothing that counts."""

    node: bytes
    body: Body
    record: bytes

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it says it can be reached."""
        return tuple(self.body["addresses"])


class Known(NamedTuple):
    """Everything the roster is made from, read in one go."""

    peers: list[Peer]
    nodes: list[NodeRecord]
    blocks: list[ListEntry]


def read_known(db: sqlite3.Connection) -> Known:
    """Peers, node records and the operator's entries as stored."""
    peers = [
        Peer(node, address, bool(added), linked_ms, provider, country, useful, faults, bool(lied))
        for node, address, added, linked_ms, provider, country, useful, faults, lied in db.execute(
            "SELECT node, address, added, linked_ms, provider, country, useful, faults,"
            " lied_ms IS NOT NULL FROM peer ORDER BY added DESC, useful DESC, node"
        )
    ]
    nodes = []
    for stored in read.node_records(db, NODES_ADMITTED_MAX):
        if stored.payload is None:
            continue
        try:  # a flipped bit of the disk may name a field otherwise
            record.check_payload_fits(record.decode_header(stored.header), stored.payload)
            body = record.decode_payload(stored.payload)
        except ProtocolError:
            continue
        nodes.append(NodeRecord(read.account_id(db, stored.account), body, read.whole(stored)))
    blocks = [
        ListEntry(Subject(subject), entity, Verdict(verdict), reason, expires_ms, by, at_ms)
        for subject, entity, verdict, reason, expires_ms, by, at_ms in db.execute(
            "SELECT subject, entity, verdict, reason, expires_ms, made_by, at_ms FROM block"
        )
    ]
    return Known(peers, nodes, blocks)


class Roster:
    """Keeps `gate.admission` and the operator's list entries current."""

    def __init__(
        self,
        own: bytes,
        db: Db,
        gate: Gate,
        ledger: Ledger,
        fanout: Fanout,
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        self._own = own
        self._db = db
        self._gate = gate
        self._ledger = ledger
        self._fanout = fanout
        self._clock = clock
        self._spawn = spawn
        self._loading = asyncio.Lock()
        #: The policy that was made last, and the entries in it.
        self._listed: tuple[Policy, list[ListEntry]] | None = None
        self.peers: dict[bytes, Peer] = {}
        self.nodes: dict[bytes, NodeRecord] = {}

    def added(self) -> tuple[bytes, ...]:
        """The nodes that the operator added, in order of their ids."""
        return tuple(sorted(node for node, peer in self.peers.items() if peer.added))

    def others(self, peer: bytes) -> list[bytes]:
        """Node records of all but this node and `peer`, which show their own on a link."""
        return [one.record for one in self.nodes.values() if one.node not in (peer, self._own)]

    def start(self) -> None:
        """Follow the journal for node records."""
        self._spawn(self._follow(), "roster.follow")

    async def load(self) -> None:
        """Make everything anew from the store; journals it if other nodes are admitted now.

        One at a time, so that what was read last is what counts. Raises `NodeError(busy)` if the
        store cannot write; then the admission is as it was.
        """
        async with self._loading:
            await self._load()

    async def _load(self) -> None:
        while True:
            base = self._gate.policy
            known, policy, admission = await self._db.read(partial(self._make, base))
            if self._gate.policy is base:
                break  # else its file was read again meanwhile
        self.peers = {peer.node: peer for peer in known.peers}
        self.nodes = {node.node: node for node in known.nodes}
        self._listed = (policy, known.blocks)
        self._gate.policy = policy
        before = self._gate.admission
        self._gate.admission = admission
        if admission.nodes != before.nodes:
            try:
                await self._ledger.admission_changed(self._own)
            except NodeError:
                self._gate.admission = before
                raise

    def _make(self, base: Policy, db: sqlite3.Connection) -> tuple[Known, Policy, Admission]:
        """All of it off the event loop: long lists and many vouchers take a tenth of a second."""
        known = read_known(db)
        policy = base if (base, known.blocks) == self._listed else base.with_entries(known.blocks)
        blocked = [
            node
            for node, verdict in policy.blocked_nodes(self._clock.now_ms()).items()
            if verdict >= Verdict.WITHHOLD
        ]
        admission = Admission(
            added=[self._own, *(peer.node for peer in known.peers if peer.added)],
            linked=[peer.node for peer in known.peers if peer.linked_ms is not None],
            # Not by its own word: or a peer that was removed would stay by an old record.
            vouches={
                node.node: node.body["admits"] for node in known.nodes if node.node != self._own
            },
            blocked=blocked,
            vouching=policy.budgets.vouching,
        )
        return known, policy, admission

    async def _follow(self) -> None:
        changes = self._fanout.subscribe()
        while True:
            commit = await changes.next()
            if commit is None or any(
                change.what is What.NODES and change.account != self._own
                for change in commit.changes
            ):
                await self._load_in_time()

    async def _load_in_time(self) -> None:
        """Load, and try again while the store cannot read or write: nobody else would notice."""
        outage = Outage("roster_waits")
        while True:
            try:
                await self.load()
            except (NodeError, sqlite3.Error) as error:
                outage.failed(error)
                await self._clock.sleep_ms(STORE_RETRY_MS)
            else:
                outage.over()
                return
