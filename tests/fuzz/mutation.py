"""Changes to inputs: of bytes as they stand, and of MessagePack value by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgpack

# Numbers at which programs go wrong: borders of widths, and of what the protocol allows.
BORDERS: tuple[int, ...] = (
    *(0, 1, 2, 31, 32, 63, 64, 127, 128, 255, 256, 1023, 1024, 65535, 65536, 1_577_836_800_000),
    *(2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**63, 2**64 - 1),
)
# Lengths that keys, ids, salts, slots, signatures and networks have, and their neighbours.
LENGTHS = (0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 256, 257)
SIGNS = (
    'aZ0 .-_/@#:*"\\\0\n\t\x7f\x85\xa0éßǅİ\u0301\u0345\u200b\u202e\ue000\ufeffｗ。一ก👍🏽\U000e0101'
)


def bytewise(data: bytes, random: Random, words: Sequence[bytes] = ()) -> bytes:
    """A few changes to bytes, whatever they mean."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        random.choice(_CHANGES)(found, random)
        if words and random.random() < 0.2:
            at = random.randrange(len(found) + 1)
            found[at : at + random.choice((0, 0, 4))] = random.choice(words)
    return bytes(found)


def _flip(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _put(data: bytearray, random: Random) -> None:
    if data:
        data[random.randrange(len(data))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, 0xC0, 0x93))


def _insert(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    data[at:at] = random.randbytes(random.choice((1, 1, 2, 4, 16)))


def _delete(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    del data[at : at + random.choice((1, 1, 2, 4, 16, 64))]


def _repeat(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    part = data[at : at + random.choice((1, 2, 8, 40))]
    data[at:at] = part * random.choice((1, 1, 2, 9))


def _move(data: bytearray, random: Random) -> None:
    at, to = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
    part = data[at : at + random.choice((1, 4, 32))]
    data[to : to + len(part)] = part


def _end(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data) + 1) :]


_CHANGES: tuple[Callable[[bytearray, Random], None], ...] = (
    _flip, _flip, _put, _put, _insert, _delete, _repeat, _move, _end,
)  # fmt: skip


# ------------------------------------------------------------------------------- value by value
def unpack(data: bytes) -> Any:
    """The value of MessagePack bytes, or None where they are none."""
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None


def pack(value: Any) -> bytes:
    """The bytes of any value, surrogates too; maps stay in their order."""
    return bytes(msgpack.packb(value, use_bin_type=True, unicode_errors="surrogatepass"))


def valuewise(data: bytes, random: Random) -> bytes:
    """One or two values changed, in whatever depth; sometimes bytes as they stand."""
    value = unpack(data)
    if value is None or random.random() < 0.2:
        return bytewise(data, random)
    for _ in range(random.choice((1, 1, 2))):
        value = changed(value, random)
    try:
        return pack(value)
    except (ValueError, TypeError, OverflowError, msgpack.PackException):
        return bytewise(data, random)


def changed(value: Any, random: Random) -> Any:
    """`value` with one thing in it changed. Bytes that hold a value are gone into."""
    if isinstance(value, list) and value and random.random() < 0.85:
        return _changed_list(value, random)
    if isinstance(value, dict) and value and random.random() < 0.85:
        return _changed_map(value, random)
    if isinstance(value, bytes) and len(value) > 2 and random.random() < 0.7:
        inner = unpack(value)
        if isinstance(inner, list | dict):
            return pack(changed(inner, random))
    if random.random() < 0.1:
        return random.choice((None, 0, b"", "", [], {}, [[]], True, -1, 1.5))
    return _CHANGED.get(type(value), _left)(value, random)


def _changed_list(value: list[Any], random: Random) -> list[Any]:
    found, at = list(value), random.randrange(len(value))
    match random.randrange(8):
        case 0:
            del found[at]
        case 1:
            found.insert(at, found[random.randrange(len(found))])
        case 2:
            other = random.randrange(len(found))
            found[at], found[other] = found[other], found[at]
        case 3 if len(found) < 40:
            found *= random.choice((2, 2, 9))
        case _:
            found[at] = changed(found[at], random)
    return found


def _changed_map(value: dict[Any, Any], random: Random) -> dict[Any, Any]:
    found, key = dict(value), random.choice(list(value))
    match random.randrange(6):
        case 0:
            del found[key]
        case 1:
            found[random.choice(("", "a", "zz", "slot_salt", "target", "vanish", "é"))] = 1
        case 2:
            found[key] = found[random.choice(list(value))]
        case _:
            found[key] = changed(found[key], random)
    if random.random() < 0.9 and all(isinstance(name, str) for name in found):
        return dict(sorted(found.items()))
    return found


def _changed_int(value: int, random: Random) -> int:
    return random.choice(
        (value + 1, max(0, value - 1), value ^ 1 << random.randrange(16), *BORDERS)
    )


def _changed_bytes(value: bytes, random: Random) -> bytes:
    if random.random() < 0.3:
        length = random.choice(LENGTHS)
        return value[:length].ljust(length, b"\0")
    return bytewise(value, random)


def _changed_text(value: str, random: Random) -> str:
    at = random.randrange(len(value) + 1)
    more = random.choice(SIGNS) * random.choice((1, 1, 1, 2, 9, 300))
    return value[:at] + more + value[at + random.choice((0, 0, 1, 4)) :]


def _left(value: Any, random: Random) -> Any:
    return random.choice((value, 0, b"", ""))


_CHANGED: dict[type, Callable[[Any, Random], Any]] = {
    int: _changed_int,
    bytes: _changed_bytes,
    str: _changed_text,
}
