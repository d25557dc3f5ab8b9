"""Negentropy's variable-length numbers: base 128, most significant digit first, shortest form."""

from __future__ import annotations

_DIGITS = tuple(bytes([digit]) for digit in range(0x80))


def encode_varint(number: int) -> bytes:
    """The one spelling of a number of 0 or more; the high bit says that a digit follows."""
    if number < 0x80:
        return _DIGITS[number]
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    return bytes(reversed(digits))
