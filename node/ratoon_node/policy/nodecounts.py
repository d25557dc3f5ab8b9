"""What the people of each node do here: posts of the running hour, newcomers of the running day.

Kept in memory and begun anew with the process; both tables are bounded, the oldest go first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

# More than are ever admitted at once.
NODES_MAX = 8192
# Newcomers of a day that are known by name, so that none counts twice.
NEWCOMERS_MAX = 65_536
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class _Counts:
    """Counts by node of the running period."""

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._period = 0
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def turn(self, now_ms: int) -> bool:
        """Begin anew if another period runs; says whether it did."""
        period, self._period = self._period, now_ms // self._period_ms
        if period == self._period:
            return False
        self._counts.clear()
        return True

    def count(self, nodes: Iterable[bytes]) -> None:
        for node in nodes:
            self._counts[node] = self._counts.get(node, 0) + 1
            self._counts.move_to_end(node)
        while len(self._counts) > NODES_MAX:
            self._counts.popitem(last=False)

    def least(self, nodes: Sequence[bytes]) -> int:
        """Of the quietest: anybody can say that they host an account, so a loud home proves little
        while a quiet one is there.
        """
        return min((self._counts.get(node, 0) for node in nodes), default=0)


class NodeCounts:
    """Counts by hosting node."""

    def __init__(self) -> None:
        self._posts = _Counts(HOUR_MS)
        self._newcomers = _Counts(DAY_MS)
        self._met: OrderedDict[bytes, None] = OrderedDict()

    def posts(self, nodes: Sequence[bytes], now_ms: int) -> int:
        """Posts of the hour by people of the quietest of `nodes`."""
        self._posts.turn(now_ms)
        return self._posts.least(nodes)

    def count_post(self, nodes: Sequence[bytes], now_ms: int) -> None:
        """Count a post of somebody whom `nodes` host."""
        self._posts.turn(now_ms)
        self._posts.count(nodes)

    def newcomers(self, nodes: Sequence[bytes], now_ms: int) -> int:
        """Newcomers of the day at the quietest of `nodes`."""
        if self._newcomers.turn(now_ms):
            self._met.clear()
        return self._newcomers.least(nodes)

    def meet(self, account: bytes, nodes: Sequence[bytes], first_ms: int, now_ms: int) -> None:
        """Count an account whom `nodes` host if it was first seen on this day, once."""
        if self._newcomers.turn(now_ms):
            self._met.clear()
        if first_ms // DAY_MS != now_ms // DAY_MS or account in self._met:
            return
        self._met[account] = None
        if len(self._met) > NEWCOMERS_MAX:
            self._met.popitem(last=False)
        self._newcomers.count(nodes)
