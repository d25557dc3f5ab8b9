"""A peer with an open link, and what goes on with it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine
from typing import Any

import structlog

from ratoon_node.errors import NodeError
from ratoon_node.peering.catchup import CatchUp
from ratoon_node.peering.conduct import FAULTS_MAX
from ratoon_node.peering.exchange import Exchange
from ratoon_node.peering.link import Link
from ratoon_node.peering.ways import Way
from ratoon_node.runtime import Spawn, timeout_ms
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Chain, Find, Get
from ratoon_protocol.introduction import Side
from ratoon_protocol.limits import REQUESTS_IN_FLIGHT_MAX

log = structlog.get_logger()


class Neighbour:
    """One link that is open: its traffic, its comparisons, and the tasks that serve it."""

    def __init__(self, link: Link, exchange: Exchange, catchup: CatchUp, opened_ms: int) -> None:
        self.link = link
        #: When the link opened, by the monotonic clock.
        self.opened_ms = opened_ms
        self.exchange = exchange
        self.catchup = catchup
        self.way = Way(link.session.side)
        self.requests: asyncio.Queue[Get | Chain | Find] = asyncio.Queue(REQUESTS_IN_FLIGHT_MAX)
        #: Challenges under way: nonce, then id and the hash that only a holder can give.
        self.challenges: dict[bytes, tuple[bytes, bytes]] = {}
        #: Ids under challenge that the peer has taken back meanwhile.
        self.taken_back: set[bytes] = set()
        #: Challenges in a row that only brought out that the peer holds nothing.
        self.doubts = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None], name: str, spawn: Spawn) -> None:
        """Run `work` for as long as the link lasts; a store that fails ends the link."""
        self._tasks.append(spawn(self._guarded(work), name))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (NodeError, sqlite3.Error) as error:
            log.error("link_cannot_go_on", error=repr(error))
            self.link.close(Code.BUSY)

    @property
    def guilty(self) -> bool:
        """Whether the peer did what costs it the link, and a pause."""
        closed = self.link.closed
        at_fault = closed is not None and closed.peers_fault
        return at_fault or self.exchange.faults >= FAULTS_MAX

    def compare_anew(self) -> None:
        """The sets are others now, on both sides: whoever dialled compares them, for both."""
        if self.link.session.side is Side.DIALER:
            self.link.behind.set()

    async def pause(self, ms: int) -> None:
        """Return after `ms`, or as soon as a comparison is needed."""
        try:
            async with timeout_ms(ms):
                await self.link.behind.wait()
        except TimeoutError:
            pass

    def end(self) -> None:
        """The link is over: nobody waits for an answer any more."""
        for task in self._tasks:
            task.cancel()
        self.exchange.end()
        self.catchup.end()
