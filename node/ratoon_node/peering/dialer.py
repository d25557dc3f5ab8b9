"""Keeping links up: who was added is dialled until it answers, and of the others a few, by chance.

Were all that are admitted dialled, a thousand nodes would knock at each other for ever, most of
them in vain; and were they dialled in an order that all share, at the same few doors. Now and then
one that was never met is visited, also one that only a peer told of: who has met a node believes
it, and carries whom it vouches for (R-65).
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.ingest.gate import Gate
from ratoon_node.peering.conduct import DIALLED_SHARE
from ratoon_node.peering.hub import Hub
from ratoon_node.peering.roster import Roster
from ratoon_node.peering.wire import spread
from ratoon_node.runtime import Clock, Spawn
from ratoon_node.store.failing import Outage
from ratoon_protocol.errors import Code
from ratoon_protocol.introduction import Side

# First pause before an address is tried again, then doubling.
REDIAL_MS = 500
# Longest such pause.
REDIAL_MS_MAX = 60_000
# How often the roster is looked through for nodes without a link.
DIAL_ROUND_MS = 1000
# How often somebody new is visited while there are enough links, and for how long.
VISIT_MS = 60_000
# How often where even all that are let in are fewer than it wants links to.
FEW_VISIT_MS = 5000
VISIT_LASTS_MS = 30_000
# Addresses whose pauses are remembered: 16 for each of a few thousand nodes never all fail at once.
ADDRESSES_PAUSED_MAX = 8192

log = structlog.get_logger()


class Dialer:
    """Dials, with pauses that double while nobody answers."""

    def __init__(
        self,
        own: bytes,
        seeds: Sequence[str],
        hub: Hub,
        roster: Roster,
        gate: Gate,
        clock: Clock,
        spawn: Spawn,
        rng: random.Random,
        links_max: int,
    ) -> None:
        self._own = own
        self._seeds = seeds
        self._hub = hub
        self._roster = roster
        self._gate = gate
        self._clock = clock
        self._spawn = spawn
        self._rng = rng
        self._links_max = links_max
        #: The part of the links that strangers cannot take (`room_for`) is filled by dialling.
        self._dialled_wanted = max(1, links_max // DIALLED_SHARE)
        self._dialling: set[str] = set()
        self._nodes: set[bytes] = set()
        self._pauses: dict[str, tuple[int, int]] = {}
        self._visited_ms = clock.monotonic_ms()

    def start(self) -> None:
        """Look for nodes without a link, again and again."""
        self._spawn(self._rounds(), "dialer.rounds")

    async def _rounds(self) -> None:
        outage = Outage("dialling_fails")
        while True:
            try:
                self._dial_missing()
            except Exception as error:  # whatever it was: the next round may do it
                outage.failed(error)
            else:
                outage.over()
            await self._clock.sleep_ms(DIAL_ROUND_MS)

    def _dial_missing(self) -> None:
        admitted = self._gate.admission
        for node in self._roster.added():
            if admitted.admits(node):
                self._dial_node(node)
        if len(self._dialling) < self._dialled_wanted:
            others = list(admitted.nodes)
            self._rng.shuffle(others)
            for node in others:
                if len(self._dialling) >= self._dialled_wanted:
                    break
                self._dial_node(node)
        few = len(self._dialling) < self._dialled_wanted
        if self._clock.monotonic_ms() - self._visited_ms >= (FEW_VISIT_MS if few else VISIT_MS):
            self._visit(few)
        known = {peer.address for peer in self._roster.peers.values()}
        for seed in self._seeds:
            if seed not in known:  # else the node found there is dialled like any other
                address = self._due([seed])
                if address is not None:
                    self._begin(address, None)

    def _visit(self, few: bool) -> None:
        """Dial one of those that never were met: who is let in, or whom a peer told of. If there
        are `few`, all of the former are dialled anyway.
        """
        self._visited_ms = self._clock.monotonic_ms()
        met = {node for node, peer in self._roster.peers.items() if peer.linked_ms is not None}
        new = [node for node in self._gate.admission.nodes if node not in met and node != self._own]
        told = self._told_of(met)
        if few:
            new = []
        if new and not (told and self._rng.getrandbits(1)):
            node = self._rng.choice(new)
            self._dial_node(node)
        elif told:
            node = self._rng.choice(sorted(told))
            self._dial_node(node, told[node])
        else:
            return
        self._spawn(self._take_leave(node), "dialer.leave")

    def _told_of(self, met: Collection[bytes]) -> dict[bytes, tuple[str, ...]]:
        """Nodes that one of the peers told of: one by chance, so that none who tells of many
        chooses whom this node comes to know. Whoever is met has proved itself like anybody who
        dials here, and is let in for that (R-65).
        """
        telling = [
            one.exchange.hints for one in self._hub.neighbours.values() if one.exchange.hints
        ]
        hints = self._rng.choice(telling) if telling else {}
        blocked = self._gate.policy.blocked_nodes(self._clock.now_ms())
        return {
            node: addresses
            for node, addresses in hints.items()
            if node not in met and node not in blocked and node != self._own
        }

    async def _take_leave(self, node: bytes) -> None:
        """End a visit, unless its link is needed now."""
        await self._clock.sleep_ms(VISIT_LASTS_MS)
        neighbour = self._hub.neighbours.get(node)
        if neighbour is None or neighbour.link.session.side is not Side.DIALER:
            return
        if len(self._dialling) > self._dialled_wanted and node not in self._roster.added():
            neighbour.link.close(Code.SHUTDOWN)

    def _dial_node(self, node: bytes, addresses: Sequence[str] = ()) -> None:
        """Dial a node unless there is a link to it, or it has to wait; `addresses`: where to, if
        that is not known of it.
        """
        linked = node in self._hub.neighbours or node in self._nodes
        if node != self._own and not linked and not self._hub.waits(node):
            address = self._due(addresses or self._addresses(node))
            if address is not None:
                self._begin(address, node)

    def _addresses(self, node: bytes) -> list[str]:
        peer, said = self._roster.peers.get(node), self._roster.nodes.get(node)
        return spread(said.addresses if said else (), peer.address if peer else None)

    def _due(self, addresses: Sequence[str]) -> str | None:
        """Of these whose pause is over the one that failed least; the first of equal ones."""
        now_ms = self._clock.monotonic_ms()
        ready: list[tuple[int, int]] = []
        for at, address in enumerate(addresses):
            until_ms, pause_ms = self._pauses.get(address, (0, 0))
            if until_ms <= now_ms and address not in self._dialling:
                ready.append((pause_ms, at))
        return addresses[min(ready)[1]] if ready else None

    def _begin(self, address: str, node: bytes | None) -> None:
        if len(self._dialling) >= self._links_max:
            return
        self._dialling.add(address)
        if node is not None:
            self._nodes.add(node)
        self._spawn(self._dial(address, node), "dialer.dial")

    async def _dial(self, address: str, node: bytes | None) -> None:
        began_ms = self._clock.monotonic_ms()
        try:
            await self._hub.dial(address, node)
        except NodeError as error:
            log.debug("dial_failed", code=error.code.value)
        finally:
            self._dialling.discard(address)
            self._nodes.discard(node or b"")
            self._pause(address, began_ms)

    def _pause(self, address: str, began_ms: int) -> None:
        """A link that held a while starts from the shortest pause again."""
        now_ms = self._clock.monotonic_ms()
        last_ms = self._pauses.pop(address, (0, 0))[1]
        held = now_ms - began_ms > REDIAL_MS_MAX
        pause_ms = REDIAL_MS if held or not last_ms else min(2 * last_ms, REDIAL_MS_MAX)
        jitter_ms = self._rng.randrange(pause_ms // 2)
        self._pauses[address] = (now_ms + pause_ms + jitter_ms, pause_ms)
        if len(self._pauses) > ADDRESSES_PAUSED_MAX:
            del self._pauses[next(iter(self._pauses))]
