"""A MessagePack array of byte strings taken apart without decoding what is in them.

The count is known from the first bytes, so a batch that is too large costs nothing (R-8); each
item is then judged by itself at the gate, so one bad item does not spoil the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from ratoon_protocol.errors import Code, DecodeError
from ratoon_protocol.limits import BATCH_RECORDS_MAX

# (bytes of the length that follows, smallest number that needs them) by type byte.
_ARRAYS = {0xDC: (2, 16), 0xDD: (4, 1 << 16)}
_BINS = {0xC4: (1, 0), 0xC5: (2, 1 << 8), 0xC6: (4, 1 << 16)}
_INTS = {0xCC: (1, 1 << 7), 0xCD: (2, 1 << 8), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}


def split(data: bytes) -> list[bytes]:
    """The items of an array of byte strings. Raises `DecodeError`: `empty`, `bad_type`,
    `non_canonical`, `too_many` (before any item is looked at), `malformed`, `trailing`.
    """
    items, at = _items(data, 0)
    if at != len(data):
        raise DecodeError(Code.TRAILING)
    return items


def split_numbered(data: bytes) -> tuple[int, list[bytes]]:
    """[request number, [item…]]: a batch on the stream. Raises as `split`."""
    request, at = _request(data)
    items, at = _items(data, at)
    if at != len(data):
        raise DecodeError(Code.TRAILING)
    return request, items


def count(data: bytes) -> int:
    """How many items an array says it has, for whoever may refuse it before any is looked at.
    Raises as `split`.
    """
    return _count(data, 0)[0]


def count_numbered(data: bytes) -> tuple[int, int]:
    """The request number of a batch on the stream, and `count` of its items."""
    request, at = _request(data)
    return request, _count(data, at)[0]


def join(items: Sequence[object]) -> bytes:
    """The array of `items`."""
    return bytes(msgpack.packb(list(items)))


def _request(data: bytes) -> tuple[int, int]:
    """The number before a batch, and where the batch begins."""
    count, at = _array(data, 0)
    if count != 2:
        raise DecodeError(Code.BAD_LENGTH, "message")
    return _int(data, at)


def _count(data: bytes, at: int) -> tuple[int, int]:
    """How many items there are, and where the first begins."""
    count, at = _array(data, at)
    if count > BATCH_RECORDS_MAX:
        raise DecodeError(Code.TOO_MANY)
    return count, at


def _items(data: bytes, at: int) -> tuple[list[bytes], int]:
    count, at = _count(data, at)
    items = []
    for _ in range(count):
        size, begin = _head(data, at, _BINS)
        at = begin + size
        if at > len(data):
            raise DecodeError(Code.MALFORMED)
        items.append(data[begin:at])
    return items, at


def _array(data: bytes, at: int) -> tuple[int, int]:
    if not data:
        raise DecodeError(Code.EMPTY)
    if at < len(data) and data[at] & 0xF0 == 0x90:
        return data[at] & 0x0F, at + 1
    return _head(data, at, _ARRAYS)


def _int(data: bytes, at: int) -> tuple[int, int]:
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    return _head(data, at, _INTS)


def _head(data: bytes, at: int, heads: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The number behind a type byte, and where what follows begins."""
    if at >= len(data):
        raise DecodeError(Code.MALFORMED)
    if data[at] not in heads:
        raise DecodeError(Code.BAD_TYPE)
    width, least = heads[data[at]]
    end = at + 1 + width
    if end > len(data):
        raise DecodeError(Code.MALFORMED)
    value = int.from_bytes(data[at + 1 : end])
    if value < least:
        raise DecodeError(Code.NON_CANONICAL)
    return value, end
