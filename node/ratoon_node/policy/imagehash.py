"""Pictures that look alike: a 64-bit perceptual hash, and look-up of hashes within a distance.

The hash keeps the coarse waves of a picture (the 8 × 8 lowest of a discrete cosine transform of
32 × 32 grey values), each as one bit: stronger than the middle one or not. Scaling, recompression
and small changes of light flip few bits. Whoever decodes media feeds it; nothing here opens a file.

PDQ hashes (256 bits, github.com/facebook/ThreatExchange) are read and looked up the same way;
making them needs a package that the node does not depend on.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, combinations
from math import cos, pi
from statistics import median
from typing import Generic, TypeVar

V = TypeVar("V")

#: Rows and columns of the grey values that are hashed.
SIDE = 32
HASH_BITS = 64
PDQ_BITS = 256
# Two pictures that have nothing in common differ in 32 of 64 bits; at 10 one in 10^8 pairs meets.
DISTANCE_MAX = 10
# What those who made PDQ recommend.
PDQ_DISTANCE_MAX = 31

_WAVES = 8
_COSINES = [
    [cos(pi * wave * (2 * place + 1) / (2 * SIDE)) for place in range(SIDE)]
    for wave in range(_WAVES)
]
_BAND_BITS = 16
_BANDS = 1 << _BAND_BITS
# So few are compared one by one in less time than the bands are asked.
_FEW = 128


def picture_hash(grey: Sequence[Sequence[float]]) -> int:
    """The 64-bit hash of a picture as `SIDE` rows of `SIDE` grey values of any one scale.

    Raises `ValueError` for another shape.
    """
    if len(grey) != SIDE or any(len(row) != SIDE for row in grey):
        raise ValueError(f"must be {SIDE} rows of {SIDE} values")
    rows = [[_dot(cosines, row) for cosines in _COSINES] for row in grey]
    columns = list(zip(*rows, strict=True))
    waves = [_dot(cosines, column) for cosines in _COSINES for column in columns]
    middle = median(waves[1:])  # the first is the picture's brightness
    return sum(1 << place for place, wave in enumerate(waves) if wave > middle)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def distance(one: int, other: int) -> int:
    """In how many bits two hashes differ."""
    return (one ^ other).bit_count()


def parse_hash(text: str, bits: int = HASH_BITS) -> int:
    """A hash from its hexadecimal digits (16, or 64 for PDQ). Raises `ValueError`."""
    if not re.fullmatch(rf"[0-9a-fA-F]{{{bits // 4}}}", text):
        raise ValueError(f"must be {bits // 4} hexadecimal digits")
    return int(text, 16)


class NearIndex(Generic[V]):
    """Hashes of `bits` bits, each with a distance and a value; at a cost that hardly grows.

    A hash is cut into bands of 16 bits. Two that differ in at most d bits differ in at most
    d / bands bits in some band, so only those are compared whose band is so near.
    """

    def __init__(self, entries: Iterable[tuple[int, int, V]], bits: int = HASH_BITS) -> None:
        rows = list(entries)
        self._hashes = [row[0] for row in rows]
        self._distances = [row[1] for row in rows]
        self._values = [row[2] for row in rows]
        count = bits // _BAND_BITS if len(rows) > _FEW else 0
        self._shifts = [_BAND_BITS * band for band in range(count)]
        self._bands = [self._band(shift) for shift in self._shifts]
        self._flips = list(_flips(max(self._distances) // count)) if count else []

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def _band(self, shift: int) -> tuple[array[int], array[int]]:
        """Where the entries of each value of one band begin, and the entries in that order."""
        keys = [found >> shift & _BANDS - 1 for found in self._hashes]
        counts = [0] * (_BANDS + 1)
        for key in keys:
            counts[key + 1] += 1
        return array("L", accumulate(counts)), array(
            "L", sorted(range(len(keys)), key=keys.__getitem__)
        )

    def find(self, found: int) -> list[V]:
        """The values of all hashes that `found` is near enough to, in their order."""
        hashes, distances = self._hashes, self._distances
        near = [n for n in self._maybe(found) if (hashes[n] ^ found).bit_count() <= distances[n]]
        return [self._values[n] for n in sorted(set(near))]

    def _maybe(self, found: int) -> Iterator[int]:
        if not self._bands:
            yield from range(len(self._hashes))
        for shift, (starts, order) in zip(self._shifts, self._bands, strict=True):
            key = found >> shift & _BANDS - 1
            for flip in self._flips:
                start, end = starts[key ^ flip], starts[(key ^ flip) + 1]
                if start != end:
                    yield from order[start:end]


def _flips(most: int) -> Iterator[int]:
    """Every band value with at most so many bits."""
    for count in range(most + 1):
        for places in combinations(range(_BAND_BITS), count):
            yield sum(1 << place for place in places)
