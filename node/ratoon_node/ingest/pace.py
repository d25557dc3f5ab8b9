"""How fast the gate is of late, so that what it takes in waits for seconds and not for minutes.

A bound in records alone is two seconds of work on one machine and a minute on a small or busy one:
there whoever publishes would have given up and come again before they are answered.
"""

from __future__ import annotations

import math

# What is taken in is written within this time, if the gate goes on as it did.
WAIT_MS_MAX = 3000
# Taken in however slow it is: a whole commit, which is worth its sync.
ROOM_RECORDS_MIN = 3000
# Smaller commits do not tell how fast large ones are: they cost a sync each.
TELLING_RECORDS_MIN = 250
# So much of what earlier commits told counts beside the newest.
KEPT_SHARE = 0.75


class Pace:
    """Records that were written, and the time that took."""

    def __init__(self) -> None:
        self._records = 0.0
        self._ms = 0.0
        self._written_ms = 0

    def written(self, records: int, came_ms: int, now_ms: int) -> None:
        """A commit of so many records is on disk; the first of them came at `came_ms`."""
        took_ms = now_ms - max(came_ms, self._written_ms)
        self._written_ms = now_ms
        if records >= TELLING_RECORDS_MIN:
            self._records = KEPT_SHARE * self._records + records
            self._ms = KEPT_SHARE * self._ms + took_ms

    @property
    def room(self) -> float:
        """How many records may wait at once; no bound as long as nothing is known."""
        if not self._ms:
            return math.inf
        return max(ROOM_RECORDS_MIN, WAIT_MS_MAX * self._records / self._ms)
