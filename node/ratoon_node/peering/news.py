"""What changed here and peers have to know: records, whom this node lets in, keys that ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from ratoon_node.fanout import Committed, Fanout, Subscription
from ratoon_node.ingest.gate import Gate
from ratoon_node.operate.own import OwnAccount
from ratoon_node.peering.entry import may_serve
from ratoon_node.peering.gossip import Gossip
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.serve import Serve
from ratoon_node.peering.sets import Sets
from ratoon_node.runtime import Spawn
from ratoon_node.store.db import Db
from ratoon_node.store.rows import What
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code

log = structlog.get_logger()


class News:
    """Follows the journal for the links of a node."""

    def __init__(
        self,
        own: OwnAccount,
        neighbours: Mapping[bytes, Neighbour],
        db: Db,
        gate: Gate,
        sets: Sets,
        serve: Serve,
        gossip: Gossip,
        spawn: Spawn,
    ) -> None:
        self._own = own
        self._neighbours = neighbours
        self._db = db
        self._gate = gate
        self._sets = sets
        self._serve = serve
        self._gossip = gossip
        self._spawn = spawn

    def start(self, fanout: Fanout) -> None:
        """Tell peers of every commit from now on."""
        self._spawn(self._follow(fanout.subscribe()), "hub.gossip")

    def offer(self, ids: Sequence[bytes]) -> None:
        """Offer records to every peer: each says what it holds, and fetches what it lacks."""
        self._spawn(self._offer(ids), "hub.offer")

    async def _offer(self, ids: Sequence[bytes]) -> None:
        public = list(await self._db.read(lambda db: self._serve.truths(db, ids)))
        for neighbour in self._neighbours.values():
            if public and neighbour.link.session.can_send:
                neighbour.link.session.have(public)
                neighbour.link.flush()

    async def _follow(self, changes: Subscription) -> None:
        while True:
            commit = await changes.next()
            try:
                await self._tell(commit)
            except Exception as error:  # whatever it was: comparing brings what was not told
                bug = not isinstance(error, sqlite3.Error)
                log.error("gossip_fails", error=repr(error), exc_info=bug)
                self._all_behind()

    async def _tell(self, commit: Committed | None) -> None:
        if commit is None:
            self._all_behind()
            if self._sets.nodes != set(self._gate.admission.nodes):  # that was among it
                await self._admission_changed()
            return
        own = self._own.account
        if any(one.what is What.NODES and one.account == own for one in commit.changes):
            await self._admission_changed()
        for change in commit.changes:
            if change.kind == kinds.IDENTITY and change.account in self._neighbours:
                await self._check_key(self._neighbours[change.account])
        await self._gossip.tell(commit)

    def _all_behind(self) -> None:
        for neighbour in self._neighbours.values():
            neighbour.link.behind.set()

    async def _admission_changed(self) -> None:
        """Other nodes are let in now; links to those that are not any more end."""
        admission = self._gate.admission
        await self._sets.admit(admission.nodes)
        for node, neighbour in list(self._neighbours.items()):
            link = neighbour.link
            if not admission.admits(node):
                link.close(Code.BLOCKED)
                continue
            link.session.admit(admission.nodes)
            neighbour.compare_anew()
            link.flush()

    async def _check_key(self, neighbour: Neighbour) -> None:
        """A peer's identity is another one now: the key on the link may be revoked."""
        event = neighbour.link.session.peer
        assert event is not None, "an open link knows its peer"
        if not await self._db.read(partial(may_serve, event=event, network=self._own.network)):
            neighbour.link.close(Code.REVOKED)
