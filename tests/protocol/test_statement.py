"""Statements that keys sign: the vectors, and that nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratoon_protocol import statement
from ratoon_protocol.errors import ProtocolError, UsageError
from ratoon_protocol.keys import Context, SigningKey
from ratoon_protocol.statement import SignIn
from tests.protocol.vectors_codec import read
from tests.protocol.vectors_keys import VECTORS

DOCUMENT = json.loads((VECTORS / "statements.json").read_text(encoding="utf-8"))
NETWORK = bytes.fromhex(DOCUMENT["network"])
DEVICE = SigningKey.from_seed(bytes(range(32)))
SAID = SignIn(bytes(32), bytes([1] * 32), "https://node.example", bytes(16), 5)


def judged(case):
    data = bytes.fromhex(case["bytes"])
    return statement.read_statement(Context(case["context"]), NETWORK, data)


@pytest.mark.parametrize("case", DOCUMENT["valid"], ids=lambda case: case["name"])
def test_valid(case):
    found = judged(case)
    assert found.key.hex() == case["key"]
    assert list(found.parts) == read(case["parts"])


@pytest.mark.parametrize("case", DOCUMENT["invalid"], ids=lambda case: case["name"])
def test_invalid(case):
    with pytest.raises(ProtocolError) as caught:
        judged(case)
    assert caught.value.code == case["expect"]


def test_what_is_signed_is_read():
    data = statement.sign_in(NETWORK, SAID, DEVICE)
    assert statement.read_sign_in(NETWORK, data) == (DEVICE.public, SAID)


def test_every_context_says_which_keys_may():
    contexts = {case["context"] for case in DOCUMENT["valid"]}
    assert contexts == {context.value for context in statement.CAPABILITIES}


@pytest.mark.parametrize("change", [{"account": b"short"}, {"origin": ""}, {"nonce": bytes(15)}])
def test_what_nobody_would_read_is_not_signed(change):
    with pytest.raises(UsageError):
        statement.sign_in(NETWORK, SAID._replace(**change), DEVICE)


@settings(max_examples=200)
@given(st.data())
def test_any_changed_byte_is_refused(data):
    good = bytearray(statement.sign_in(NETWORK, SAID, DEVICE))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        statement.read_sign_in(NETWORK, bytes(good))
