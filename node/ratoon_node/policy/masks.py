"""Rules as bits: one look-up a condition answers it for all rules at once.

Bit n stands for the n-th rule of the compiled order. Each dimension turns one fact of a record
into the rules that this fact does not exclude; the rules that fire are the AND of all dimensions.
So a record costs the number of dimensions, not of rules.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from ratoon_node.policy.imagehash import NearIndex
from ratoon_node.policy.patterns import PatternSet
from ratoon_node.policy.phrases import PhraseIndex


def bits(numbers: Iterable[int]) -> int:
    """The mask with the given bits."""
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


class Values:
    """Conditions that name the values they want: a rule is out if none of its values is there."""

    def __init__(self, wanted: Sequence[Iterable[Hashable]]) -> None:
        self.by_value: dict[Any, int] = {}
        self.free = bits(n for n, values in enumerate(wanted) if not values)
        for number, values in enumerate(wanted):
            for value in values:
                self.by_value[value] = self.by_value.get(value, 0) | 1 << number

    def one(self, value: Any) -> int:
        """The rules not excluded when `value` is the only one."""
        return self.free | self.by_value.get(value, 0)

    def any(self, values: Iterable[Any]) -> int:
        """The rules not excluded when all of `values` are there."""
        mask = self.free
        for value in values:
            mask |= self.by_value.get(value, 0)
        return mask


class Bounds:
    """Conditions that a number is at least (`lowest`), or else at most, what the rule says."""

    def __init__(self, limits: Sequence[int | None], lowest: bool) -> None:
        free = bits(n for n, limit in enumerate(limits) if limit is None)
        self._steps = sorted({limit for limit in limits if limit is not None})
        self._bisect: Callable[[list[int], int], int] = bisect_right if lowest else bisect_left
        self._masks = []
        for place in range(len(self._steps) + 1):
            met = set(self._steps[:place] if lowest else self._steps[place:])
            self._masks.append(free | bits(n for n, limit in enumerate(limits) if limit in met))

    def at(self, number: int) -> int:
        """The rules not excluded by `number`."""
        return self._masks[self._bisect(self._steps, number)]


class Flags:
    """Conditions that something is so, or is not so."""

    def __init__(self, wanted: Sequence[bool | None]) -> None:
        self._masks = [
            bits(n for n, want in enumerate(wanted) if want is None or want is truth)
            for truth in (False, True)
        ]

    def at(self, truth: bool) -> int:
        """The rules not excluded by `truth`."""
        return self._masks[truth]


class Words:
    """Words and phrases of all rules in one index."""

    def __init__(self, wanted: Sequence[Iterable[tuple[str, ...]]]) -> None:
        values = Values(wanted)
        self._free = values.free
        self._index = PhraseIndex(values.by_value)

    def at(self, tokens: Sequence[str]) -> int:
        """The rules not excluded by a text of these tokens."""
        mask = self._free
        for hit in self._index.find(tokens):
            mask |= hit.value
        return mask


class Patterns:
    """All patterns in one set."""

    def __init__(self, wanted: Sequence[Iterable[str]]) -> None:
        values = Values(wanted)
        self._free = values.free
        self._masks = list(values.by_value.values())
        self._set = PatternSet(list(values.by_value))

    def at(self, texts: Iterable[str]) -> int:
        """The rules not excluded by these texts."""
        mask = self._free
        for text in texts:
            for number in self._set.found(text):
                mask |= self._masks[number]
        return mask


class Near:
    """Perceptual hashes, each with its distance, of all rules in one index."""

    def __init__(self, wanted: Sequence[Iterable[tuple[int, int]]]) -> None:
        values = Values(wanted)
        self._free = values.free
        self._index: NearIndex[int] = NearIndex(
            (*near, mask) for near, mask in values.by_value.items()
        )

    def at(self, hashes: Iterable[int]) -> int:
        """The rules not excluded by pictures of these hashes."""
        mask = self._free
        for found in hashes:
            for hit in self._index.find(found):
                mask |= hit
        return mask
