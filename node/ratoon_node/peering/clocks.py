"""Whether this node's clock can be believed, as its peers' clocks tell (R-75).

A record signed with a wrong time is refused by others or outlives what it should not, so a node
that is far off signs nothing until it is put right.
"""

from __future__ import annotations

from statistics import median_high, median_low

import structlog

from ratoon_node.runtime import Clock
from ratoon_node.telemetry import Metrics

# Off the median by more is reported.
SKEW_REPORTED_MS = 120_000
# Off by more, a node does not sign.
SKEW_SIGNING_MS_MAX = 600_000
# One peer may be the one that is wrong: so many must agree before signing stops. With fewer a node
# signs on, but not far ahead of what it knows: chains cannot go back to an earlier time.
WITNESSES_MIN = 2
# Peers whose clocks are remembered.
WITNESSES_MAX = 256

log = structlog.get_logger()


class Clocks:
    """The clocks of peers, as told at handshakes; compared with ours as it is now."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        # A peer's time of day less our monotonic clock, so that our own clock may be put right.
        self._days: dict[bytes, int] = {}

    def heard(self, node: bytes, skew_ms: int) -> None:
        """At a handshake a peer's time of day was `skew_ms` ahead of ours."""
        self._days.pop(node, None)
        self._days[node] = skew_ms + self._clock.now_ms() - self._clock.monotonic_ms()
        if len(self._days) > WITNESSES_MAX:
            del self._days[next(iter(self._days))]
        self.report()

    def skew_ms(self) -> int:
        """How far the median of the peers is ahead of this node's clock now; 0 without peers.

        Of an even number it is the nearer of the two in the middle: half of them bears this node
        out, so one of two that is wrong stops nobody.
        """
        return min(self._middle(), key=abs, default=0)

    def sound(self) -> bool:
        """Whether this node may sign with its clock."""
        few = len(self._days) < WITNESSES_MIN
        return few or abs(self.skew_ms()) <= SKEW_SIGNING_MS_MAX

    def latest_ms(self) -> int | None:
        """The latest time to sign with as far as peers can tell; None if none was heard.

        One that is wrong or lies cannot stop this node: at worst it dates its records too early.
        """
        if not self._days:
            return None
        return self._clock.now_ms() + min(self._middle()) + SKEW_SIGNING_MS_MAX

    def _middle(self) -> list[int]:
        """How far the peers in the middle are ahead: one or two of them, none without peers."""
        if not self._days:
            return []
        own = self._clock.now_ms() - self._clock.monotonic_ms()
        days = self._days.values()
        return [median_low(days) - own, median_high(days) - own]

    def report(self) -> None:
        """Say so if the clock is off."""
        skew_ms = self.skew_ms()
        self._metrics.clock_skew_seconds.set(skew_ms / 1000)
        if not self.sound():
            log.error("clock_wrong", skew_ms=skew_ms, signing=False)
        elif abs(skew_ms) > SKEW_REPORTED_MS:
            log.warning("clock_off", skew_ms=skew_ms, signing=True)
