"""A bounded memory of what was used last, that never sorts and never counts uses."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _one(_: object) -> int:
    return 1


class Recent(Generic[K, V]):
    """A mapping that keeps about `cost_max` worth of entries: those that were asked for last.

    Two halves: what is asked for moves to the younger one; when that is full it becomes the older
    one, whose entries are forgotten. Threads share it: reading takes no lock, whoever changes it
    (`keep`, `drop`, `clear`) holds `lock`.
    """

    def __init__(self, cost_max: int, lock: Lock, cost: Callable[[V], int] = _one) -> None:
        self._half = cost_max // 2
        self._lock = lock
        self._cost_of = cost
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        #: What the younger and the older half cost.
        self._costs = (0, 0)

    def get(self, key: K) -> V | None:
        """What is kept under a key, or None."""
        found = self._young.get(key)
        if found is None and key in self._old:
            with self._lock:
                found = self._old.pop(key, None)
                if found is not None:
                    self.keep(key, found)
        return found

    def get_each(self, keys: Iterable[K]) -> list[V | None]:
        """As `get`, for each of some keys; most are among those asked for last."""
        keys = list(keys)
        found = list(map(self._young.get, keys))
        for at, one in enumerate(found):
            if one is None:
                found[at] = self.get(keys[at])
        return found

    def keep(self, key: K, value: V) -> None:
        """Keep a value; the older half is forgotten once the younger one is full."""
        cost = self._cost_of(value)
        young, old = self._costs
        if young + cost > self._half:
            self._old, self._young = self._young, {}
            young, old = 0, young
        self._young[key] = value
        self._costs = (young + cost, old)

    def drop(self, key: K) -> None:
        """Forget one; its cost is counted until its half goes."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old = {}, {}
        self._costs = (0, 0)

    def items(self) -> Iterator[tuple[K, V]]:
        """Everything that is kept."""
        for half in (self._old, self._young):
            yield from list(half.items())

    @property
    def cost(self) -> int:
        """What all of it costs, at most."""
        return sum(self._costs)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
