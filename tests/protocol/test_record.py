"""Records: header signed, payload hashed, both judged from the bytes received."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import keys, kinds
from ratoon_protocol.errors import Code, DecodeError, ProtocolError, RecordError, UsageError
from ratoon_protocol.keys import Context, context_prefix
from ratoon_protocol.record import (
    ACCOUNT_CONTEXT,
    RECORD_CONTEXT,
    SLOT_CONTEXT,
    assemble,
    check_network,
    check_payload_fits,
    check_time,
    decode_header,
    decode_payload,
    decode_record,
    encode_header,
    encode_payload,
    known_body,
    known_header,
    new_header,
    record_id,
    signed_message,
)
from tests.protocol.test_codec import ascii_keys, nested
from tests.protocol.vectors_codec import shown
from tests.protocol.vectors_records import KEY, NETWORK, NOW_MS, SALT, record, records

VECTORS = records()


def judge(data):
    """What a node does before it asks who may sign."""
    found = decode_record(data)
    check_network(found.header, NETWORK)
    check_time(found.header, NOW_MS)
    keys.verify(found.header.key, found.signature, signed_message(found.header_bytes))
    if found.payload is not None:
        decode_payload(found.payload)
    return found


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"])
def test_valid_vectors(case):
    data = bytes.fromhex(case["bytes"])
    found = judge(data)
    assert found.id.hex() == case["id"]
    assert shown(found.header._asdict()) == case["header"]
    assert found.encode() == data
    assert encode_header(found.header) == found.header_bytes
    assert known_header(found.header_bytes) == found.header
    if found.payload is not None:
        assert known_body(found.payload) == decode_payload(found.payload)


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case):
    with pytest.raises(ProtocolError) as caught:
        judge(bytes.fromhex(case["bytes"]))
    assert caught.value.code == case["expect"]


@given(st.data())
def test_a_changed_byte_never_passes_as_another_record(data):
    good = record()
    changed = bytearray(good)
    place = data.draw(st.integers(0, len(good) - 1))
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        judge(bytes(changed))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_code(data):
    with pytest.raises(ProtocolError):
        judge(data)


@given(st.dictionaries(ascii_keys, nested(2), max_size=6))
def test_payloads_come_back_and_are_padded(body):
    payload = encode_payload(body, SALT)
    assert len(payload) % 64 == 0
    assert decode_payload(payload) == body


def test_lengths_tell_little():
    lengths = {len(encode_payload({"text": "a" * n}, SALT)) for n in range(100)}
    assert lengths == {64, 128}


def test_two_signatures_of_one_header_are_one_record():
    found = judge(record())
    other = assemble(found.header_bytes, bytes(64), None)
    assert other.id == found.id == record_id(found.header_bytes)


def test_a_known_id_is_not_computed_again():
    found = judge(record())
    assert assemble(found.header_bytes, found.signature, None, known=b"id").id == b"id"


def test_contexts_are_those_of_the_table():
    assert context_prefix(Context.RECORD) == RECORD_CONTEXT
    assert context_prefix(Context.ACCOUNT) == ACCOUNT_CONTEXT
    assert context_prefix(Context.SLOT) == SLOT_CONTEXT


def test_a_header_says_its_class():
    assert judge(record()).header.kind_class == kinds.kind_class(kinds.POST)


def test_a_payload_can_be_judged_later():
    found = judge(record())
    check_payload_fits(found.header, found.payload)
    with pytest.raises(RecordError) as caught:
        check_payload_fits(found.header, encode_payload({"text": "Another."}, SALT))
    assert caught.value.code is Code.PAYLOAD_MISMATCH


def _header(**changes):
    fields: dict[str, Any] = {
        "network": NETWORK,
        "kind": kinds.POST,
        "account": bytes(32),
        "key": KEY.public,
        "seq": 1,
        "prev": None,
        "created_ms": NOW_MS,
        "payload": encode_payload({}, SALT),
    }
    return new_header(**(fields | changes))


def test_what_this_side_signs_is_checked_first():
    assert decode_header(encode_header(_header())) == _header()
    with pytest.raises(RecordError):
        encode_header(_header(seq=0))
    with pytest.raises(DecodeError):
        encode_header(_header(payload=encode_payload({"data": bytes(20_000)}, SALT)))
    for created_ms in (-1, 2**53):
        with pytest.raises(UsageError):
            _header(created_ms=created_ms)
    with pytest.raises(UsageError):
        encode_payload({}, SALT[:15])
