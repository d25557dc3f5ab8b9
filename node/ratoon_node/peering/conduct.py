"""What follows from what a peer does wrong: its link ends, and it has to wait for the next one.

Faults are things that no honest node does, whatever its policy: a payload that its author never
signed, a record that does not decode, ids offered that cannot be delivered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from ratoon_node.runtime import Clock
from ratoon_protocol.errors import TRANSIENT, Code
from ratoon_protocol.introduction import Side
from ratoon_protocol.reconcile import Turn

# Faults on one link that end it: a broken disk has a few, a liar one a record.
FAULTS_MAX = 32
# The first pause after a link ended for the peer's fault, then doubling.
PAUSE_MS = 60_000
PAUSE_MS_MAX = 86_400_000
# The same after a peer has let go of a link for one that this node did not make.
YIELD_MS = 5000
YIELD_MS_MAX = 3_600_000
# Nodes whose pauses are remembered; a node account costs a signature, so the oldest give way.
PAUSED_MAX = 4096
# Time to work on reconciliation messages of one peer out of every ten seconds.
RECONCILE_CPU_MS_MAX = 2000
RECONCILE_PERIOD_MS = 10_000
# One link in so many is kept for nodes that this one dials: strangers who come by the dozen must
# not cut it off from those it chose.
DIALLED_SHARE = 4
# What strangers may have at once of what they may have in a while.
PACE_BURST_MS = 1000
# Ids whose time has not come.
DEFERRED_MAX = 65_536
#: Refusals that are this node's own trouble.
_OURS = frozenset({Code.SHUTDOWN, Code.INTERNAL})
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000


class Conduct:
    """Nodes that misbehaved, and until when nobody links with them."""

    def __init__(
        self, clock: Clock, pause_ms: int = PAUSE_MS, pause_ms_max: int = PAUSE_MS_MAX
    ) -> None:
        self._clock = clock
        self._pause_ms = pause_ms
        self._pause_ms_max = pause_ms_max
        self._pauses: OrderedDict[bytes, tuple[int, int]] = OrderedDict()

    def paused(self, node: bytes) -> bool:
        """Whether the node has to wait."""
        until_ms, _ = self._pauses.get(node, (0, 0))
        return self._clock.monotonic_ms() < until_ms

    def pause(self, node: bytes) -> None:
        """A link ended for the node's fault: each time it waits twice as long."""
        now_ms = self._clock.monotonic_ms()
        until_ms, last_ms = self._pauses.pop(node, (0, 0))
        calm = now_ms - until_ms > self._pause_ms_max
        pause_ms = self._pause_ms if calm or not last_ms else min(2 * last_ms, self._pause_ms_max)
        self._pauses[node] = (now_ms + pause_ms, pause_ms)
        if len(self._pauses) > PAUSED_MAX:
            self._pauses.popitem(last=False)


class Deferred:
    """Ids that were refused for now, so that they are not fetched again before it can help."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[bytes, int] = OrderedDict()

    def note(self, id_: bytes, code: Code) -> None:
        """A record was refused; only `rate`, `future` and `unsupported` say when to come back."""
        now_ms = self._clock.now_ms()
        until_ms = {
            Code.RATE: now_ms - now_ms % _DAY_MS + _DAY_MS,
            Code.FUTURE: now_ms + _MINUTE_MS,
            Code.UNSUPPORTED: now_ms + _DAY_MS,
        }.get(code)
        if until_ms is None:
            return
        self._until[id_] = until_ms
        if len(self._until) > DEFERRED_MAX:
            self._until.popitem(last=False)

    def due(self, ids: Iterable[bytes]) -> list[bytes]:
        """Those of `ids` that may be asked for."""
        if not self._until:
            return list(ids)
        now_ms = self._clock.now_ms()
        return [id_ for id_ in ids if self._until.get(id_, 0) <= now_ms]


def is_fault(id_: bytes | None, code: Code, peer_fault: bool) -> bool:
    """Whether an outcome is to the sender's blame: no honest node passes on what is not valid."""
    return peer_fault or (id_ is None and code not in TRANSIENT and code not in _OURS)


def room_for(side: Side, links_max: int) -> int:
    """Links there may be at once for one more to begin from this side."""
    return links_max if side is Side.DIALER else links_max - links_max // DIALLED_SHARE


class Pace:
    """Bytes a second that several links share: each waits until what it was given is paid for, so
    they have equal shares however much each asks for.
    """

    def __init__(self, clock: Clock, bytes_per_s: int) -> None:
        self._clock = clock
        self._bytes_per_s = bytes_per_s
        self._paid_ms = 0

    async def pay(self, size: int) -> None:
        """Return once more may be given to whoever was given `size` bytes; 0 a second: at once."""
        if not self._bytes_per_s:
            return
        now_ms = self._clock.monotonic_ms()
        self._paid_ms = max(self._paid_ms, now_ms) + size * 1000 // self._bytes_per_s
        if self._paid_ms - now_ms > PACE_BURST_MS:
            await self._clock.sleep_ms(self._paid_ms - now_ms - PACE_BURST_MS)


class Budget:
    """Time that comparisons for one peer may take of this node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._period_ms = 0
        self._spent_ms = 0

    async def work(self, turn: Turn) -> None:
        """Do what a message asks for, a slice at a time: in between everybody else has a turn,
        however many ranges a peer sends. Raises `SyncError`.
        """
        done = False
        while not done:
            started_ms = self._clock.monotonic_ms()
            done = turn.work()
            await self.pay(started_ms)

    async def pay(self, started_ms: int) -> None:
        """Return once the peer may have more done for it than what was done since then."""
        now_ms = self._clock.monotonic_ms()
        await self._clock.sleep_ms(self._spend(now_ms, now_ms - started_ms))

    def _spend(self, now_ms: int, cost_ms: int) -> int:
        """Note work done for the peer; how long it has to wait for more."""
        if now_ms - self._period_ms >= RECONCILE_PERIOD_MS:
            self._period_ms, self._spent_ms = now_ms, 0
        self._spent_ms += cost_ms
        over = self._spent_ms > RECONCILE_CPU_MS_MAX
        return self._period_ms + RECONCILE_PERIOD_MS - now_ms if over else 0
