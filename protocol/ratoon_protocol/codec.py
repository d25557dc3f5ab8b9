"""MessagePack with one spelling (R-10 to R-16).

`decode` accepts `x` only if encoding what it decoded gives `x` again. Values are integers
0 … 2^53-1, byte strings, text, lists, maps with ASCII keys in bytewise order, and nil.
"""

from __future__ import annotations

from typing import Any

import msgpack

from ratoon_protocol.errors import Code, DecodeError, UsageError
from ratoon_protocol.limits import DEPTH_MAX, INT_MAX, ITEMS_MAX

#: What a decoded value is made of; narrowing is the reader's business.
Value = Any


def encode(value: Value) -> bytes:
    """The one spelling of `value`; map keys are put in order.

    Raises `UsageError` for a value the protocol does not know (a float, a negative number,
    too deep): that is a bug on this side, never a peer's fault.
    """
    try:
        ordered = _ordered(value)
        _check(ordered, DEPTH_MAX)
        return bytes(msgpack.packb(ordered, use_bin_type=True))
    except (DecodeError, TypeError, UnicodeEncodeError) as error:
        # TypeError: map keys that have no order; UnicodeEncodeError: half a surrogate pair
        raise UsageError(f"cannot encode: {error}") from error


def decode(data: bytes, depth_max: int = DEPTH_MAX) -> Value:
    """The value that `data` spells, or `DecodeError` with the first reason found.

    Codes: `empty`, `malformed`, `trailing`, `too_deep`, `bad_utf8`, `bad_type`, `bad_text`,
    `out_of_range`, `too_many`, `non_canonical`.
    """
    value = _unpack(data)
    _check(value, depth_max)
    if msgpack.packb(value, use_bin_type=True) != data:
        raise DecodeError(Code.NON_CANONICAL)
    return value


def decode_known(data: bytes) -> Value:
    """The value in bytes that `decode` took before: nothing is looked at again.

    Only for bytes whose hash shows that they are still the same.
    """
    return msgpack.unpackb(data, raw=False)


def _unpack(data: bytes) -> Value:
    if not data:
        raise DecodeError(Code.EMPTY)
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False)
    except msgpack.ExtraData as error:
        raise DecodeError(Code.TRAILING) from error
    except msgpack.StackError as error:
        raise DecodeError(Code.TOO_DEEP) from error
    except UnicodeDecodeError as error:
        raise DecodeError(Code.BAD_UTF8) from error
    except TypeError as error:  # a list or map used as a map key
        raise DecodeError(Code.BAD_TYPE) from error
    except (ValueError, msgpack.UnpackException, OverflowError) as error:
        raise DecodeError(Code.MALFORMED) from error


# What has no range and nothing below it.
_PLAIN = frozenset({bytes, type(None)})


def _check(value: Value, depth_max: int) -> None:
    """Types, ranges and depth, level by level: no recursion, so no input can exhaust the stack."""
    level: list[Value] = [value]
    depth = 0
    while level and not _PLAIN.issuperset(map(type, level)):
        below: list[Value] = []
        for item in level:
            kind = type(item)
            if kind is bytes or item is None:  # most of what there is
                continue
            if kind is int:
                if not 0 <= item <= INT_MAX:
                    raise DecodeError(Code.OUT_OF_RANGE)
            elif kind is str:
                if "\x00" in item:
                    raise DecodeError(Code.BAD_TEXT)
            elif kind is list:
                _check_size(len(item))
                below.extend(item)
                below.append(None)  # so that an empty list still counts as a level
            elif kind is dict:
                _check_size(len(item))
                _check_keys(item)
                below.extend(item.values())
                below.append(None)
            else:
                raise DecodeError(Code.BAD_TYPE, kind.__name__)
        if below:
            depth += 1
            if depth > depth_max:
                raise DecodeError(Code.TOO_DEEP)
        level = below


def _check_size(count: int) -> None:
    if count > ITEMS_MAX:
        raise DecodeError(Code.TOO_MANY)


def _check_keys(mapping: dict[Value, Value]) -> None:
    last = ""
    for key in mapping:
        if type(key) is not str:
            raise DecodeError(Code.BAD_TYPE, "map key")
        if not key.isascii():
            raise DecodeError(Code.NON_CANONICAL, "map key is not ASCII")
        if key <= last:
            raise DecodeError(Code.NON_CANONICAL, "map keys out of order")
        if "\x00" in key:
            raise DecodeError(Code.BAD_TEXT)
        last = key


def _ordered(value: Value, depth: int = 0) -> Value:
    if depth > DEPTH_MAX:
        raise UsageError("cannot encode: too deep")
    if isinstance(value, dict):
        return {key: _ordered(value[key], depth + 1) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_ordered(item, depth + 1) for item in value]
    return value
