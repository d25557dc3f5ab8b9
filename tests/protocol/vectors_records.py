"""Makes records.json: records that are accepted, and one fault each for those that are not.

Headers are packed by hand and signed as they are, so that a fault stands behind a good signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgpack

from ratoon_protocol import keys, kinds
from ratoon_protocol.limits import EPOCH_MS, VERSION
from ratoon_protocol.record import encode_payload, slot_id
from tests.protocol.vectors_codec import Case, shown

NETWORK = b"vectors\x00"
CREATED_MS = 1_760_000_000_000
NOW_MS = CREATED_MS + 1000
KEY = keys.SigningKey.from_seed(hashlib.sha256(b"vector record key").digest())
ACCOUNT = hashlib.sha256(b"vector account").digest()
SALT = bytes(range(16))
BODY = {"text": "A record."}
FIELDS = (
    *("version", "network", "kind", "account", "key", "seq", "prev"),
    *("created_ms", "slot", "payload_len", "payload_hash"),
)
ID = hashlib.sha256(b"vector id").digest()


def pack(value: Any) -> bytes:
    return bytes(msgpack.packb(value, use_bin_type=True))


def header_of(payload: bytes, **changes: Any) -> list[Any]:
    """The fields of a good header of a post for `payload`, some of them changed."""
    digest = hashlib.sha256(payload).digest()
    fields = (VERSION, NETWORK, kinds.POST, ACCOUNT, KEY.public, 1, None, CREATED_MS, None)
    good = dict(zip(FIELDS, (*fields, len(payload), digest), strict=True))
    return list((good | changes).values())


PAYLOAD = encode_payload(BODY, SALT)


def record(payload: bytes = PAYLOAD, /, **changes: Any) -> bytes:
    """A record with a good signature of whatever the header says."""
    header = pack(header_of(payload, **changes))
    return pack([header, KEY.sign(b"ratoon/1/record\x00" + header), payload])


def signed_for(context: bytes) -> bytes:
    """A record whose key signed its header, but for another purpose."""
    header = pack(header_of(PAYLOAD))
    return pack([header, KEY.sign(context + header), PAYLOAD])


def parts(data: bytes) -> list[Any]:
    found: list[Any] = msgpack.unpackb(data)
    return found


def other_part(place: int, value: Any) -> bytes:
    changed = parts(record())
    changed[place] = value
    return pack(changed)


def signed_raw(header: bytes) -> bytes:
    return pack([header, KEY.sign(b"ratoon/1/record\x00" + header), PAYLOAD])


def _slot_change() -> dict[str, Any]:
    return {"kind": kinds.FOLLOW, "slot": slot_id(ACCOUNT, kinds.FOLLOW, SALT, ID)}


def valid_records() -> Iterator[tuple[str, str, bytes]]:
    largest = encode_payload({"data": bytes(16384 - 64)}, SALT)
    envelope = encode_payload({"data": bytes(65536 - 64)}, SALT)
    yield "R-20", "first of a chain", record()
    yield "R-34", "second of a chain", record(seq=2, prev=ID)
    yield "R-34", "the largest seq", record(seq=2**53 - 1, prev=ID)
    yield (
        "R-27",
        "a value with a slot",
        record(encode_payload({"state": 1}, SALT), **_slot_change()),
    )
    yield "R-37", "an envelope: no chain", record(kind=kinds.MESSAGE, seq=0)
    yield "R-26", "the payload is erased", other_part(2, None)
    yield "R-26", "a payload that is no post is still one", record(encode_payload({}, SALT))
    yield "R-33", "an unknown kind in the public lane", record(kind=200 << 8 | 0x22)
    yield "R-33", "an unknown kind in the state lane", record(kind=200 << 8 | 0x21)
    yield "R-28", "ten minutes ahead", record(created_ms=NOW_MS + 600_000)
    yield "R-24", "the first millisecond of the network", record(created_ms=EPOCH_MS)
    yield "R-29", "the largest payload", record(largest)
    yield "R-29", "the largest payload of an envelope", record(envelope, kind=kinds.REPORT, seq=0)


def _shapes() -> Iterator[tuple[str, str, bytes, str]]:
    good = record()
    header, signature, payload = parts(good)
    yield "R-20", "nothing", b"", "empty"
    yield "R-20", "cut short", good[:-1], "malformed"
    yield "R-20", "a byte behind the record", good + b"\0", "trailing"
    yield "R-20", "above every limit", pack([header, signature, bytes(65536 + 384)]), "too_large"
    yield "R-20", "a map", pack({"header": header}), "bad_type"
    yield "R-20", "two parts", pack([header, signature]), "bad_length"
    yield "R-20", "four parts", pack([header, signature, payload, None]), "bad_length"
    yield "R-20", "header as text", other_part(0, "header"), "bad_type"
    yield "R-20", "header nil", other_part(0, None), "bad_type"
    yield "R-20", "signature nil", other_part(1, None), "bad_type"
    yield "R-20", "payload as text", other_part(2, "payload"), "bad_type"
    yield "R-20", "payload as a list", pack([header, signature, []]), "too_deep"
    yield "R-20", "record: list head of 16 bits", b"\xdc\x00\x03" + good[1:], "non_canonical"
    yield "R-17", "signature of 63 bytes", other_part(1, signature[:63]), "bad_length"
    yield "R-17", "signature of 65 bytes", other_part(1, signature + b"\0"), "bad_length"


def _headers() -> Iterator[tuple[str, str, bytes, str]]:
    raw = pack(header_of(PAYLOAD))
    yield "R-24", "header of no bytes", signed_raw(b""), "empty"
    yield "R-24", "header a map", signed_raw(pack({"version": VERSION})), "bad_type"
    yield "R-24", "header an empty list", signed_raw(b"\x90"), "bad_type"
    yield "R-24", "ten fields", signed_raw(pack(header_of(PAYLOAD)[:10])), "bad_length"
    yield "R-24", "twelve fields", signed_raw(pack([*header_of(PAYLOAD), None])), "bad_length"
    yield "R-24", "a byte behind the header", signed_raw(raw + b"\0"), "trailing"
    yield "R-24", "list head of 16 bits", signed_raw(b"\xdc\x00\x0b" + raw[1:]), "non_canonical"
    yield "R-24", "version in 8 bits", signed_raw(raw[:1] + b"\xcc\x01" + raw[2:]), "non_canonical"
    yield "R-24", "above 256 bytes", record(network=bytes(256)), "too_large"
    yield "R-24", "another version", record(version=VERSION + 1), "unsupported"
    yield "R-24", "another version with another shape", signed_raw(pack([2, 3])), "unsupported"
    yield "R-24", "version as text", record(version="1"), "bad_type"
    for name in ("kind", "seq", "created_ms", "payload_len"):
        yield "R-24", f"{name} as text", record(**{name: "1"}), "bad_type"
        yield "R-24", f"{name} nil", record(**{name: None}), "bad_type"
        yield "R-11", f"{name} 2^53", record(**{name: 2**53}), "out_of_range"
        yield "R-11", f"{name} below zero", record(**{name: -1}), "out_of_range"
    yield "R-10", "created_ms as a float", record(created_ms=1.0), "bad_type"
    for name, length in (("network", 8), ("account", 32), ("key", 32), ("payload_hash", 32)):
        yield "R-24", f"{name} as text", record(**{name: "a" * length}), "bad_type"
        yield "R-24", f"{name} nil", record(**{name: None}), "bad_type"
        yield "R-24", f"{name} a byte short", record(**{name: bytes(length - 1)}), "bad_length"
        yield "R-24", f"{name} a byte long", record(**{name: bytes(length + 1)}), "bad_length"
    yield "R-24", "prev a byte short", record(seq=2, prev=bytes(31)), "bad_length"
    yield "R-24", "prev a number", record(seq=2, prev=1), "bad_type"
    yield "R-24", "slot a byte long", record(slot=bytes(17)), "bad_length"
    yield "R-24", "slot as text", record(slot="a" * 16), "bad_type"


def _classes() -> Iterator[tuple[str, str, bytes, str]]:
    for lane in (5, 6, 7):
        yield "R-31", f"lane {lane}", record(kind=200 << 8 | 0x20 | lane), "unsupported"
    yield "R-31", "a kind of 17 bits", record(kind=1 << 16 | kinds.POST), "unsupported"
    yield "R-32", "an unknown critical kind", record(kind=200 << 8 | 0x32), "unsupported"
    yield "R-31", "account keys outside the identity", record(kind=200 << 8 | 0x02), "unsupported"
    yield "R-31", "a one-time key in a chain", record(kind=200 << 8 | 0xE2), "unsupported"
    yield (
        "R-31",
        "an envelope with a lasting key",
        record(kind=200 << 8 | 0x24, seq=0),
        "unsupported",
    )
    odd = {"kind": 200 << 8 | 0xEC, "seq": 0, "slot": bytes(16)}
    yield "R-31", "an envelope with a slot", record(**odd), "unsupported"
    yield "R-25", "no slot where the class wants one", record(kind=kinds.FOLLOW), "bad_slot"
    yield "R-25", "a slot where the class has none", record(slot=bytes(16)), "bad_slot"
    yield "R-34", "seq 0 in a chain", record(seq=0), "bad_chain"
    yield "R-34", "seq 1 with a prev", record(prev=ID), "bad_chain"
    yield "R-34", "seq 2 without prev", record(seq=2), "bad_chain"
    yield "R-37", "an envelope with seq 1", record(kind=kinds.MESSAGE), "bad_chain"
    yield "R-37", "an envelope with a prev", record(kind=kinds.MESSAGE, seq=0, prev=ID), "bad_chain"
    yield "R-24", "before the network", record(created_ms=EPOCH_MS - 1), "too_old"
    yield "R-24", "at the epoch of Unix", record(created_ms=0), "too_old"
    yield "R-28", "ten minutes and 1 ms ahead", record(created_ms=NOW_MS + 600_001), "future"
    yield "R-4", "another network", record(network=b"vectorz\x00"), "wrong_network"


def _payloads() -> Iterator[tuple[str, str, bytes, str]]:
    too_large = encode_payload({"data": bytes(16384)}, SALT)
    yield "R-29", "above 16 KiB", record(too_large), "too_large"
    longest = pack([SALT, b"", {"data": bytes(65536 + 64 - 32)}])
    yield (
        "R-29",
        "an envelope above 64 KiB",
        record(longest, kind=kinds.MESSAGE, seq=0),
        "too_large",
    )
    yield "R-29", "payload_len 0", record(payload_len=0), "bad_length"
    yield "R-29", "payload_len 63", record(payload_len=63), "bad_length"
    other = encode_payload({"text": "Another."}, SALT)
    yield "R-26", "another payload", other_part(2, other), "payload_mismatch"
    yield "R-26", "payload cut", other_part(2, PAYLOAD[:-1]), "payload_mismatch"
    yield "R-26", "payload_len lies", record(payload_len=128), "payload_mismatch"
    yield "R-29", "payload a map", record(_filled({"salt": SALT})), "bad_type"
    yield "R-29", "payload of two parts", record(_filled([SALT, {"text": "a" * 80}])), "bad_length"
    yield "R-29", "body a list", record(_padded([SALT, b"", ["a" * 32]])), "bad_type"
    yield "R-29", "salt as text", record(_padded(["a" * 16, b"", BODY])), "bad_type"
    yield "R-29", "padding nil", record(_filled([SALT, None, {"text": ""}])), "bad_type"
    yield "R-29", "salt of 15 bytes", record(_padded([SALT[:15], b"", BODY])), "bad_length"
    loose = pack([SALT, bytes(len(_bare_padding()) + 64), BODY])
    yield "R-29", "more padding than needed", record(loose), "non_canonical"
    dirty = pack([SALT, b"\x01" * len(_bare_padding()), BODY])
    yield "R-29", "padding that is not zero", record(dirty), "non_canonical"
    behind = pack([SALT, b"", BODY])
    yield "R-16", "zeros behind the payload", record(behind + bytes(-len(behind) % 64)), "trailing"
    deep = _padded([SALT, b"", {"text": [[[1]]]}])
    yield "R-15", "five deep", record(deep), "too_deep"
    twice = bytes.fromhex("82a474657874a161a474657874a162")
    raw = b"\x93\xc4\x10" + SALT + b"\xc4"
    room = -(len(raw) + 1 + len(twice)) % 64
    yield "R-14", "a key twice", record(raw + bytes([room]) + bytes(room) + twice), "non_canonical"


def _bare_padding() -> bytes:
    return bytes(-len(pack([SALT, b"", BODY])) % 64)


def _padded(value: list[Any]) -> bytes:
    """`value` with zeros as its second item, so that only what is meant is wrong with it."""
    room = -len(pack(value)) % 64
    return pack([value[0], bytes(room), *value[2:]])


def _filled(value: Any) -> bytes:
    """`value` with text in its map, up to a multiple of 64 bytes."""
    body = value if isinstance(value, dict) else value[-1]
    body["text"] = ""
    while len(pack(value)) % 64:
        body["text"] += "a"
    return pack(value)


def _signatures() -> Iterator[tuple[str, str, bytes, str]]:
    header, signature, payload = parts(record())
    s_and_order = int.from_bytes(signature[32:], "little") + keys.GROUP_ORDER
    again = signature[:32] + s_and_order.to_bytes(32, "little")
    yield "R-17", "S plus the group order", other_part(1, again), "bad_signature"
    small = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
    yield "R-17", "R of small order", other_part(1, small + signature[32:]), "bad_signature"
    yield "R-17", "a key of small order", record(key=small), "bad_key"
    loose = (2**255 - 19 + 3).to_bytes(32, "little")
    yield "R-17", "a key in a second spelling", record(key=loose), "bad_key"
    for place in (0, 300, 511):
        flipped = bytearray(signature)
        flipped[place // 8] ^= 1 << place % 8
        yield (
            "R-17",
            f"bit {place} of the signature",
            other_part(1, bytes(flipped)),
            "bad_signature",
        )
    later = pack(header_of(PAYLOAD, created_ms=CREATED_MS + 1))
    yield "R-21", "the header changed", pack([later, signature, payload]), "bad_signature"
    yield "R-21", "the key changed", pack([_swapped(header), signature, payload]), "bad_signature"
    yield (
        "R-19",
        "signed for another purpose",
        signed_for(b"ratoon/1/device\x00"),
        "bad_signature",
    )
    yield "R-19", "signed without purpose", signed_for(b""), "bad_signature"


def _swapped(header: bytes) -> bytes:
    other = keys.SigningKey.from_seed(hashlib.sha256(b"vector other key").digest())
    return header.replace(KEY.public, other.public)


def _accepted(data: bytes) -> Case:
    header = parts(data)[0]
    return {
        "bytes": data.hex(),
        "id": hashlib.sha256(b"ratoon/1/record\x00" + header).hexdigest(),
        "header": shown(dict(zip(FIELDS, msgpack.unpackb(header), strict=True))),
        "expect": "ok",
    }


def records() -> dict[str, Any]:
    """records.json: whole records judged at `now_ms` by a node of `network`."""
    faults = (*_shapes(), *_headers(), *_classes(), *_payloads(), *_signatures())
    return {
        "how": "decode, then network, time, signature, the payload's shape; the first fault counts",
        "network": NETWORK.hex(),
        "now_ms": NOW_MS,
        "valid": [
            {"name": name, "requirement": requirement, **_accepted(data)}
            for requirement, name, data in valid_records()
        ],
        "invalid": [
            {"name": name, "requirement": requirement, "bytes": data.hex(), "expect": code}
            for requirement, name, data, code in faults
        ],
    }
