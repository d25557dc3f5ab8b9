"""One value: three readers agree, and there is one spelling (R-10 to R-16)."""

from __future__ import annotations

from contextlib import suppress

import msgpack

from ratoon_node.api import batch
from ratoon_protocol import codec
from ratoon_protocol.errors import DecodeError
from ratoon_protocol.limits import DEPTH_MAX
from tests.fuzz.mutation import valuewise
from tests.fuzz.target import Target, ask, vector_bytes
from tests.protocol import second_decoder


def depth(value: object) -> int:
    """How deep lists and maps stand in one another; empty ones count."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def run(data: bytes) -> None:
    """Decode; encode again; ask msgpack and the decoder that was written from the text alone."""
    try:
        value = codec.decode(data)
    except DecodeError:
        ask(not _second_accepts(data), "the second decoder accepts it")
    else:
        ask(codec.encode(value) == data, "encoded otherwise")
        ask(codec.decode_known(data) == value, "known bytes read otherwise")
        ask(msgpack.unpackb(data, raw=False) == value, "msgpack reads otherwise")
        ask(second_decoder.decode(data) == value, "the second decoder reads otherwise")
        for most in range(DEPTH_MAX):
            ask(_accepts(data, most) == (depth(value) <= most), f"depth {most}")
    _split(data)


def _second_accepts(data: bytes) -> bool:
    try:
        second_decoder.decode(data)
    except second_decoder.Fault:
        return False
    return True


def _accepts(data: bytes, depth_max: int) -> bool:
    try:
        codec.decode(data, depth_max)
    except DecodeError:
        return False
    return True


def _split(data: bytes) -> None:
    """A batch taken apart without decoding is what decoding gives."""
    with suppress(DecodeError):
        items = batch.split(data)
        ask(msgpack.unpackb(data) == items, "a batch is split otherwise")
        ask(batch.join(items) == data, "a batch is joined otherwise")
    try:
        request, numbered = batch.split_numbered(data)
    except DecodeError:
        return
    ask(msgpack.unpackb(data) == [request, numbered], "a numbered batch is split otherwise")


TARGET = Target(
    "codec",
    run,
    lambda: [*vector_bytes("codec"), batch.join([b"", b"a" * 40]), batch.join([7, [b"item"]])],
    bytes_max=2048,
    mutate=valuewise,
)
