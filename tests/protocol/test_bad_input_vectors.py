"""Bad input as vectors: the library, the second decoder and the table agree on every case."""

from __future__ import annotations

import json

from ratoon_protocol import keys
from ratoon_protocol.bodies import check_body
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.record import (
    check_network,
    check_time,
    decode_payload,
    decode_record,
    signed_message,
)
from tests.protocol import second_bodies, second_decoder
from tests.protocol.second_decoder import Fault
from tests.protocol.vectors_keys import VECTORS

DOCUMENT = json.loads((VECTORS / "bad_input.json").read_text(encoding="utf-8"))
CASES = {case["name"]: case for case in DOCUMENT["invalid"]}
NETWORK, NOW_MS = bytes.fromhex(DOCUMENT["network"]), DOCUMENT["now_ms"]


def first(data: bytes) -> str:
    """The library's verdict, in the order of R-23."""
    try:
        found = decode_record(data)
        check_network(found.header, NETWORK)
        check_time(found.header, NOW_MS)
        keys.verify(found.header.key, found.signature, signed_message(found.header_bytes))
        if found.payload is not None:
            check_body(found.header, decode_payload(found.payload))
    except ProtocolError as error:
        return error.code.value
    return "ok"


def second(data: bytes) -> str:
    """The verdict of the decoder that was written from SPEC.md alone."""
    try:
        _, header, body = second_decoder.judge_record(data, NETWORK, NOW_MS)
        if body is not None:
            second_bodies.check_body(header, body)
    except Fault as fault:
        return str(fault)
    return "ok"


def test_both_decoders_agree_with_the_table():
    found = {
        name: (first(bytes.fromhex(case["bytes"])), second(bytes.fromhex(case["bytes"])))
        for name, case in CASES.items()
    }
    wrong = {
        name: (codes, CASES[name]["expect"])
        for name, codes in found.items()
        if codes != (CASES[name]["expect"],) * 2
    }
    assert wrong == {}


def test_most_of_the_table_is_exported():
    assert len(CASES) >= 120
