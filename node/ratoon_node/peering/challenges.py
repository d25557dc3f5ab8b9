"""Whether those who say `stored` have it: one random record a peer and minute is proved (R-79).

A peer that cannot prove what it still claims lies, and its acks count nothing from then on. One
that takes its word back before it answers has only changed; but only so often.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.ingest.ledger import Ledger
from ratoon_node.peering.conduct import FAULTS_MAX
from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.peering.roster import Roster
from ratoon_node.runtime import Clock
from ratoon_node.store import linked
from ratoon_node.store.db import Db
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Answer, Outcome, challenge_hash
from ratoon_protocol.limits import NONCE_BYTES

# How often a peer is challenged: 1,440 of its claims a day, at the cost of one read each.
CHALLENGE_MS = 60_000
# Claims in a row that were taken back only when they were to be proved.
DOUBTS_MAX = 8

log = structlog.get_logger()


class Challenges:
    """Challenges peers for what they claim to hold of this node's accounts."""

    def __init__(
        self,
        network: bytes,
        db: Db,
        ledger: Ledger,
        roster: Roster,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._network = network
        self._db = db
        self._ledger = ledger
        self._roster = roster
        self._clock = clock
        self._rng = rng

    async def keep_asking(self, neighbour: Neighbour) -> None:
        """Challenge one peer again and again."""
        while neighbour.link.open:
            await self._clock.sleep_ms(CHALLENGE_MS // 2 + self._rng.randrange(CHALLENGE_MS))
            await self.ask(neighbour)

    async def ask(self, neighbour: Neighbour) -> bool:
        """Challenge a peer once; False if it claims nothing that could be proved."""
        link = neighbour.link
        held = await self._db.read(
            partial(linked.claimed, node=link.peer, chance=self._rng.random())
        )
        if held is None or not link.open or not link.session.credit.challenges:
            return False
        nonce = self._rng.randbytes(NONCE_BYTES)
        neighbour.taken_back.discard(held.id)
        proof = challenge_hash(self._network, nonce, held.payload)
        neighbour.challenges[nonce] = (held.id, proof)
        link.session.challenge(nonce, held.id)
        link.flush()
        return True

    def hear(self, neighbour: Neighbour, outcomes: Sequence[Outcome]) -> None:
        """An ack: what it takes back need not be proved any more."""
        if neighbour.challenges:
            asked = {id_ for id_, _ in neighbour.challenges.values()}
            neighbour.taken_back.update(
                outcome.id
                for outcome in outcomes
                if outcome.id in asked and outcome.code is not Code.STORED
            )

    async def take(self, neighbour: Neighbour, answer: Answer) -> None:
        """The answer to a challenge."""
        id_, proof = neighbour.challenges.pop(answer.nonce)
        taken_back = id_ in neighbour.taken_back
        neighbour.taken_back.discard(id_)
        if answer.hash == proof:
            neighbour.doubts = 0
            return
        neighbour.doubts += 1
        if taken_back and answer.hash is None and neighbour.doubts < DOUBTS_MAX:
            return
        log.warning("receipt_lie", peer=neighbour.link.peer.hex()[:16])
        neighbour.exchange.blame(FAULTS_MAX, Code.BAD_PROOF)
        try:
            await self._ledger.note_lie(neighbour.link.peer)
            await self._roster.load()
        except NodeError:
            log.error("lie_not_kept")
