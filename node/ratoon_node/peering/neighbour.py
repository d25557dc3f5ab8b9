"""A peer with an open link, and what it may cost."""

from __future__ import annotations

import asyncio

from ratoon_node.peering.catchup import CatchUp
from ratoon_node.peering.exchange import Exchange
from ratoon_node.peering.link import Link
from ratoon_protocol.frames import Chain, Find, Get
from ratoon_protocol.limits import REQUESTS_IN_FLIGHT_MAX

# Time to work on reconciliation messages of one peer out of every ten seconds.
RECONCILE_CPU_MS_MAX = 2000
RECONCILE_PERIOD_MS = 10_000


class Neighbour:
    """A peer with an open link, and what goes on with it."""

    def __init__(self, link: Link, exchange: Exchange, catchup: CatchUp) -> None:
        self.link = link
        self.exchange = exchange
        self.catchup = catchup
        self.requests: asyncio.Queue[Get | Chain | Find] = asyncio.Queue(REQUESTS_IN_FLIGHT_MAX)
        self.tasks: list[asyncio.Task[None]] = []
        self._period_ms = 0
        self._spent_ms = 0

    def spend(self, now_ms: int, cost_ms: int) -> int:
        """Note work done for the peer; how long it has to wait for more."""
        if now_ms - self._period_ms >= RECONCILE_PERIOD_MS:
            self._period_ms, self._spent_ms = now_ms, 0
        self._spent_ms += cost_ms
        over = self._spent_ms > RECONCILE_CPU_MS_MAX
        return self._period_ms + RECONCILE_PERIOD_MS - now_ms if over else 0

    def end(self) -> None:
        """The link is over: nobody waits for an answer any more."""
        for task in self.tasks:
            task.cancel()
        self.exchange.end()
        self.catchup.end()
