"""Makes frames.json: one case a frame of each type, and frames with one fault each.

Bytes are spelt by `spell`, which shares no code with the library and lets a case say what no
encoder would. Values of a valid case stand as the fields of the frame, bytes as {"$bin": hex}.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from tests.protocol.vectors_codec import shown

Case = dict[str, Any]

R_FRAME = "R-73"
R_INTRO = "R-74"
R_HELLO = "R-75"
R_PUSH = "R-76"
R_REQUEST = "R-77"
R_RECONCILE = "R-78"
R_STANDING = "R-79"

NETWORK = b"ratoon\x00\x01"


def spell(value: Any) -> bytes:
    """MessagePack in its shortest form, for the few sorts of values that frames have."""
    if value is None:
        return b"\xc0"
    if isinstance(value, int):
        return _spell_int(value)
    if isinstance(value, bytes):
        return _head(len(value), (0xC4, 0xC5, 0xC6)) + value
    if isinstance(value, str):
        assert len(value) < 256
        short = len(value) < 32
        return (bytes([0xA0 | len(value)]) if short else bytes([0xD9, len(value)])) + value.encode()
    assert isinstance(value, list)
    size = len(value)
    head = bytes([0x90 | size]) if size < 16 else b"\xdc" + size.to_bytes(2, "big")
    return head + b"".join(map(spell, value))


def _spell_int(value: int) -> bytes:
    if value < 128:
        return bytes([value])
    for width, mark in ((1, 0xCC), (2, 0xCD), (4, 0xCE), (8, 0xCF)):
        if value < 256**width:
            return bytes([mark]) + value.to_bytes(width, "big")
    raise AssertionError(value)


def _head(size: int, marks: tuple[int, int, int]) -> bytes:
    for width, mark in zip((1, 2, 4), marks, strict=True):
        if size < 256**width:
            return bytes([mark]) + size.to_bytes(width, "big")
    raise AssertionError(size)


def name(word: str) -> bytes:
    """32 bytes that look random and are always the same."""
    return hashlib.sha256(b"frame " + word.encode()).digest()


A, B, C = sorted(name(word) for word in "abc")
HEADER, SIGNATURE = b"a header, judged by the gate", bytes(range(64))
ITEM = [HEADER, SIGNATURE, b"a payload", None]
BARE = [HEADER, SIGNATURE, None, "withheld"]
HELLO = [2, 1, NETWORK, "all", 1_577_836_800_000, A, B, 1_700_000_000_000, [3, 2, 1]]
STATEMENT = [A, B, 2, 9, C, [2, 3, 5, 5]]

VALID: list[tuple[str, str, list[Any]]] = [
    (R_INTRO, "intro", [1, [b"genesis", b"operation"], b"node record", A, bytes(64)]),
    (R_HELLO, "hello", HELLO),
    (R_HELLO, "hello without horizon", [*HELLO[:4], 0, *HELLO[5:]]),
    (R_HELLO, "admitted, nobody", [3, b""]),
    (R_HELLO, "admitted, three", [3, A + B + C]),
    (R_STANDING, "bye", [4, "shutdown"]),
    (R_STANDING, "ping", [5, 1]),
    (R_STANDING, "pong", [6, 1]),
    (R_PUSH, "push of nothing, at the end of an answer", [7, 3, 1, [], []]),
    (R_PUSH, "push unasked", [7, 0, 0, [ITEM], []]),
    (R_PUSH, "push with a reason in place of the payload", [7, 0, 0, [BARE], []]),
    (R_PUSH, "push of a header alone", [7, 2, 0, [[HEADER, SIGNATURE, None, None]], []]),
    (R_PUSH, "push of what no gate takes", [7, 0, 0, [[b"", b"", b"", None]], []]),
    (R_PUSH, "push of 512", [7, 0, 0, [[b"", b"", None, "gone"]] * 512, []]),
    (R_REQUEST, "push with absent ids", [7, 2, 1, [ITEM], [["legal", A], ["not_found", B + C]]]),
    (R_PUSH, "have", [8, A + B]),
    (R_REQUEST, "get", [9, 1, A]),
    (R_REQUEST, "get of 1,024", [9, 2**53 - 1, A * 1024]),
    (R_PUSH, "ack", [10, [["gone", C], ["stored", A + B]]]),
    (R_REQUEST, "chain from tips", [11, 4, A, B, 2, 1, C, 1024]),
    (R_REQUEST, "chain without tips", [11, 4, A, B, 0, 7, b"", 10]),
    (R_REQUEST, "find an account", [12, 5, 0, A]),
    (R_REQUEST, "find by account key", [12, 6, 1, A]),
    (R_RECONCILE, "reconcile the window", [13, 1, 2, None, 86_400, b"a\x00\x00\x00"]),
    (R_RECONCILE, "reconcile one account", [13, 2, 4, A, 0, b"a"]),
    (R_RECONCILE, "reconcile between homes", [13, 2, 3, A, 0, b"a"]),
    (R_RECONCILE, "reconciled", [14, 1, None]),
    (R_RECONCILE, "reconciliation refused", [14, 2, "busy"]),
    (R_STANDING, "receipt", [15, 1_700_000_000_000, [STATEMENT, [A, B, 0, 1, C, []]]]),
    (R_STANDING, "challenge", [16, bytes(16), A]),
    (R_STANDING, "answer", [17, bytes(16), A, B]),
    (R_STANDING, "answer of one who holds nothing", [17, bytes(16), A, None]),
    (R_STANDING, "peers", [18, [b"node record", b"another"]]),
]

INVALID: list[tuple[str, str, Any, str]] = [
    (R_FRAME, "a number", 7, "bad_frame"),
    (R_FRAME, "no type", [], "bad_frame"),
    (R_FRAME, "a word for a type", ["push"], "bad_frame"),
    (R_FRAME, "type 0", [0, 1], "bad_frame"),
    (R_FRAME, "type 19", [19, 1], "bad_frame"),
    (R_FRAME, "a field too many", [5, 1, 1], "bad_frame"),
    (R_FRAME, "a field too few", [9, 1], "bad_frame"),
    (R_FRAME, "too deep", [10, [[[[[]]]]]], "bad_frame"),
    (R_FRAME, "1,025 items", [7, 0, 0, [0] * 1025, []], "too_many"),
    (R_INTRO, "intro without log", [1, [], b"node", A, bytes(64)], "bad_frame"),
    (R_INTRO, "intro with a record that is none", [1, [b""], b"node", A, bytes(64)], "bad_frame"),
    (R_INTRO, "intro with a short proof", [1, [b"log"], b"node", A, bytes(63)], "bad_frame"),
    (R_INTRO, "intro above 64 KiB", [1, [bytes(40_000)] * 2, b"n", A, bytes(64)], "too_large"),
    (R_INTRO, "intro with a record too large", [1, [bytes(66_000)], b"n", A, A + A], "too_large"),
    (R_HELLO, "hello of another version", [2, 9, "any shape"], "unsupported"),
    (R_HELLO, "hello without version", [2], "bad_frame"),
    (R_HELLO, "hello with a word for a version", [2, "1", *HELLO[2:]], "bad_frame"),
    (R_HELLO, "hello of one who carries less", [*HELLO[:3], "some", *HELLO[4:]], "unsupported"),
    (R_HELLO, "hello with a number for carry", [*HELLO[:3], 1, *HELLO[4:]], "bad_frame"),
    (R_HELLO, "hello with a network of 7 bytes", [2, 1, NETWORK[:7], *HELLO[3:]], "bad_frame"),
    (R_HELLO, "hello with two counts", [*HELLO[:8], [1, 2]], "bad_frame"),
    (R_HELLO, "hello with four counts", [*HELLO[:8], [1, 2, 3, 4]], "too_many"),
    (R_HELLO, "admitted out of order", [3, B + A], "bad_frame"),
    (R_HELLO, "admitted twice", [3, A + A], "bad_frame"),
    (R_HELLO, "admitted, 4,097", [3, bytes(32 * 4097)], "too_many"),
    (R_HELLO, "admitted, half an account", [3, A[:16]], "bad_frame"),
    (R_STANDING, "bye without word", [4, None], "bad_frame"),
    (R_STANDING, "bye with an empty word", [4, ""], "bad_frame"),
    (R_STANDING, "bye with a long word", [4, "a" * 33], "bad_frame"),
    (R_STANDING, "ping with bytes", [5, b"1"], "bad_frame"),
    (R_PUSH, "push that is last by 2", [7, 1, 2, [], []], "bad_frame"),
    (R_PUSH, "push of a number", [7, 0, 0, [1], []], "bad_frame"),
    (R_PUSH, "push of a record of three", [7, 0, 0, [ITEM[:3]], []], "bad_frame"),
    (R_PUSH, "push without header", [7, 0, 0, [[None, SIGNATURE, b"", None]], []], "bad_frame"),
    (R_PUSH, "push without signature", [7, 0, 0, [[HEADER, None, b"", None]], []], "bad_frame"),
    (R_PUSH, "push with payload and reason", [7, 0, 0, [[*ITEM[:3], "gone"]], []], "bad_frame"),
    (R_PUSH, "push with text for a payload", [7, 0, 0, [[*ITEM[:2], "x", None]], []], "bad_frame"),
    (R_PUSH, "push with a number for a reason", [7, 0, 0, [[*BARE[:3], 1]], []], "bad_frame"),
    (R_PUSH, "push of 513", [7, 0, 0, [[b"", b"", None, "gone"]] * 513, []], "too_many"),
    (R_PUSH, "push that is no list", [7, 0, 0, b"", []], "bad_frame"),
    (R_PUSH, "have of nothing", [8, b""], "bad_frame"),
    (R_PUSH, "have with a list", [8, [A]], "bad_frame"),
    (R_PUSH, "have of 1,025", [8, A * 1025], "too_many"),
    (R_REQUEST, "get with number 0", [9, 0, A], "bad_frame"),
    (R_PUSH, "ack of nothing", [10, []], "bad_frame"),
    (R_PUSH, "ack with a word of its own", [10, ["stored"]], "bad_frame"),
    (R_PUSH, "ack with a row of three", [10, [["stored", A, B]]], "bad_frame"),
    (R_PUSH, "ack with a code twice", [10, [["gone", A], ["gone", B]]], "bad_frame"),
    (R_PUSH, "ack with a code for nothing", [10, [["gone", b""]]], "bad_frame"),
    (R_PUSH, "ack of 1,025", [10, [["gone", A * 1024], ["stored", B]]], "too_many"),
    (R_REQUEST, "chain of no lane", [11, 4, A, B, 4, 1, C, 10], "bad_frame"),
    (R_REQUEST, "chain from seq 0", [11, 4, A, B, 2, 0, C, 10], "bad_frame"),
    (R_REQUEST, "chain from 17 tips", [11, 4, A, B, 2, 1, C * 17, 10], "too_many"),
    (R_REQUEST, "chain of 1,025", [11, 4, A, B, 2, 1, C, 1025], "bad_frame"),
    (R_REQUEST, "find by something else", [12, 5, 2, A], "bad_frame"),
    (R_RECONCILE, "reconcile an unknown scope", [13, 1, 5, A, 0, b"a"], "bad_frame"),
    (R_RECONCILE, "reconcile the log of one account", [13, 1, 0, A, 0, b"a"], "bad_frame"),
    (R_RECONCILE, "reconcile between nobody's homes", [13, 1, 3, None, 0, b"a"], "bad_frame"),
    (R_RECONCILE, "reconcile with no message", [13, 1, 0, None, 0, b""], "bad_frame"),
    (R_RECONCILE, "reconcile with 60,001 bytes", [13, 1, 0, None, 0, bytes(60_001)], "too_large"),
    (R_RECONCILE, "reconciled 0", [14, 0, None], "bad_frame"),
    (R_STANDING, "receipt of nothing", [15, 1, []], "bad_frame"),
    (R_STANDING, "receipt with a short row", [15, 1, [STATEMENT[:5]]], "bad_frame"),
    (R_STANDING, "receipt with half a hole", [15, 1, [[*STATEMENT[:5], [2]]]], "bad_frame"),
    (R_STANDING, "receipt with a hole at 0", [15, 1, [[*STATEMENT[:5], [0, 2]]]], "bad_frame"),
    (R_STANDING, "receipt with a hole backwards", [15, 1, [[*STATEMENT[:5], [3, 2]]]], "bad_frame"),
    (R_STANDING, "receipt, holes in one", [15, 1, [[*STATEMENT[:5], [2, 3, 3, 4]]]], "bad_frame"),
    (R_STANDING, "receipt, hole at its tip", [15, 1, [[*STATEMENT[:5], [9, 9]]]], "bad_frame"),
    (R_STANDING, "receipt with 33 holes", [15, 1, [[A, B, 2, 99, C, [1] * 66]]], "too_many"),
    (R_STANDING, "challenge with 15 bytes", [16, bytes(15), A], "bad_frame"),
    (R_STANDING, "answer of 31 bytes", [17, bytes(16), A, A[:31]], "bad_frame"),
    (R_STANDING, "peers, none", [18, []], "bad_frame"),
    (R_STANDING, "peers, 65", [18, [b"node"] * 65], "too_many"),
    (R_STANDING, "peers with a long record", [18, [bytes(2049)]], "too_large"),
]  # fmt: skip

# What no value spells.
BYTES: list[tuple[str, str, bytes, str]] = [
    (R_FRAME, "nothing", b"", "bad_frame"),
    (R_FRAME, "cut short", spell([5, 300])[:-1], "bad_frame"),
    (R_FRAME, "a byte too many", spell([5, 1]) + b"\x00", "bad_frame"),
    (R_FRAME, "a number in a second spelling", b"\x92\x05\xcc\x01", "bad_frame"),
    (R_FRAME, "a list that claims 4 GiB", b"\xdd\xff\xff\xff\xff", "bad_frame"),
    (R_FRAME, "a float", b"\x92\x05\xcb" + bytes(8), "bad_frame"),
    (R_FRAME, "192 KiB and a byte", b"\x92\x05\xc6\x00\x03\x00\x00" + bytes(196_602), "too_large"),
]


# Something of at most 72 bytes that stands 16 times in a row or more.
_RUN = re.compile(rb"(.{1,72}?)\1{15,}", re.DOTALL)


def packed(data: bytes) -> list[Any]:
    """`data` as hex, with [hex, times] for what repeats: files stay small and readable."""
    parts: list[Any] = []
    at = 0
    for run in _RUN.finditer(data):
        if run.start() > at:
            parts.append(data[at : run.start()].hex())
        parts.append([run[1].hex(), len(run[0]) // len(run[1])])
        at = run.end()
    return [*parts, data[at:].hex()] if at < len(data) or not parts else parts


def unpacked(parts: list[Any]) -> bytes:
    """What `packed` was given."""
    return b"".join(
        bytes.fromhex(part) if isinstance(part, str) else bytes.fromhex(part[0]) * part[1]
        for part in parts
    )


def _valid() -> Iterator[Case]:
    for requirement, about, fields in VALID:
        data = spell(fields)
        case: Case = {"name": about, "requirement": requirement, "parts": packed(data)}
        if len(data) < 1000:
            case["fields"] = shown(fields)
        yield case | {"expect": "ok"}


def _invalid() -> Iterator[Case]:
    spelt = [(where, about, spell(value), code) for where, about, value, code in INVALID]
    for requirement, about, data, code in spelt + BYTES:
        yield {
            "name": about,
            "requirement": requirement,
            "parts": packed(data),
            "expect": code,
        }


def frames() -> dict[str, Any]:
    """The document of frames.json."""
    return {
        "how": "join `parts` (hex, or [hex, times]) and read them as one frame; `fields` (of short"
        ' ones) has byte strings as {"$bin": hex}; what `expect` names ends the link',
        "valid": list(_valid()),
        "invalid": list(_invalid()),
    }
