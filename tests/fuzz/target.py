"""What a fuzz target is, and how one byte string steers everything a run does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutation import bytewise

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "protocol" / "vectors"

Mutate = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Target:
    """One way in: `run` takes any bytes and raises where a promise is broken.

    What the code declares to raise is caught inside `run`; anything that comes out is a find.
    `seeds` are inputs that reach far. `words` stand in many inputs. `mutate` knows the shape of
    an input, so that a change gets past the outer checks.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    words: tuple[bytes, ...] = ()
    bytes_max: int = 4096
    mutate: Mutate = bytewise


class Steered(Random):
    """A `Random` whose numbers are the bytes of an input, and zeros behind them.

    So a generator that draws from a `Random` makes what the input says, and a fuzzer that
    changes one byte changes one decision.
    """

    def __new__(cls, data: bytes) -> Steered:
        """Not seeded with the bytes: they are the numbers."""
        return super().__new__(cls)

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether there are bytes left."""
        return self._at < len(self._data)

    def randbytes(self, n: int) -> bytes:
        """The next n bytes as they stand."""
        part = self._data[self._at : self._at + n]
        self._at += n
        return part.ljust(n, b"\0")

    def getrandbits(self, k: int) -> int:
        """The next bytes, as few as hold so many bits."""
        return int.from_bytes(self.randbytes((k + 7) // 8)) & ((1 << k) - 1)

    def random(self) -> float:
        """One byte as a fraction."""
        return self.getrandbits(8) / 256

    def _randbelow(self, n: int) -> int:
        """Without drawing again, so that every decision costs the same bytes."""
        return self.getrandbits(max(1, (n - 1).bit_length())) % n

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.randbytes(max(0, len(self._data) - self._at))

    def chunk(self, most: int = 255) -> bytes:
        """A length, and so many bytes."""
        return self.randbytes(min(self.getrandbits(8 if most < 256 else 16), most))


def vectors(name: str) -> dict[str, Any]:
    """A file of the published vectors."""
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def vector_bytes(name: str, key: str = "bytes") -> Iterator[bytes]:
    """The inputs of a file of vectors."""
    cases = vectors(name)
    for case in (*cases["valid"], *cases["invalid"]):
        if isinstance(case.get(key), str):
            yield bytes.fromhex(case[key])


def ask(holds: object, what: str) -> None:
    """A promise; `assert` would go with `-O`."""
    if not holds:
        raise AssertionError(what)
