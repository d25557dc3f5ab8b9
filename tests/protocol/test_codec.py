"""One spelling: what is decoded is what would be encoded, and nothing else is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol.codec import decode, encode
from ratoon_protocol.errors import Code, DecodeError, UsageError
from ratoon_protocol.limits import INT_MAX, ITEMS_MAX
from tests.protocol.vectors_codec import codec, read

VECTORS = codec()

scalars = (
    st.none()
    | st.integers(0, INT_MAX)
    | st.binary(max_size=40)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
)
ascii_keys = st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=6)


def nested(depth):
    if depth == 0:
        return scalars
    below = nested(depth - 1)
    lists = st.lists(below, max_size=4)
    return scalars | lists | st.dictionaries(ascii_keys, below, max_size=4)


values = nested(4)


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"])
def test_valid_vectors(case):
    data = bytes.fromhex(case["bytes"])
    value = read(case["value"])
    assert decode(data) == value
    assert encode(value) == data


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case):
    with pytest.raises(DecodeError) as caught:
        decode(bytes.fromhex(case["bytes"]))
    assert caught.value.code == case["expect"]


@given(values)
def test_what_is_encoded_comes_back(value):
    assert decode(encode(value)) == value


@given(values)
def test_maps_are_put_in_order(value):
    if isinstance(value, dict):
        turned = dict(reversed(value.items()))
        assert encode(turned) == encode(value)


@given(values, st.data())
def test_a_changed_byte_is_refused_or_is_the_one_spelling(value, data):
    spelled = bytearray(encode(value))
    spelled[data.draw(st.integers(0, len(spelled) - 1))] = data.draw(st.integers(0, 255))
    _refused_or_canonical(bytes(spelled))


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_are_the_one_spelling(data):
    _refused_or_canonical(data)


def _refused_or_canonical(data):
    try:
        value = decode(data)
    except DecodeError:
        return
    assert encode(value) == data


@given(values, st.binary(min_size=1, max_size=5))
def test_nothing_may_follow(value, more):
    with pytest.raises(DecodeError):
        decode(encode(value) + more)


@pytest.mark.parametrize(
    "value",
    [
        -1,
        INT_MAX + 1,
        1.0,
        True,
        object(),
        "\0",
        "\ud800",
        {"\u00e9": 1},
        {1: 1},
        {1: 1, "a": 2},
        {"": 1},
        [[[[[1]]]]],
        [[[[[]]]]],
        {"a": {"b": {"c": {"d": {"e": 1}}}}},
        [0] * (ITEMS_MAX + 1),
        bytearray(b"a"),
    ],
    ids=lambda value: ascii(value)[:20] if type(value) is not object else "object",
)
def test_what_the_protocol_does_not_know_is_a_bug_here(value):
    with pytest.raises(UsageError):
        encode(value)


def test_tuples_are_lists():
    assert encode((1, (2,))) == encode([1, [2]])


def test_depth_can_be_asked_lower():
    assert decode(b"\x91\x01", depth_max=1) == [1]
    with pytest.raises(DecodeError) as caught:
        decode(b"\x91\x90", depth_max=1)
    assert caught.value.code is Code.TOO_DEEP
