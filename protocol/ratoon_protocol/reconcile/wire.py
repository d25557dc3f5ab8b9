"""The bytes of a Negentropy V1 message: ranges read strictly, ranges written as the reference does.

    message := version (0x61) range*
    range   := bound, mode (varint), payload
    bound   := timestamp (varint: 0 = infinity, else 1 + difference to the bound before),
               length (varint), id prefix
    payload := nothing (skip) | 16 bytes (fingerprint) | count (varint), count × 32 bytes (ids)

A range begins where the one before it ended; what no range covers is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from ratoon_protocol.errors import Code, SyncError
from ratoon_protocol.limits import VARINT_BYTES_MAX
from ratoon_protocol.reconcile.index import FINGERPRINT_BYTES, ID_BYTES, TIMESTAMP_MAX
from ratoon_protocol.reconcile.varint import encode_varint

#: Version 1. Other versions of the protocol are 0x60 … 0x6f.
VERSION_BYTE = 0x61
#: The timestamp of a bound beyond every record.
INFINITY_S = TIMESTAMP_MAX + 1
_VERSION_BYTES = range(0x60, 0x70)


class Mode(IntEnum):
    """What a range carries."""

    SKIP = 0
    FINGERPRINT = 1
    ID_LIST = 2


class Bound(NamedTuple):
    """The exclusive upper end of a range; missing bytes of the prefix count as 0."""

    timestamp_s: int
    prefix: bytes


#: The end of every message.
END = Bound(INFINITY_S, b"")


class Range(NamedTuple):
    """A range as read: `payload` is the fingerprint or the ids one after the other."""

    bound: Bound
    mode: Mode
    payload: bytes


def malformed(detail: str) -> SyncError:
    """The error for a message that no honest peer sends."""
    return SyncError(Code.SYNC_MALFORMED, detail)


def read_version(message: bytes) -> int:
    """The version byte of a message; raises `SyncError` (`sync_malformed`) if it is none."""
    if not message or message[0] not in _VERSION_BYTES:
        raise malformed("no protocol version")
    return message[0]


def read_ranges(message: bytes, ranges_max: int | None) -> list[Range]:
    """All ranges of a version 1 message, or `SyncError` (`sync_malformed`).

    Nothing is allocated that the message does not already hold. Bounds may repeat (the reference
    closes a full message with a second bound at infinity) but never descend.
    """
    return list(each_range(message, ranges_max))


def each_range(message: bytes, ranges_max: int | None) -> Iterator[Range]:
    """As `read_ranges`, one after the other; what is wrong is raised where it stands."""
    reader = _Reader(message)
    count = 0
    while reader.offset < len(message):
        if count == ranges_max:
            raise malformed("too many ranges")
        count += 1
        yield reader.read_range()


class _Reader:
    """A place in a message and the bound before it."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self.offset = 1
        self._bound = Bound(0, b"")

    def read_range(self) -> Range:
        bound = self._read_bound()
        mode = self._varint()
        if mode == Mode.SKIP:
            return Range(bound, Mode.SKIP, b"")
        if mode == Mode.FINGERPRINT:
            return Range(bound, Mode.FINGERPRINT, self._take(FINGERPRINT_BYTES))
        if mode == Mode.ID_LIST:
            return Range(bound, Mode.ID_LIST, self._take(self._varint() * ID_BYTES))
        raise malformed("unknown mode")

    def _read_bound(self) -> Bound:
        step = self._varint()
        timestamp_s = self._bound.timestamp_s + step - 1 if step else INFINITY_S
        # Infinity has one spelling, and nothing finite comes after it.
        if step and timestamp_s > TIMESTAMP_MAX:
            raise malformed("timestamp out of range")
        length = self._varint()
        if length > ID_BYTES:
            raise malformed("id prefix too long")
        bound = Bound(timestamp_s, self._take(length))
        if _descends(self._bound, bound):
            raise malformed("bounds descend")
        self._bound = bound
        return bound

    def _varint(self) -> int:
        message, start = self._message, self.offset
        if start < len(message) and message[start] < 0x80:  # most of them
            self.offset = start + 1
            return message[start]
        number = 0
        for offset in range(start, min(start + VARINT_BYTES_MAX, len(message))):
            byte = message[offset]
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                if number > INFINITY_S or message[start] == 0x80:
                    raise malformed("number too large or not in its shortest form")
                self.offset = offset + 1
                return number
        raise malformed("number too long or cut off")

    def _take(self, count: int) -> bytes:
        start = self.offset
        if count > len(self._message) - start:
            raise malformed("message cut off")
        self.offset = start + count
        return self._message[start : self.offset]


def _descends(before: Bound, after: Bound) -> bool:
    return before.timestamp_s == after.timestamp_s and (
        after.prefix.ljust(ID_BYTES, b"\0") < before.prefix.ljust(ID_BYTES, b"\0")
    )


class Writer:
    """A message being written. `ranges` counts what it holds."""

    def __init__(self) -> None:
        self._data = bytearray([VERSION_BYTE])
        self._timestamp_s = 0
        self.ranges = 0

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def skip(self, bound: Bound) -> None:
        """Nothing more to say up to `bound`."""
        self._open(bound, Mode.SKIP)

    def fingerprint(self, bound: Bound, fingerprint: bytes) -> None:
        """What the sender has up to `bound`, as a fingerprint."""
        self._open(bound, Mode.FINGERPRINT)
        self._data += fingerprint

    def id_list(self, bound: Bound, ids: list[bytes]) -> None:
        """All ids the sender has up to `bound`."""
        self._open(bound, Mode.ID_LIST)
        self._data += encode_varint(len(ids)) + b"".join(ids)

    def close_at(self, length: int, ranges: int, fingerprint: bytes) -> None:
        """Cut the message back to `length` and end it with one fingerprint of the rest.

        The bound at infinity does not depend on the ones cut off, so the message stays readable.
        """
        del self._data[length:]
        self.ranges = ranges
        self.fingerprint(END, fingerprint)

    def _open(self, bound: Bound, mode: Mode) -> None:
        if bound.timestamp_s == INFINITY_S:
            step = 0
        else:
            step = bound.timestamp_s - self._timestamp_s + 1
        self._timestamp_s = bound.timestamp_s
        self._data += encode_varint(step) + encode_varint(len(bound.prefix)) + bound.prefix
        self._data.append(mode)
        self.ranges += 1
