"""Fetching what a reader misses: a few records by id, or an account, from whoever is linked.

The answer to the reader never waits longer than `ERRAND_MS_MAX`; what comes later is there for the
next one who asks. Everything goes through the gate like anything else that comes over a link.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from ratoon_node.peering.neighbour import Neighbour
from ratoon_node.runtime import Clock, timeout_ms

# Longest wait of a reader for records that are missing.
ERRAND_MS_MAX = 1500
# Longest wait for an account that is not known here.
FIND_MS_MAX = 5000
# Ids of one errand; a thread that misses more is completed by the next readers.
ERRAND_IDS_MAX = 64
# Errands at once: each is one request on a link to each peer asked.
ERRANDS_MAX = 8
# Peers asked at once, those that were most useful first.
ERRAND_PEERS_MAX = 8
# What nobody had is not asked for again before this time is over.
AGAIN_MS = 60_000
# Ids remembered for that.
ASKED_MAX = 8192


class Errands:
    """Requests for single records and accounts."""

    def __init__(self, neighbours: Mapping[bytes, Neighbour], clock: Clock) -> None:
        self._neighbours = neighbours
        self._clock = clock
        self._asked: OrderedDict[bytes, int] = OrderedDict()
        self._running = 0

    def due(self, ids: Iterable[bytes]) -> list[bytes]:
        """Those of `ids` that may be asked for now; none while there is nobody to ask."""
        if not self._neighbours or self._running >= ERRANDS_MAX:
            return []
        again_ms = self._clock.monotonic_ms() - AGAIN_MS
        found = [id_ for id_ in ids if self._asked.get(id_, again_ms) <= again_ms]
        return found[:ERRAND_IDS_MAX]

    def _answering(self) -> list[Neighbour]:
        """Peers worth waiting for: one that is silent would cost every reader the whole wait."""
        return [one for one in self._neighbours.values() if one.exchange.answering]

    async def fetch(self, ids: Sequence[bytes]) -> None:
        """Ask for these records; returns when all peers asked have answered, or time is up."""
        now_ms = self._clock.monotonic_ms()
        for id_ in ids:
            self._asked.pop(id_, None)
            self._asked[id_] = now_ms
            if len(self._asked) > ASKED_MAX:
                self._asked.popitem(last=False)
        peers = sorted(self._answering(), key=lambda one: -one.exchange.useful)
        self._running += 1
        try:
            async with timeout_ms(ERRAND_MS_MAX):
                await asyncio.gather(
                    *(peer.exchange.bring(ids) for peer in peers[:ERRAND_PEERS_MAX])
                )
        except TimeoutError:
            pass  # it goes on; whoever asks next finds what came
        finally:
            self._running -= 1

    async def find(self, by: int, name: bytes) -> None:
        """Ask every peer for an account's log; returns when all have answered, or time is up."""
        asked = [neighbour.exchange.find(by, name) for neighbour in self._answering()]
        with contextlib.suppress(TimeoutError):
            async with timeout_ms(FIND_MS_MAX):
                await asyncio.gather(*asked)
