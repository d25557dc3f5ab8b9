"""The smallest part of a script with which a world still fails in the same way.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002):
halves first, then smaller parts, each left out and each tried alone, while the failure stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.sim.plan import Plan
from tests.sim.simulation import Failed

T = TypeVar("T")

# What a failure may cost to shrink: worlds that are tried, and time for all of them.
TRIALS_MAX = 60
SHRINK_S_MAX = 240


def smallest(items: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """A part of `items` that still fails, and of which no single item can be left out.

    `fails` says so of a part, keeping the order; it may end the search early by saying no.
    """
    kept = list(items)
    if fails([]):
        return []
    parts = 2
    while len(kept) > 1:
        size = -(-len(kept) // parts)
        pieces = [kept[at : at + size] for at in range(0, len(kept), size)]
        alone = next((piece for piece in pieces if fails(piece)), None)
        if alone is not None:
            kept, parts = alone, 2
            continue
        without = [[one for one in kept if one not in piece] for piece in pieces]
        fewer = next((rest for rest in without if len(pieces) > 2 and fails(rest)), None)
        if fewer is not None:
            kept, parts = fewer, max(2, parts - 1)
        elif size == 1:
            break
        else:
            parts = min(len(kept), 2 * parts)
    return kept


class Shrinker:
    """Tries worlds with fewer faults. `run` raises `Failed` for a plan whose world fails."""

    def __init__(
        self,
        failed: Failed,
        run: Callable[[Plan], object],
        trials_max: int = TRIALS_MAX,
        seconds_max: float = SHRINK_S_MAX,
    ) -> None:
        self.best = failed
        self.trials = 0
        self._kind = failed.kind
        self._run = run
        self._trials_max = trials_max
        self._until_s = time.monotonic() + seconds_max

    def shrink(self) -> Failed:
        """The failure of the smallest script that was found."""
        smallest([fault.number for fault in self.best.script], self._fails)
        return self.best

    def _fails(self, numbers: list[int]) -> bool:
        """Whether the world fails in the same way with these faults alone."""
        if self.trials >= self._trials_max or time.monotonic() > self._until_s:
            return False
        self.trials += 1
        try:
            self._run(replace(self.best.plan, only=frozenset(numbers)))
        except Failed as failed:
            if failed.kind == self._kind:
                self.best = failed
                return True
        return False
