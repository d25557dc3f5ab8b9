"""Bad records, one case a kind of wrong, with the code each way in must answer.

Here are those that are wrong in themselves: what stands around a record, its spelling, header,
signature, key and payload. Bodies, and what only a node's store can tell, stand beside this file.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgpack

from ratoon_protocol import kinds
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.limits import EPOCH_MS, HEADER_BYTES_MAX, VERSION
from ratoon_protocol.record import signed_message
from tests.badinput.forge import MARK, Case, Fields, Forge, gathered
from tests.protocol import curve

ORDER_L = 2**252 + 27742317777372353535851937790883648493
FIELD_P = 2**255 - 19


def byte_cases(forge: Forge) -> list[Case]:
    """Every case that is wrong in itself."""
    return gathered(
        forge,
        (
            ("R-20", _outside),
            ("R-24", _spelling),
            ("R-24", _header_fields),
            ("R-25", _header_shape),
            ("R-17", _signatures),
            ("R-19", _contexts),
            ("R-17", _keys),
            ("R-17", _crafted_keys),
            ("R-26", _payloads),
            ("R-29", _payload_spelling),
        ),
    )


# --- what stands around a record ---------------------------------------------------------
def _outside(forge: Forge) -> Iterator[Case]:
    good = forge.who.post(MARK)
    parts = [good.header_bytes, good.signature, good.payload]

    def whole(name: str, code: str, data: bytes) -> Case:
        return Case(name, b"", b"", None, code, code, data)

    yield whole("a text instead of a record", "bad_type", msgpack.packb("record"))
    yield whole("a map instead of a record", "bad_type", msgpack.packb({"h": 1}))
    yield whole("a truncated record", "malformed", good.encode()[:-1])
    yield whole("a byte behind a record", "trailing", good.encode() + b"\x00")
    yield whole("a record of two parts", "bad_length", msgpack.packb(parts[:2]))
    yield whole("a record of four parts", "bad_length", msgpack.packb([*parts, None]))
    yield whole("an array that claims 4 GiB", "malformed", b"\xdd\xff\xff\xff\xff")
    yield whole("a byte string that claims 4 GiB", "malformed", b"\x93\xc6\xff\xff\xff\xff")
    yield whole("a map that claims 4 GiB", "malformed", b"\xdf\xff\xff\xff\xff")
    yield whole("a thousand arrays inside each other", "too_deep", b"\x91" * 1000 + b"\xc0")
    # Whoever reads a stream of bytes ends before these: where the next thing begins is unknown.
    cut = {"link": "too_large", "cli": "too_large"}
    deep = whole("a hundred thousand arrays", "too_large", b"\x91" * 100_000 + b"\xc0")
    yield deep.but(cut=cut)
    yield whole("zeros above any record", "too_large", bytes(70_000)).but(cut=cut)
    yield whole("nothing at all", "empty", b"").but(cut={"link": "bad_frame"})
    yield whole("nil", "bad_type", b"\xc0")
    yield whole("a number", "bad_type", b"\x07")
    yield whole("true", "bad_type", b"\xc3")
    yield whole("text that is no MessagePack", "trailing", b"<html>" + MARK.encode())
    yield whole("a signature that is a text", "bad_type", msgpack.packb([parts[0], "s", parts[2]]))
    yield whole("a header that is a text", "bad_type", msgpack.packb(["h", parts[1], parts[2]]))
    yield whole("a payload that is a map", "too_deep", msgpack.packb([parts[0], parts[1], {}]))
    yield whole("a header inside a list", "too_deep", msgpack.packb([[parts[0]], *parts[1:]]))
    yield whole("a count of 65,535", "malformed", b"\xdc\xff\xff" + bytes(8))


def _spelling(forge: Forge) -> Iterator[Case]:
    payload = forge.payload({"text": MARK})
    good = forge.fields(payload)
    fields = list(forge.header(payload))
    yield forge.raw("an empty header", "empty", b"")
    yield forge.raw("a header in a longer spelling", "non_canonical", b"\xdc\x00\x0b" + good[1:])
    yield forge.raw("a version in eight bytes", "non_canonical", _long_version(good))
    yield forge.raw("a byte behind the header", "trailing", good + b"\x00")
    yield forge.raw("a truncated header", "malformed", good[:-3])
    yield forge.raw("a header of more than 256 bytes", "too_large", good + bytes(200))
    yield forge.raw("a map for a header", "bad_type", msgpack.packb({"v": VERSION}))
    yield forge.raw("ten fields", "bad_length", msgpack.packb(fields[:10]))
    yield forge.raw("twelve fields", "bad_length", msgpack.packb([*fields, 0]))
    nested: object = [*fields[:9], [fields[9]], fields[10]]
    yield forge.raw("an array inside the header", "too_deep", msgpack.packb(nested))
    yield forge.raw("a header of a thousand", "too_large", b"\x91" * (HEADER_BYTES_MAX + 1))
    yield forge.raw("an empty list for a header", "bad_type", b"\x90")
    floats = [*fields[:7], -0.0, *fields[8:]]
    yield forge.raw("created at minus nought", "bad_type", msgpack.packb(floats))
    endless = [*fields[:7], float("inf"), *fields[8:]]
    yield forge.raw("created at infinity", "bad_type", msgpack.packb(endless))
    signed = good.replace(b"\x01\xc0", b"\xd0\x01\xc0", 1)
    yield forge.raw("seq as a signed number", "non_canonical", signed)


def _long_version(good: bytes) -> bytes:
    return good[:1] + b"\xcf" + VERSION.to_bytes(8) + good[2:]


def _header_fields(forge: Forge) -> Iterator[Case]:
    bad_type: dict[str, Fields] = {
        "seq is a text": {"seq": "1"},
        "created_ms is a float": {"created_ms": 1.5},
        "created_ms is not a number": {"created_ms": float("nan")},
        "account is a text": {"account": "a" * 32},
        "key is nil": {"key": None},
        "payload_hash is nil": {"payload_hash": None},
        "network is a number": {"network": 7},
        "kind is true": {"kind": True},
    }
    for name, change in bad_type.items():
        yield forge.case(name, "bad_type", "bad_type", **change)
    lengths: dict[str, Fields] = {
        "account of 31 bytes": {"account": bytes(31)},
        "account of 33 bytes": {"account": bytes(33)},
        "key of 31 bytes": {"key": bytes(31)},
        "network of 7 bytes": {"network": bytes(7)},
        "payload_hash of 20 bytes": {"payload_hash": bytes(20)},
        "prev of 16 bytes": {"seq": 2, "prev": bytes(16)},
    }
    for name, change in lengths.items():
        yield forge.case(name, "bad_length", "bad_length", **change)
    ranges: dict[str, Fields] = {
        "a negative seq": {"seq": -1},
        "a negative length": {"payload_len": -64},
        "kind of 2^53": {"kind": 2**53},
        "created_ms of 2^53": {"created_ms": 2**53},
        "seq of 2^64-1": {"seq": 2**64 - 1},
    }
    for name, change in ranges.items():
        yield forge.case(name, "out_of_range", "out_of_range", **change)


def _header_shape(forge: Forge) -> Iterator[Case]:
    now_ms = forge.who.clock.now_ms()
    both: dict[str, tuple[str, Fields]] = {
        "an unknown version": ("unsupported", {"version": VERSION + 7}),
        "an unknown critical kind": ("unsupported", {"kind": 200 << 8 | 0b00110010}),
        "a reserved lane": ("unsupported", {"kind": 200 << 8 | 0b00100111}),
        "a one-time key in a chain": ("unsupported", {"kind": 200 << 8 | 0b11100010}),
        "an account key outside the log": ("unsupported", {"kind": 200 << 8 | 0b00000010}),
        "another network": ("wrong_network", {"network": b"elsewher"}),
        "eleven minutes ahead": ("future", {"created_ms": now_ms + 11 * 60_000}),
        "before the network began": ("too_old", {"created_ms": EPOCH_MS - 1}),
        "created at nought": ("too_old", {"created_ms": 0}),
        "seq 0 in a chain": ("bad_chain", {"seq": 0}),
        "seq 1 with a prev": ("bad_chain", {"prev": bytes(32)}),
        "seq 2 without a prev": ("bad_chain", {"seq": 2}),
        "a slot where none belongs": ("bad_slot", {"slot": bytes(16)}),
        "no slot where one belongs": ("bad_slot", {"kind": kinds.PROFILE}),
        "a kind of 17 bits": ("unsupported", {"kind": 1 << 16 | kinds.POST}),
        "an envelope with a slot": (
            "unsupported",
            {"kind": 200 << 8 | 0b11101100, "seq": 0, "slot": bytes(16)},
        ),
        "an envelope in a chain": ("bad_chain", {"kind": kinds.MESSAGE}),
        "an envelope with a prev": (
            "bad_chain",
            {"kind": kinds.MESSAGE, "seq": 0, "prev": bytes(32)},
        ),
        "a version of nought": ("unsupported", {"version": 0}),
    }
    for name, (code, change) in both.items():
        yield forge.case(name, code, code, **change)


# --- signatures and keys -----------------------------------------------------------------
def _signatures(forge: Forge) -> Iterator[Case]:
    payload = forge.payload({"text": MARK})
    header = forge.fields(payload)
    right = forge.sign(header)
    high = (int.from_bytes(right[32:], "little") + ORDER_L).to_bytes(32, "little")
    other = forge.key.sign(b"ratoon/1/link\x00" + header)
    wrong = {
        "a flipped bit in the signature": bytes([right[0] ^ 1]) + right[1:],
        "S plus the group's order": right[:32] + high,
        "a signature of zeros": bytes(64),
        "a signature of another context": other,
        "a small-order R": bytes([1]) + bytes(31) + right[32:],
        "the signature of another header": forge.sign(header + b"x"),
    }
    for name, signature in wrong.items():
        yield Case(name, header, signature, payload, "bad_signature", "bad_signature")
    for size in (0, 63, 65):
        bad = (right + b"\x00")[:size]
        codes = "bad_length", "bad_length"
        yield Case(f"a signature of {size} bytes", header, bad, payload, *codes)
    flipped = header[:-1] + bytes([header[-1] ^ 1])
    codes = "payload_mismatch", "bad_signature"
    yield Case("a flipped bit in the header", flipped, right, payload, *codes)
    earlier = forge.fields(payload, created_ms=forge.who.clock.now_ms() - 1)
    wrong_header = "the same, a moment earlier"
    yield Case(wrong_header, earlier, right, payload, "bad_signature", "bad_signature")


def _contexts(forge: Forge) -> Iterator[Case]:
    """A signature for one purpose is worth nothing for another (R-19)."""
    payload = forge.payload({"text": MARK})
    header = forge.fields(payload)
    for word in ("device", "session", "token", "bundle", "message", "receipt"):
        tagged = b"ratoon/1/" + word.encode() + b"\x00"
        signature = forge.key.sign(tagged + forge.network + header)
        codes = "bad_signature", "bad_signature"
        yield Case(f"signed as a {word}", header, signature, payload, *codes)
    bare = forge.key.sign(header)
    yield Case("signed without a purpose", header, bare, payload, "bad_signature", "bad_signature")


def _keys(forge: Forge) -> Iterator[Case]:
    # Every encoding is in the vectors; here a few travel the whole way.
    for name, key in {
        "the neutral point as a key": bytes([1]) + bytes(31),
        "a key of order two": (FIELD_P - 1).to_bytes(32, "little"),
        "a key of order four": bytes(32),
        "a key above the field": (FIELD_P + 3).to_bytes(32, "little"),
    }.items():
        yield forge.case(name, "bad_key", "bad_key", key=key)


def _crafted_keys(forge: Forge) -> Iterator[Case]:
    """What libraries differ on: only a verifier that multiplies by eight takes these (R-17)."""
    payload = forge.payload({"text": MARK})
    secret = curve.secret_scalar(b"mixed")
    mixed = curve.encode(curve.add(curve.multiply(secret, curve.BASE), curve.TORSION[1]))
    header = forge.fields(payload, key=mixed)
    made = (_by_hand(mixed, secret, signed_message(header), at) for at in range(1, 8))
    signature = next(one for one in made if not _holds(mixed, one, signed_message(header)))
    yield Case("a key of mixed order", header, signature, payload, "bad_signature", "bad_signature")
    off = b"\x02" + bytes(31)
    assert curve.decode(off) is None
    yield forge.case("a key off the curve", "bad_signature", "bad_signature", key=off)


def _holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the two points of small order happen to make up for each other."""
    s = int.from_bytes(signature[32:], "little")
    return curve.holds(public, signature[:32], s, message)


def _by_hand(public: bytes, secret: int, message: bytes, torsion: int) -> bytes:
    """A signature whose R is off by a point of small order, with everything else right."""
    nonce = 7
    start = curve.add(curve.multiply(nonce, curve.BASE), curve.TORSION[torsion])
    commitment = curve.encode(start)
    s = (nonce + curve.challenge(commitment, public, message) * secret) % curve.L
    return commitment + s.to_bytes(32, "little")


def second_signature(key: SigningKey, seed: bytes, message: bytes) -> bytes:
    """Another valid signature of the same message by the same key."""
    return _by_hand(key.public, curve.secret_scalar(seed), message, torsion=0)


# --- payloads ----------------------------------------------------------------------------
def _payloads(forge: Forge) -> Iterator[Case]:
    payload = forge.payload({"text": MARK})
    header = forge.fields(payload)
    sign = forge.sign(header)
    other = forge.payload({"text": MARK + "."})
    yield Case("another payload", header, sign, other, "payload_mismatch", "wanted")
    header = forge.fields(payload, seq=2, prev=bytes(32))
    sign = forge.sign(header)
    longer = forge.payload({"text": MARK + "x" * 200})
    yield Case("a longer payload", header, sign, longer, "payload_mismatch", "wanted")
    header = forge.fields(payload, seq=3, prev=bytes(32))
    none = Case("no payload", header, forge.sign(header), None, "empty", "wanted")
    yield none.but(cut={"link": "bad_frame"})  # an item without payload says why
    sizes = {
        "a length that is no multiple of 64": ("bad_length", 65),
        "a payload of nothing": ("bad_length", 0),
        "a payload above 16 KiB": ("too_large", 16 * 1024 + 64),
    }
    for name, (code, size) in sizes.items():
        yield forge.case(name, code, code, payload_len=size)


def _payload_spelling(forge: Forge) -> Iterator[Case]:
    salt = forge.salt()
    bare = msgpack.packb([salt, b"", {"text": MARK}])
    head = b"\x93\xc4\x10" + salt
    text = b"\x81\xa4text"
    bodies = {
        "keys out of order": ("non_canonical", _map(b"b", b"a")),
        "a key twice": ("non_canonical", _map(b"a", b"a")),
        "a key that is a number": ("bad_type", b"\x81\x01\xc0"),
        "a key that is not ASCII": ("non_canonical", b"\x81\xa2\xc3\xa9\xc0"),
        "a text in a longer spelling": ("non_canonical", text + b"\xd9\x01a"),
        "a text that is not UTF-8": ("bad_utf8", text + b"\xa2\xff\xfe"),
        "a text with a surrogate": ("bad_utf8", text + b"\xa3\xed\xa0\x80"),
        "a text with an overlong slash": ("bad_utf8", text + b"\xa2\xc0\xaf"),
        "a text with a zero": ("bad_text", text + b"\xa2a\x00"),
        "a float in the body": ("bad_type", text + b"\xcb" + bytes(8)),
        "a body six deep": ("too_deep", b"\x81\xa1a" + b"\x91" * 5 + b"\xc0"),
        "a body that is a list": ("bad_type", b"\x90"),
        "a body that is nil": ("bad_type", b"\xc0"),
        "a body 1,023 deep": ("too_deep", b"\x81\xa1a" + b"\x91" * 1023 + b"\xc0"),
        "a body 16,000 deep": ("too_deep", b"\x81\xa1a" + b"\x91" * 16_000 + b"\xc0"),
        "a list of 1,025": ("too_many", b"\x81\xa1a\xdc\x04\x01" + b"\xc0" * 1025),
        "a list of ten in 16 bits": ("non_canonical", b"\x81\xa1a\xdc\x00\x0a" + b"\xc0" * 10),
        "1 in 64 bits": ("non_canonical", b"\x81\xa1a\xcf" + (1).to_bytes(8)),
        "a negative number": ("out_of_range", b"\x81\xa1a\xff"),
        "2^53": ("out_of_range", b"\x81\xa1a\xcf" + (2**53).to_bytes(8)),
        "2^64-1": ("out_of_range", b"\x81\xa1a\xcf" + b"\xff" * 8),
        "not a number": ("bad_type", b"\x81\xa1a\xcb\x7f\xf8" + bytes(6)),
        "false": ("bad_type", b"\x81\xa1a\xc2"),
        "an extension": ("bad_type", b"\x81\xa1a\xd4\x01\x00"),
        "a timestamp in the body": ("bad_type", b"\x81\xa1a\xd6\xff" + bytes(4)),
        "a reserved byte in the body": ("malformed", b"\x81\xa1a\xc1"),
        "a text that claims 4 GiB": ("malformed", b"\x81\xa1a\xdb\xff\xff\xff\xff"),
        "a list that claims 4 GiB": ("malformed", b"\x81\xa1a\xdd\xff\xff\xff\xff"),
        "a map that claims 4 GiB in the body": ("malformed", b"\x81\xa1a\xdf\xff\xff\xff\xff"),
        "an empty key": ("non_canonical", b"\x81\xa0\xc0"),
        "a key of bytes": ("bad_type", b"\x81\xc4\x01a\xc0"),
        "bytes in a longer spelling": ("non_canonical", b"\x81\xa1a\xc5\x00\x01x"),
    }
    payloads = {
        "padding that is not zero": ("non_canonical", _padded(salt, 1)),
        "padding of another block": ("non_canonical", _padded(salt, 0, 64)),
        "two parts": ("bad_length", _two(salt)),
        "a salt of 15 bytes": ("bad_length", _salted(salt[:15])),
        "a salt that is a text": ("bad_type", _salted("s" * 16)),
        "a payload of zeros": ("trailing", bytes(64)),
        "a payload of noise": ("malformed", b"\xc1" * 64),
        "a payload that ends early": ("trailing", bare + bytes(-len(bare) % 64)),
    }
    payloads |= {name: (code, _block(head, body)) for name, (code, body) in bodies.items()}
    for name, (code, payload) in payloads.items():
        yield forge.case(name, code, "invalid", payload=payload)


def _padded(salt: bytes, filling: int, extra: int = 0) -> bytes:
    bare = msgpack.packb([salt, b"", {"text": MARK}])
    size = -len(bare) % 64 + extra
    return bytes(msgpack.packb([salt, bytes([filling]) * size, {"text": MARK}]))


def _salted(salt: object) -> bytes:
    bare = msgpack.packb([salt, b"", {"text": MARK}])
    return bytes(msgpack.packb([salt, bytes(-len(bare) % 64), {"text": MARK}]))


def _block(head: bytes, body: bytes) -> bytes:
    """A payload around any body bytes, padded rightly."""
    size = -(len(head) + 2 + len(body)) % 64
    return head + b"\xc4" + bytes([size]) + bytes(size) + body


def _map(*names: bytes) -> bytes:
    return bytes([0x80 + len(names)]) + b"".join(b"\xa1" + name + b"\xc0" for name in names)


def _two(salt: bytes) -> bytes:
    size = -(1 + 18 + 2) % 64
    return b"\x92\xc4\x10" + salt + b"\xc4" + bytes([size]) + bytes(size)
