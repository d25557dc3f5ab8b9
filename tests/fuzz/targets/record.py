"""Records of all kinds, as they come and signed anew so that changes reach the body (R-20 …)."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import lru_cache
from typing import Any

from ratoon_protocol import bodies, keys, record
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.kinds import IDENTITY
from tests.fuzz.mutation import pack, unpack, valuewise
from tests.fuzz.target import Target, ask, vector_bytes, vectors
from tests.protocol import second_bodies, second_decoder

SIGNER = SigningKey.from_seed(bytes(range(32)))
NOW_MS = 1_760_000_000_000


@lru_cache(maxsize=1)
def network() -> bytes:
    """The network of the vectors."""
    return bytes.fromhex(vectors("records")["network"])


def run(data: bytes) -> None:
    """As it came, then with hash, length and signature mended."""
    judge(data)
    mended = resigned(data)
    if mended is not None and mended != data:
        judge(mended)


def resigned(data: bytes) -> bytes | None:
    """The same record with the payload it holds, signed by a key of ours; None if it is none."""
    parts = unpack(data)
    if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[0], bytes):
        return None
    header = unpack(parts[0])
    if not isinstance(header, list) or len(header) != 11 or not isinstance(parts[2], bytes):
        return None
    header[4] = SIGNER.public
    header[9:] = [len(parts[2]), hashlib.sha256(parts[2]).digest()]
    _fit_slot(header, parts[2])
    try:
        spelt = pack(header)
    except (ValueError, OverflowError):
        return None
    return pack([spelt, SIGNER.sign(record.signed_message(spelt)), parts[2]])


def _fit_slot(header: list[Any], payload: bytes) -> None:
    """The slot that the body asks for, so that what stands in the body is what is judged."""
    try:
        body = unpack(payload)[2]
        salt, target = body["slot_salt"], body["target"]
        header[8] = record.slot_id(header[3], header[2], salt, target)
    except (TypeError, KeyError, IndexError, OverflowError, AttributeError):
        return


def judge(data: bytes) -> None:
    """Both decoders say the same of it; what is accepted has one spelling and can be read."""
    found = expected = None
    with suppress(ProtocolError):
        found = _accepted(data)
    try:
        expected = second_decoder.judge_record(data, network(), NOW_MS)
        if expected[2] is not None:
            second_bodies.check_body(*expected[1:])
    except second_decoder.Fault:
        expected = None
    if found is None and expected is not None and _is_genesis(expected):
        return  # the second decoder leaves the account's name to others
    ask((found is None) == (expected is None), "one decoder accepts it")
    if found is not None and expected is not None:
        ask(found.id == expected[0], "another id")
        ask(found.header[1:] == tuple(expected[1].values())[1:], "another header")


def _is_genesis(expected: Any) -> bool:
    return expected[1]["kind"] == IDENTITY and expected[2]["prev_op"] is None


def _accepted(data: bytes) -> record.Record:
    found = record.decode_record(data)
    ask(found.encode() == data, "encoded otherwise")
    ask(record.header_bytes_in(data) == found.header_bytes, "another header")
    ask(record.known_header(found.header_bytes) == found.header, "known header")
    ask(record.encode_header(found.header) == found.header_bytes, "header encoded otherwise")
    record.check_network(found.header, network())
    record.check_time(found.header, NOW_MS)
    message = record.signed_message(found.header_bytes)
    keys.verify(found.header.key, found.signature, message)
    if found.payload is not None:
        body = record.decode_payload(found.payload)
        ask(record.known_body(found.payload) == body, "known body")
        ask(record.encode_payload(body, _salt(found.payload)) == found.payload, "another payload")
        bodies.check_body(found.header, body)
        look_into(found.header.kind, body)
    return found


def _salt(payload: bytes) -> bytes:
    salt: bytes = unpack(payload)[0]
    return salt


def look_into(kind: int, body: record.Body) -> None:
    """Nothing that is asked of a checked body fails or makes up what is not there."""
    for account in (refs := bodies.references(kind, body)).accounts:
        ask(len(account) == 32, "an account of another length")
    ask(all(len(one) == 32 for one in refs.records), "an id of another length")
    for words in (*bodies.texts(kind, body), *bodies.links(kind, body), *bodies.tags(kind, body)):
        ask(isinstance(words, str) and words, "no words")
    ask(all("hash" in one for one in bodies.media(kind, body)), "media without hash")
    bodies.slot_target(kind, body)
    ask(bodies.state(kind, body) in (0, 1), "no state")


TARGET = Target("record", run, lambda: vector_bytes("records"), bytes_max=4096, mutate=valuewise)
