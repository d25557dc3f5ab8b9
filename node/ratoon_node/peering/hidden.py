"""Telling peers of what they were not given, once the reason has passed (R-76).

An operator lifts a block, or all that an account said is judged: no row changes by it, so no commit
tells. Who was refused meanwhile would ask again in an hour.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.serve import Serve
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import Clock
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_node.store.failing import Outage
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import FRAME_IDS_MAX

# How often it is looked whether a reason has passed.
HIDDEN_ROUND_MS = 5000


class Hidden:
    """Looks at what `serve` hid from the peers there are."""

    def __init__(
        self,
        neighbours: Mapping[bytes, Neighbour],
        db: Db,
        serve: Serve,
        policy: Callable[[], Policy],
        clock: Clock,
    ) -> None:
        self._neighbours = neighbours
        self._db = db
        self._serve = serve
        self._policy = policy
        self._clock = clock

    async def keep_telling(self) -> None:
        """One round after the other; costs nothing while nothing is hidden from anybody."""
        outage = Outage("hidden_fails")
        told: object = None
        while True:
            await self._clock.sleep_ms(HIDDEN_ROUND_MS)
            hidden = self._serve.hidden
            for peer in hidden.keys() - self._neighbours.keys():
                del hidden[peer]
            if not hidden:
                continue
            try:
                now = (self._policy(), self._serve.hides, await self._db.read(read.judging))
                if now != told:
                    for peer in list(hidden):
                        await self._tell(peer)
            except sqlite3.Error as error:
                outage.failed(error)
                continue
            outage.over()
            told = now

    async def _tell(self, peer: bytes) -> None:
        """Offer what is hidden no more; who does not want it says so."""
        hidden = self._serve.hidden[peer]
        ids = list(hidden)

        def look(db: sqlite3.Connection) -> tuple[set[bytes], dict[bytes, Code]]:
            return set(self._serve.hidden_among(db, ids)), self._serve.truths(db, ids, peer)

        still, truth = await self._db.read(look)
        past = [id_ for id_ in ids if id_ not in still]
        shown = [id_ for id_ in past if truth.get(id_) is Code.STORED]
        for id_ in past:
            hidden.pop(id_, None)
        neighbour = self._neighbours.get(peer)
        if neighbour is None:
            return
        link = neighbour.link
        for at in range(0, len(shown) if link.session.can_send else 0, FRAME_IDS_MAX):
            link.session.have(shown[at : at + FRAME_IDS_MAX])
        link.flush()
