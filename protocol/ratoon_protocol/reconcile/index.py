"""The sorted set that reconciliation runs over: flat memory, cheap sums of any range.

Records lie as 40-byte keys (big-endian timestamp, then id) in sorted blocks of at most 256; each
block knows the sum of its ids. A block never changes, another one takes its place: so two sets that
are nearly the same share what they have in common. Sums and counts before each block are kept as
well and rebuilt only from the first block that changed, so appending in time order costs nothing
there. A fingerprint is then the difference of two prefix sums plus two block edges.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice

from ratoon_protocol.errors import UsageError
from ratoon_protocol.reconcile.varint import encode_varint

#: Bytes of an id.
ID_BYTES = 32
#: Bytes of a fingerprint.
FINGERPRINT_BYTES = 16
#: 2^64-1 means infinity on the wire, so no record may carry it.
TIMESTAMP_MAX = 2**64 - 2

_TIMESTAMP_BYTES = 8
_KEY_BYTES = _TIMESTAMP_BYTES + ID_BYTES
# Small enough that one insert moves 10 kB at most, large enough that a block's own bookkeeping
# (about 250 bytes) is one or two bytes a record. A power of two: `_sum_ids` halves it.
_BLOCK_RECORDS = 256
_BLOCK_BYTES = _BLOCK_RECORDS * _KEY_BYTES
# Below it a block looks for a neighbour to join, so that erasing leaves no crumbs.
_SPARSE_BYTES = _BLOCK_BYTES // 4
# A joined block has room to grow before it is split again.
_JOINED_BYTES_MAX = _BLOCK_BYTES * 3 // 4
# Records sorted at a time by `Index.bulk`: bounds what loading needs beyond the index itself.
_CHUNK_RECORDS = 16_384
# From so many keys for one block on it is made anew: below, inserting one by one is cheaper.
_WOVEN_KEYS_MIN = 4
# Up to here the ids of a range are added up; above, two sums of what lies before cost less.
_ADDED_RECORDS_MAX = 128
# Beyond every key that begins with a given one: no timestamp has these bytes.
_BEYOND = b"\xff" * _TIMESTAMP_BYTES

_KEY_BITS = 8 * _KEY_BYTES
_PAIR_BITS = 2 * _KEY_BITS
# The id bits of every second key: what remains between them is room for carries.
_ID_BITS_MASK = sum(
    ((1 << 8 * ID_BYTES) - 1) << (8 * _TIMESTAMP_BYTES + pair * _PAIR_BITS)
    for pair in range(_BLOCK_RECORDS // 2)
)
# Halving steps over the pairs of a full block: (bits of one half, mask of the lower half).
_HALVES = tuple(
    (pairs * _PAIR_BITS, (1 << pairs * _PAIR_BITS) - 1)
    for pairs in (2**power for power in reversed(range((_BLOCK_RECORDS // 2).bit_length() - 1)))
)


def _sum_ids(keys: bytes) -> int:
    """The exact sum of the ids in at most one block of keys, ids read as little-endian numbers.

    All keys are read as one number and its halves added until one is left: a third of the time
    of adding id by id.
    """
    number = int.from_bytes(keys, "little")
    number = (number & _ID_BITS_MASK) + (number >> _KEY_BITS & _ID_BITS_MASK)
    pairs = (len(keys) // _KEY_BYTES + 1) // 2
    for bits, lower_half in _HALVES[len(_HALVES) - (pairs - 1).bit_length() :]:
        number = (number >> bits) + (number & lower_half)
    return number >> 8 * _TIMESTAMP_BYTES


def _key(timestamp_s: int, record_id: bytes) -> bytes:
    if not 0 <= timestamp_s <= TIMESTAMP_MAX:
        raise UsageError(f"timestamp {timestamp_s} is not in 0 … 2^64-2")
    if len(record_id) != ID_BYTES:
        raise UsageError(f"an id has {ID_BYTES} bytes, not {len(record_id)}")
    return timestamp_s.to_bytes(_TIMESTAMP_BYTES, "big") + record_id


def _sorted_keys(items: list[tuple[int, bytes]]) -> list[bytes]:
    """The keys of records, each once, in order. Raises `UsageError` for a wrong shape."""
    try:
        keys = {timestamp_s.to_bytes(_TIMESTAMP_BYTES) + id_ for timestamp_s, id_ in items}
    except OverflowError:
        keys = set()
    # One look at all of them; which one it is that does not fit is found one by one.
    if set(map(len, keys)) != {_KEY_BYTES} or max(keys) >= _BEYOND:
        keys = {_key(timestamp_s, record_id) for timestamp_s, record_id in items}
    return sorted(keys)


def _fingerprint(id_sum: int, count: int) -> bytes:
    total = (id_sum % 2**256).to_bytes(ID_BYTES, "little")
    return sha256(total + encode_varint(count)).digest()[:FINGERPRINT_BYTES]


class Index:
    """A set of (timestamp in seconds since 2020-01-01, 32-byte id), in that order.

    Positions count from 0 in sorted order and hold until the next change. About 45 bytes of
    memory a record. Not for use from several threads at once.
    """

    def __init__(self, items: Iterable[tuple[int, bytes]] = ()) -> None:
        self._blocks: list[bytes] = []
        self._totals: list[int] = []  # sum of the ids of each block
        # Records and sum of ids before each block and, at the end, of everything; valid as far
        # as they reach.
        self._starts: list[int] = [0]
        self._sums: list[int] = [0]
        # The position that was asked for last and the sum before it: ranges come one after the
        # other, so the end of one is the start of the next.
        self._edge = (0, 0)
        self._count = 0
        self.bulk(items)

    def fork(self) -> Index:
        """Another set with the same records, at the cost of a list of blocks; it shares them."""
        twin = Index()
        twin._blocks, twin._totals = list(self._blocks), list(self._totals)
        twin._count = self._count
        return twin

    def __len__(self) -> int:
        return self._count

    def insert(self, timestamp_s: int, record_id: bytes) -> bool:
        """Add a record; False if it was there. Raises `UsageError` for a wrong shape."""
        return self._insert(_key(timestamp_s, record_id))

    def erase(self, timestamp_s: int, record_id: bytes) -> bool:
        """Remove exactly this record; False if it was not there."""
        key = _key(timestamp_s, record_id)
        number, offset = self._find(key)
        if number == len(self._blocks) or not self._blocks[number].startswith(key, offset):
            return False
        block = self._blocks[number]
        block = block[:offset] + block[offset + _KEY_BYTES :]
        self._blocks[number] = block
        self._totals[number] -= _sum_ids(key)
        self._count -= 1
        self._changed(number)
        if len(block) < _SPARSE_BYTES:
            self._tidy(number)
        return True

    def bulk(self, items: Iterable[tuple[int, bytes]]) -> int:
        """Add many records in any order, fastest in sorted order; how many were new."""
        before = self._count
        rest = iter(items)
        while part := list(islice(rest, _CHUNK_RECORDS)):
            keys = _sorted_keys(part)
            last = self._blocks[-1][-_KEY_BYTES:] if self._blocks else b""
            beyond = bisect_right(keys, last)
            self._weave(keys[:beyond])
            self._append(b"".join(keys[beyond:]))
        return self._count - before

    def lower_bound(self, timestamp_s: int, prefix: bytes = b"") -> int:
        """The position of the first record at or after (timestamp, id prefix padded with 0)."""
        number, offset = self._find(timestamp_s.to_bytes(_TIMESTAMP_BYTES, "big") + prefix)
        self._settle()
        return self._starts[number] + offset // _KEY_BYTES

    def fingerprint(self, lower: int, upper: int) -> bytes:
        """The 16-byte Negentropy fingerprint of the positions `lower` up to before `upper`."""
        if not 0 <= lower <= upper <= self._count:
            raise UsageError(f"no range {lower} … {upper} in {self._count} records")
        self._settle()
        return _fingerprint(self._sum(lower, upper), upper - lower)

    def digest(self) -> bytes:
        """The fingerprint of the whole set: equal on two nodes that hold the same records."""
        return self.fingerprint(0, self._count)

    def ids(self, lower: int, upper: int) -> list[bytes]:
        """The ids at the positions `lower` up to before `upper`, in order."""
        return [
            keys[offset + _TIMESTAMP_BYTES : offset + _KEY_BYTES]
            for keys in self._runs(lower, upper)
            for offset in range(0, len(keys), _KEY_BYTES)
        ]

    def items(self, lower: int, upper: int) -> list[tuple[int, bytes]]:
        """The records (timestamp, id) at these positions, in order."""
        return [
            (
                int.from_bytes(keys[offset : offset + _TIMESTAMP_BYTES], "big"),
                keys[offset + _TIMESTAMP_BYTES : offset + _KEY_BYTES],
            )
            for keys in self._runs(lower, upper)
            for offset in range(0, len(keys), _KEY_BYTES)
        ]

    def _find(self, key: bytes) -> tuple[int, int]:
        """Where the first key that is not less begins: (block, byte offset in it).

        A block's bytes begin with its first key, so the blocks themselves compare with a key.
        """
        number = bisect_left(self._blocks, key)
        if number == 0:
            return 0, 0
        block = self._blocks[number - 1]
        low, high = 0, len(block) // _KEY_BYTES
        while low < high:
            middle = (low + high) // 2
            if block[middle * _KEY_BYTES : (middle + 1) * _KEY_BYTES] < key:
                low = middle + 1
            else:
                high = middle
        offset = low * _KEY_BYTES
        return (number, 0) if offset == len(block) else (number - 1, offset)

    def _insert(self, key: bytes) -> bool:
        number, offset = self._find(key)
        if number < len(self._blocks) and self._blocks[number].startswith(key, offset):
            return False
        if offset == 0 and number > 0:
            number, offset = number - 1, len(self._blocks[number - 1])
        if not self._blocks or (number == len(self._blocks) - 1 and offset == _BLOCK_BYTES):
            self._append(key)
            return True
        block = self._blocks[number]
        self._blocks[number] = block = block[:offset] + key + block[offset:]
        self._totals[number] += _sum_ids(key)
        self._count += 1
        self._changed(number)
        if len(block) > _BLOCK_BYTES:
            self._split(number)
        return True

    def _weave(self, keys: list[bytes]) -> None:
        """Add sorted keys none of which lies beyond the last one, a block at a time."""
        at = 0
        while at < len(keys):
            number = max(bisect_right(self._blocks, keys[at] + _BEYOND) - 1, 0)
            end = len(keys)
            if number + 1 < len(self._blocks):
                end = bisect_left(keys, self._blocks[number + 1][:_KEY_BYTES], at)
            self._weave_in(number, keys[at:end])
            at = end

    def _weave_in(self, number: int, keys: list[bytes]) -> None:
        if len(keys) < _WOVEN_KEYS_MIN:
            for key in keys:
                self._insert(key)
            return
        block = self._blocks[number]
        held = [block[at : at + _KEY_BYTES] for at in range(0, len(block), _KEY_BYTES)]
        woven = sorted({*held, *keys})
        size = -(-len(woven) // -(-len(woven) // _BLOCK_RECORDS))
        blocks = [b"".join(woven[at : at + size]) for at in range(0, len(woven), size)]
        self._blocks[number : number + 1] = blocks
        self._totals[number : number + 1] = map(_sum_ids, blocks)
        self._count += len(woven) - len(held)
        self._changed(number)

    def _append(self, keys: bytes) -> None:
        """Add sorted keys that all lie beyond the last one: blocks are filled to the brim."""
        done = 0
        if self._blocks and (room := _BLOCK_BYTES - len(self._blocks[-1])):
            done = min(room, len(keys))
            self._blocks[-1] += keys[:done]
            self._totals[-1] += _sum_ids(keys[:done])
            self._changed(len(self._blocks) - 1)
        for start in range(done, len(keys), _BLOCK_BYTES):
            block = keys[start : start + _BLOCK_BYTES]
            self._blocks.append(block)
            self._totals.append(_sum_ids(block))
        self._count += len(keys) // _KEY_BYTES

    def _split(self, number: int) -> None:
        block = self._blocks[number]
        middle = len(block) // _KEY_BYTES // 2 * _KEY_BYTES
        self._blocks[number : number + 1] = [block[:middle], block[middle:]]
        upper_total = _sum_ids(self._blocks[number + 1])
        self._totals[number] -= upper_total
        self._totals.insert(number + 1, upper_total)

    def _tidy(self, number: int) -> None:
        """Drop an empty block, or join a sparse one with the block before it."""
        before = max(number - 1, 0)
        if not self._blocks[number]:
            del self._blocks[number], self._totals[number]
        elif before < number and (
            len(self._blocks[before]) + len(self._blocks[number]) <= _JOINED_BYTES_MAX
        ):
            self._blocks[before] += self._blocks.pop(number)
            self._totals[before] += self._totals.pop(number)
        self._changed(before)

    def _changed(self, number: int) -> None:
        """What lies before block `number` still holds; the rest is summed when next asked for."""
        del self._starts[number + 1 :], self._sums[number + 1 :]
        self._edge = (0, 0)

    def _settle(self) -> None:
        if len(self._starts) > len(self._blocks):
            return
        for number in range(len(self._starts) - 1, len(self._blocks)):
            self._starts.append(self._starts[-1] + len(self._blocks[number]) // _KEY_BYTES)
            self._sums.append(self._sums[-1] + self._totals[number])

    def _sum(self, lower: int, upper: int) -> int:
        if upper - lower > _ADDED_RECORDS_MAX:
            before = self._sum_before(lower)
            return self._sum_before(upper) - before
        return sum(map(_sum_ids, self._runs(lower, upper)))

    def _sum_before(self, position: int) -> int:
        """The sum of all ids before a position; adds up the shorter side of its block."""
        if position == self._edge[0]:
            return self._edge[1]
        number = bisect_right(self._starts, position) - 1
        found = self._sums[number]
        if number < len(self._blocks):
            block = self._blocks[number]
            offset = (position - self._starts[number]) * _KEY_BYTES
            if offset * 2 <= len(block):
                found += _sum_ids(block[:offset])
            else:
                found = self._sums[number + 1] - _sum_ids(block[offset:])
        self._edge = (position, found)
        return found

    def _runs(self, lower: int, upper: int) -> Iterator[bytes]:
        """The keys at these positions, one run of bytes a block."""
        self._settle()
        upper = min(upper, self._count)
        number = bisect_right(self._starts, lower) - 1
        while lower < upper:
            start, end = self._starts[number], min(self._starts[number + 1], upper)
            first, last = (lower - start) * _KEY_BYTES, (end - start) * _KEY_BYTES
            yield self._blocks[number][first:last]
            lower, number = end, number + 1


class Window:
    """The records of an index whose timestamp is `horizon_s` or later, without a copy.

    It follows the index: what is inserted there later is seen here.
    """

    def __init__(self, index: Index, horizon_s: int = 0) -> None:
        self.index = index
        self.horizon_s = horizon_s

    def __len__(self) -> int:
        return len(self.index) - self.start()

    def start(self) -> int:
        """The position in the index of the first record inside; holds until the next change."""
        return self.index.lower_bound(self.horizon_s)

    def digest(self) -> bytes:
        """The fingerprint of everything inside."""
        return self.index.fingerprint(self.start(), len(self.index))
