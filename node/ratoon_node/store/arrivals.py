"""Records that were just stored, kept in memory for the digest, which looks at them next.

What is here is what the store has: a row that changes, and all of them where a transaction does
not commit, are forgotten, and whoever misses one reads it from the store. Touched by the writer's
thread alone, so it never lags behind the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ratoon_node.store.rows import Bytes, Row
from ratoon_protocol.record import Body
from ratoon_protocol.status import Status

#: What comes while so much waits is not kept.
BYTES_MAX = 16 * 2**20
# A row with its header and its body, read, beside the payload.
_RECORD_BYTES = 2000
# The strongest disposition whose content may be read: limit (see `policy.verdict`).
_READABLE_MAX = 2


class Taken(NamedTuple):
    """A record with its author; `body` where it is known already."""

    row: Row
    account: bytes
    body: Body | None = None

    @property
    def readable(self) -> bool:
        """Whether its content may be read, as far as the record's own row says."""
        return (
            self.row.status is Status.LIVE
            and self.row.bytes_state is Bytes.HERE
            and self.row.disposition <= _READABLE_MAX
        )


class Arrivals:
    """Rows by this store's numbers of them."""

    def __init__(self) -> None:
        self._found: dict[int, Taken] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._found)

    def clear(self) -> None:
        """Forget everything: a transaction did not commit."""
        self._found.clear()
        self._bytes = 0

    def note(self, arrived: Iterable[Taken], changed: Iterable[int]) -> None:
        """What the transaction under way has stored, and the numbers of what it has changed."""
        for n in changed:
            self._drop(n)
        for one in arrived:
            size = _size(one)
            if self._bytes + size > BYTES_MAX:
                return
            self._found[one.row.n] = one
            self._bytes += size

    def take(self, numbers: Iterable[int]) -> dict[int, Taken]:
        """Those of `numbers` that are here. They are let go of: the digest looks at each once."""
        found = map(self._drop, numbers) if self._found else ()
        return {one.row.n: one for one in found if one is not None}

    def _drop(self, n: int) -> Taken | None:
        one = self._found.pop(n, None)
        if one is not None:
            self._bytes -= _size(one)
        return one


def _size(one: Taken) -> int:
    return _RECORD_BYTES + len(one.row.payload or b"")
