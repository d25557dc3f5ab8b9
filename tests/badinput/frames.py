"""Frames that end a link, each with its code; behind it the next link is served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack

from ratoon_protocol.limits import EPOCH_MS
from tests.badinput.asked import Asked

ID = bytes(range(32))


def frame(*fields: Any) -> bytes:
    return bytes(msgpack.packb(list(fields)))


def compare(message: bytes, number: int = 1, scope: int = 0) -> bytes:
    """A reconciliation that begins with `message`."""
    return frame(13, number, scope, None, 0, message)


def _shapes() -> Iterator[tuple[str, bytes, str]]:
    item = [b"", b"", None, "withheld"]
    yield "an empty frame", b"", "bad_frame"
    yield "a frame that is nil", b"\xc0", "bad_frame"
    yield "a frame that is a map", b"\x81\x01\x01", "bad_frame"
    yield "a frame of nothing", b"\x90", "bad_frame"
    yield "a frame cut short", frame(5, 1)[:-1], "bad_frame"
    yield "a frame and a byte", frame(5, 1) + b"\0", "bad_frame"
    yield "a frame in a longer spelling", b"\xdc\x00\x02\x05\x01", "bad_frame"
    yield "a frame with a float", frame(5, 1.0), "bad_frame"
    yield "a frame with infinity", frame(5, float("inf")), "bad_frame"
    yield "a frame with true", frame(5, True), "bad_frame"
    yield "a frame five deep", frame(5, [[[[[1]]]]]), "bad_frame"
    yield "a frame 10,000 deep", b"\x91" * 10_000 + b"\xc0", "bad_frame"
    yield "a frame that claims 4 G", b"\xdd\xff\xff\xff\xff", "bad_frame"
    yield "a frame of a later type", frame(99), "bad_frame"
    yield "a frame typed by a word", frame("push"), "bad_frame"
    yield "a ping below nought", frame(5, -1), "bad_frame"
    yield "a ping of 2^60", frame(5, 2**60), "bad_frame"
    yield "a push of two fields", frame(7, 0), "bad_frame"
    yield "a push of a text", frame(7, 0, 0, ["x"], []), "bad_frame"
    yield "an item of three parts", frame(7, 0, 0, [[b"", b"", b""]], []), "bad_frame"
    yield (
        "an item with a text for its header",
        frame(7, 0, 0, [["", b"", b"", None]], []),
        ("bad_frame"),
    )
    yield (
        "an item with payload and code",
        frame(7, 0, 0, [[b"", b"", b"", "gone"]], []),
        ("bad_frame"),
    )
    yield "a code of 33 bytes", frame(4, "x" * 33), "bad_frame"
    yield "a code of nothing", frame(4, ""), "bad_frame"
    yield "513 items", frame(7, 0, 0, [item] * 513, []), "too_many"
    yield "half an id", frame(8, ID[:16]), "bad_frame"
    yield "an offer of nothing", frame(8, b""), "bad_frame"
    yield "an offer of 1,025", frame(8, b"".join(at.to_bytes(32) for at in range(1025))), "too_many"
    yield "an ack of nothing", frame(10, []), "bad_frame"
    yield "a chain of a fifth lane", frame(11, 1, ID, ID, 4, 1, b"", 1), "bad_frame"
    yield "a chain from nought", frame(11, 1, ID, ID, 0, 0, b"", 1), "bad_frame"
    yield "a chain of 1,025 headers", frame(11, 1, ID, ID, 0, 1, b"", 1025), "bad_frame"
    yield "a search by a third way", frame(12, 1, 2, ID), "bad_frame"
    yield "a search for half an account", frame(12, 1, 0, ID[:16]), "bad_frame"
    yield "a receipt of nothing", frame(15, 0, []), "bad_frame"
    yield "a challenge of 15 bytes", frame(16, bytes(15), ID), "bad_frame"
    yield "sixty-five nodes", frame(18, [b"x"] * 65), "too_many"
    yield "no nodes at all", frame(18, []), "bad_frame"
    yield "a node of 2 KiB and more", frame(18, [bytes(2049)]), "too_large"


def _turns() -> Iterator[tuple[str, bytes, str]]:
    good = [b"a header", bytes(64), b"payload", None]
    yield "a second introduction", frame(1, [b"x"], b"x", ID, bytes(64)), "unexpected_frame"
    yield (
        "a second hello",
        frame(2, 1, b"ratoon\0\1", "all", 0, ID, ID, EPOCH_MS, [0, 0, 0]),
        "unexpected_frame",
    )
    yield "nodes that do not ascend", frame(3, ID + bytes(32)), "bad_frame"
    yield "an answer to nothing", frame(7, 9, 1, [good], []), "unexpected_frame"
    yield "a pong to nothing of 2^60", frame(6, 2**60), "bad_frame"
    yield "one item twice", frame(7, 0, 0, [good, good], []), "unexpected_frame"
    yield "a push that is the last", frame(7, 0, 1, [good], []), "bad_frame"
    yield "what is absent of nothing", frame(7, 0, 0, [], [["gone", ID]]), "bad_frame"
    yield "a request numbered nought", frame(9, 0, ID), "bad_frame"
    yield "an answer to no challenge", frame(17, bytes(16), ID, ID), "unexpected_frame"


def _sets() -> Iterator[tuple[str, bytes, str]]:
    ended = b"\x00\x00"
    rows = {
        "a comparison of nothing": b"",
        "a message of another protocol": b"\x00",
        "a comparison cut in a bound": b"\x61\x80",
        "a varint of eleven bytes": b"\x61" + b"\x80" * 10 + b"\x01" + b"\x00\x00",
        "a varint with a leading nought": b"\x61\x80\x01\x00\x00",
        "a prefix of 33 bytes": b"\x61\x01\x21" + bytes(33) + b"\x00",
        "a prefix that is not there": b"\x61\x01\x20" + bytes(5),
        "a list longer than the message": b"\x61\x00\x00\x02\x8f\xff\x7f",
        "a list of half an id": b"\x61\x00\x00\x02\x01" + bytes(16),
        "a fourth mode": b"\x61\x00\x00\x03",
        "half a fingerprint": b"\x61\x00\x00\x01" + bytes(8),
        "a bound behind infinity": b"\x61" + ended + b"\x00" + b"\x01\x00\x00",
        "bounds that descend": b"\x61\x02\x01\xff\x00\x01\x01\x01\x00",
        "a second of 2^64": b"\x61\x82\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00",
        "4,097 ranges": b"\x61" + b"\x02\x00\x00" * 4097,
    }
    for name, message in rows.items():
        yield name, compare(message), "bad_frame" if not message else "sync_malformed"
    yield "a comparison with the other side's number", compare(b"\x61", 2), "unexpected_frame"
    yield "a comparison of a sixth scope", compare(b"\x61", 1, 5), "bad_frame"
    yield "a comparison of nobody's private records", compare(b"\x61", 1, 3), "bad_frame"
    account = frame(13, 1, 0, ID, 0, b"\x61")
    yield "a comparison of somebody's log", account, "bad_frame"
    yield "a comparison above 60,000 bytes", compare(bytes(60_001)), "too_large"
    yield "an end of no comparison", frame(14, 0, None), "bad_frame"


def link_cases() -> list[Asked]:
    """Every frame, as one that ends the link."""
    return [
        Asked(name, "link", [data], code, True)
        for maker in (_shapes, _turns, _sets)
        for name, data, code in maker()
    ] + [
        Asked("a frame of 200,000 bytes", "link", [bytes(200_000)], "too_large", True),
        Asked("a ping behind a ping", "link", [frame(5, 1)] * 2, "unexpected_frame", True),
    ]
