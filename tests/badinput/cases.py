"""Bad records, one case a kind of wrong, with the code each way in must answer.

A case is the three parts of a record. `api` is the answer to somebody who publishes it. `link` is
the answer to a peer that pushes the parts; it differs where a signed header counts although its
payload does not: there the header stays, the payload never.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from ratoon_protocol import kinds
from ratoon_protocol.author import Author, Draft
from ratoon_protocol.identity import parse_operation
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.limits import EPOCH_MS, VERSION
from ratoon_protocol.record import (
    Header,
    decode_payload,
    encode_payload,
    new_header,
    record_id,
    signed_message,
    slot_id,
)
from tests.node.world import Person, person

ORDER_L = 2**252 + 27742317777372353535851937790883648493
FIELD_P = 2**255 - 19
#: Stands in every refused text, so that a test can look for it on the disk.
MARK = "REFUSED-TEXT-7f3a"
#: Fields of a header or a body, of any type at all.
Fields = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One bad record. `link` None: the parts cannot travel on a link at all."""

    name: str
    header: bytes
    signature: bytes
    payload: bytes | None
    api: str
    link: str | None
    whole: bytes | None = None

    @property
    def data(self) -> bytes:
        """What somebody would publish."""
        if self.whole is not None:
            return self.whole
        return bytes(msgpack.packb([self.header, self.signature, self.payload]))


class Forge:
    """Makes records that `Author` refuses to make, signed by the device of a real account."""

    def __init__(self, who: Person) -> None:
        self.who = who
        self.key = who.author.key
        self.network = who.author.network
        self._salt = 0

    def salt(self) -> bytes:
        self._salt += 1
        return self._salt.to_bytes(16)

    def payload(self, body: object) -> bytes:
        return encode_payload(body, self.salt())  # type: ignore[arg-type]

    def header(self, payload: bytes, **change: object) -> Header:
        made = new_header(
            network=self.network,
            kind=kinds.POST,
            account=self.who.account,
            key=self.key.public,
            seq=1,
            prev=None,
            created_ms=self.who.clock.now_ms(),
            payload=payload,
        )
        return made._replace(**change)  # type: ignore[arg-type]

    def sign(self, header: bytes) -> bytes:
        return self.key.sign(signed_message(header))

    def fields(self, payload: bytes, **change: object) -> bytes:
        """A header with any fields at all, in the right spelling of MessagePack."""
        return bytes(msgpack.packb(list(self.header(payload, **change))))

    def case(
        self,
        name: str,
        api: str,
        link: str | None,
        body: object | None = None,
        payload: bytes | None = None,
        **change: Any,
    ) -> Case:
        """A signed record whose header has the fields of `change`."""
        inside = payload if payload is not None else self.payload(body or {"text": MARK})
        header = self.fields(inside, **change)
        return Case(name, header, self.sign(header), inside, api, link)

    def raw(self, name: str, code: str, header: bytes) -> Case:
        """A header of any bytes, signed."""
        return Case(name, header, self.sign(header), self.payload({"text": MARK}), code, code)

    def body(self, name: str, code: str, body: object) -> Case:
        """A record that is right but for its body: its header counts."""
        return self.case(name, code, "invalid", body)


def all_cases(who: Person, stranger: Person) -> list[Case]:
    """Every case, for an account at home here and one that is not."""
    forge = Forge(who)
    makers: list[Callable[[Forge], Iterator[Case]]] = [
        _outside,
        _spelling,
        _header_fields,
        _header_shape,
        _signatures,
        _keys,
        _payloads,
        _payload_spelling,
        _posts,
        _facets,
        _other_bodies,
    ]
    found = [case for maker in makers for case in maker(forge)]
    found += _authority(forge, stranger)
    found += _identity(forge, who)
    return found


# --- what stands around a record ---------------------------------------------------------
def _outside(forge: Forge) -> Iterator[Case]:
    good = forge.who.post(MARK)
    parts = [good.header_bytes, good.signature, good.payload]

    def whole(name: str, code: str, data: bytes) -> Case:
        return Case(name, b"", b"", None, code, None, data)

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
    yield whole("a hundred thousand arrays", "too_large", b"\x91" * 100_000 + b"\xc0")
    long = b"\xdc\x00\x03" + good.encode()[1:]
    yield whole("a record in a longer spelling", "non_canonical", long)
    yield whole("a reserved byte", "malformed", b"\xc1")
    yield whole("an extension type", "bad_type", msgpack.packb(msgpack.ExtType(5, b"x")))
    yield whole("a timestamp", "bad_type", msgpack.packb(msgpack.Timestamp(1)))


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
        link = None  # a frame with such a signature is no frame
        yield Case(f"a signature of {size} bytes", header, bad, payload, "bad_length", link)
    flipped = header[:-1] + bytes([header[-1] ^ 1])
    codes = "payload_mismatch", "bad_signature"
    yield Case("a flipped bit in the header", flipped, right, payload, *codes)


def _keys(forge: Forge) -> Iterator[Case]:
    # Every encoding is in the vectors; here a few travel the whole way.
    for name, key in {
        "the neutral point as a key": bytes([1]) + bytes(31),
        "a key of order two": (FIELD_P - 1).to_bytes(32, "little"),
        "a key of order four": bytes(32),
        "a key above the field": (FIELD_P + 3).to_bytes(32, "little"),
    }.items():
        yield forge.case(name, "bad_key", "bad_key", key=key)


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
    }
    payloads = {
        "padding that is not zero": ("non_canonical", _padded(salt, 1)),
        "padding of another block": ("non_canonical", _padded(salt, 0, 64)),
        "two parts": ("bad_length", _two(salt)),
        "a payload that ends early": ("trailing", bare + bytes(-len(bare) % 64)),
    }
    payloads |= {name: (code, _block(head, body)) for name, (code, body) in bodies.items()}
    for name, (code, payload) in payloads.items():
        yield forge.case(name, code, "invalid", payload=payload)


def _padded(salt: bytes, filling: int, extra: int = 0) -> bytes:
    bare = msgpack.packb([salt, b"", {"text": MARK}])
    size = -len(bare) % 64 + extra
    return bytes(msgpack.packb([salt, bytes([filling]) * size, {"text": MARK}]))


def _block(head: bytes, body: bytes) -> bytes:
    """A payload around any body bytes, padded rightly."""
    size = -(len(head) + 2 + len(body)) % 64
    return head + b"\xc4" + bytes([size]) + bytes(size) + body


def _map(*names: bytes) -> bytes:
    return bytes([0x80 + len(names)]) + b"".join(b"\xa1" + name + b"\xc0" for name in names)


def _two(salt: bytes) -> bytes:
    size = -(1 + 18 + 2) % 64
    return b"\x92\xc4\x10" + salt + b"\xc4" + bytes([size]) + bytes(size)


# --- bodies ------------------------------------------------------------------------------
def _posts(forge: Forge) -> Iterator[Case]:
    text = {"text": MARK}
    half = {"parent": bytes(31), "root": bytes(32)}
    poll = {"ends_ms": 1, "many": 0, "options": ["a"]}
    bodies = {
        "no text at all": ("bad_body", {"lang": "en"}),
        "a text that is bytes": ("bad_type", {"text": b"bytes"}),
        "a text above its bound": ("too_long", {"text": MARK + "x" * 8192}),
        "a control character": ("bad_text", {"text": MARK + "\x07"}),
        "forty marks on one letter": ("bad_text", {"text": MARK + "a" + "\u0301" * 40}),
        "a root without a parent": ("bad_body", text | {"root": bytes(32)}),
        "a parent of 31 bytes": ("bad_length", text | half),
        "who may reply: 9": ("out_of_range", text | {"replies": 9}),
        "nine media": ("too_many", text | {"media": [{}] * 9}),
        "a poll of one": ("bad_body", text | {"poll": poll}),
    }
    for name, (code, body) in bodies.items():
        yield forge.body(name, code, body)


def _facets(forge: Forge) -> Iterator[Case]:
    size = len(MARK)
    rows = {
        "a facet behind the text": ("bad_body", [0, 500, 2, "tag"]),
        "a facet inside a character": ("bad_body", [0, size + 1, 2, "tag"]),
        "a facet that ends before it begins": ("bad_body", [5, 2, 2, "tag"]),
        "a link to a script": ("bad_text", [0, 3, 0, "javascript:alert(1)"]),
        "a mention of a name": ("bad_type", [0, 3, 1, "ann"]),
    }
    for name, (code, row) in rows.items():
        yield forge.body(name, code, {"text": MARK + "é", "facets": [row]})
    many = [[at, at + 1, 2, "t"] for at in range(0, 65 * 2, 2)]
    yield forge.body("sixty-five facets", "too_many", {"text": "x" * 200, "facets": many})


def _other_bodies(forge: Forge) -> Iterator[Case]:
    many = [number.to_bytes(32) for number in range(129)]
    deletes: dict[str, tuple[str, list[object]]] = {
        "a delete of nothing": ("bad_body", []),
        "a delete of 129": ("too_many", [*many]),
        "a delete of half an id": ("bad_length", [bytes(16)]),
        "a delete of a text": ("bad_type", ["post"]),
    }
    for name, (code, ids) in deletes.items():
        yield forge.case(name, code, "invalid", {"ids": ids}, kind=kinds.DELETE)
    follows = {
        "a follow of state 2": ("out_of_range", bytes(32), 2),
        "a follow of half an account": ("bad_target", bytes(31), 1),
    }
    for name, (code, target, state) in follows.items():
        yield _slotted(forge, name, code, kinds.FOLLOW, target, {"state": state})
    profile: Fields = {"bio": "", "name": "ann\u202e"}
    yield _slotted(forge, "a name that turns around", "bad_text", kinds.PROFILE, b"", profile)
    elsewhere = {"slot_salt": bytes(16), "state": 1, "target": bytes(32)}
    where: Fields = {"kind": kinds.FOLLOW, "slot": bytes(16)}
    yield forge.case("a follow in another slot", "bad_slot", "invalid", elsewhere, **where)


def _slotted(forge: Forge, name: str, code: str, kind: int, target: bytes, body: Fields) -> Case:
    slot = slot_id(forge.who.account, kind, bytes(16), target)
    whole = body | {"slot_salt": bytes(16), "target": target}
    return forge.case(name, code, "invalid", whole, kind=kind, slot=slot)


# --- authority ---------------------------------------------------------------------------
def _authority(forge: Forge, stranger: Person) -> list[Case]:
    """Records that are right in themselves, by keys that may not sign them."""
    theirs = Forge(stranger)
    payload = forge.payload({"text": MARK})
    stolen = theirs.fields(payload, account=forge.who.account)
    paper = forge.who.paper
    by_paper = forge.fields(payload, key=paper.public)
    serving = forge.payload({"slot_salt": bytes(16), "state": 1, "target": bytes(32)})
    serve = forge.fields(
        serving,
        kind=kinds.HOSTING,
        slot=slot_id(forge.who.account, kinds.HOSTING, bytes(16), bytes(32)),
    )
    foreign = theirs.fields(payload)
    by_stranger = theirs.sign(foreign)
    by_thief = theirs.sign(stolen)
    paper_signs = paper.sign(signed_message(by_paper))
    unknown, revoked, nobody = ("unknown_key",) * 2, ("revoked",) * 2, ("not_home", "not_hosted")
    return [
        Case("another account's key", stolen, by_thief, payload, *unknown),
        Case("an account key that posts", by_paper, paper_signs, payload, *revoked),
        Case("a key that may not serve", serve, forge.sign(serve), serving, *revoked),
        Case("an account of nobody here", foreign, by_stranger, payload, *nobody),
    ]


def _identity(forge: Forge, who: Person) -> list[Case]:
    """Identity operations that must not move the head."""
    device = who.author.key
    return [
        _operation("an operation by a device", forge, who, device, "bad_operation"),
        _operation("an operation on nothing", forge, who, who.paper, "pending", bytes(32)),
        _genesis_of_another(forge, who),
    ]


def _operation(
    name: str,
    forge: Forge,
    who: Person,
    key: SigningKey,
    code: str,
    prev: bytes | None = None,
) -> Case:
    """The genesis again, on top of itself or of something unknown, by any key."""
    assert who.genesis.payload is not None
    body = decode_payload(who.genesis.payload)
    draft = Draft.after(parse_operation(who.genesis.id, who.genesis.header, body))
    draft.prev_op = prev or who.genesis.id
    author = Author(forge.network, who.account, key, None, who.paper_author().chains)
    made = author.sign(kinds.IDENTITY, draft.body(), who.clock.now_ms(), forge.salt())
    return Case(name, made.header_bytes, made.signature, made.payload, code, code)


def _genesis_of_another(forge: Forge, who: Person) -> Case:
    other = person(forge.network, random.Random(77), who.clock)
    header = other.genesis.header._replace(account=who.account)
    data = bytes(msgpack.packb(list(header)))
    signature = other.paper.sign(signed_message(data))
    assert record_id(data) != other.genesis.id
    payload = other.genesis.payload
    codes = "bad_operation", "unknown_key"
    return Case("a genesis under another name", data, signature, payload, *codes)
