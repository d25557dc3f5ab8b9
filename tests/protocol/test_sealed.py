import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import kinds, sealed
from ratoon_protocol.errors import Code, DecodeError, ProtocolError, SignatureError, UsageError
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.limits import DEVICES_MAX, ENVELOPE_PAYLOAD_BYTES_MAX
from ratoon_protocol.record import encode_payload
from tests.protocol.vectors_keys import VECTORS, spelled
from tests.protocol.vectors_sealed import (
    Parts,
    bucket,
    envelope,
    fixed,
    hpke_open,
    hpke_seal,
    padded,
    rows,
)
from tests.protocol.vectors_sealed import sealed as document

DOCUMENT = json.loads((VECTORS / "sealed.json").read_text(encoding="utf-8"))

BINDING = sealed.Binding(b"network8", kinds.MESSAGE, b"r" * 32, b"o" * 32)
SENDER = b"s" * 32
SIGNER = SigningKey.from_seed(b"d" * 32)
CONTENT_KEY = b"c" * 32


def ids(case):
    return case["name"]


def devices(count):
    return [AgreementKey(bytes([number + 1]) * 32) for number in range(count)]


def seal(content, keys, binding=BINDING):
    return sealed.seal(binding, keys, CONTENT_KEY, SENDER, SIGNER, 1_790_000_000_000, content)


def open_case(case):
    names = ("network", "recipient", "key", "private", "envelope")
    network, recipient, key, private, data = (bytes.fromhex(case[name]) for name in names)
    binding = sealed.Binding(network, case["kind"], recipient, key)
    return sealed.open_(binding, AgreementKey(private), data)


def test_vectors_are_those_the_generator_makes():
    assert (VECTORS / "sealed.json").read_text(encoding="utf-8") == spelled(document())


@pytest.mark.parametrize("case", DOCUMENT["valid"], ids=ids)
def test_envelopes_open(case):
    message = open_case(case)
    assert message.sender.hex() == case["sender"]
    assert message.key.hex() == case["sender_key"]
    assert message.created_ms == case["created_ms"]
    assert message.content.hex() == case["content"]


@pytest.mark.parametrize("case", DOCUMENT["invalid"], ids=ids)
def test_bad_envelopes(case):
    with pytest.raises(ProtocolError) as caught:
        open_case(case)
    assert caught.value.code == case["expect"]


def test_vectors_use_the_kinds_of_the_table():
    used = {case["kind"] for case in DOCUMENT["valid"]}
    assert used == {kinds.MESSAGE, kinds.REPORT, kinds.FOLLOWER_KEYS, kinds.SETTING}


@given(st.binary(max_size=600), st.integers(1, 4))
def test_every_device_opens_what_was_sealed(content, count):
    own = devices(count)
    data = seal(content, [key.public for key in own])
    for key in own:
        assert sealed.open_(BINDING, key, data) == (
            SENDER,
            SIGNER.public,
            1_790_000_000_000,
            content,
        )


def test_a_second_hpke_opens_what_the_library_sealed():
    own = devices(2)
    _, _, recipients, _ = msgpack.unpackb(seal(b"hello", [key.public for key in own]))
    opened = {
        hpke_open(bytes([number + 1]) * 32, BINDING.encode(), row[1])
        for number, key in enumerate(own)
        for row in recipients
        if row[0] == sealed.key_id(key.public)
    }
    assert opened == {CONTENT_KEY}


def test_the_second_hpke_opens_its_own():
    to = AgreementKey(b"t" * 32)
    assert hpke_open(b"t" * 32, b"info", hpke_seal(to.public, b"e" * 32, b"info", b"plain")) == (
        b"plain"
    )


@given(st.integers(0, 70_000))
def test_buckets_are_those_of_a_second_reckoning(length):
    if length + 4 > sealed.BUCKETS_BYTES[-1]:
        with pytest.raises(UsageError):
            sealed.pad(bytes(length))
    else:
        assert sealed.pad(b"x" * length) == padded(b"x" * length)
        assert len(sealed.pad(bytes(length))) == bucket(length + 4)


@given(st.binary(max_size=1000))
def test_only_one_padding_is_taken_off(inner):
    plaintext = sealed.pad(inner)
    assert sealed.unpad(plaintext) == inner
    for other in (plaintext[:-1], plaintext + b"\0", plaintext.ljust(61_441, b"\0"), b""):
        with pytest.raises(DecodeError) as caught:
            sealed.unpad(other)
        assert caught.value.code is Code.NON_CANONICAL


def test_the_largest_envelope_fits_a_record():
    keys = [key.public for key in devices(DEVICES_MAX)]
    overhead = len(msgpack.packb(Parts(content=bytes(60_000)).inner())) - 60_000 + 4
    data = seal(bytes(sealed.BUCKETS_BYTES[-1] - overhead), keys)
    payload = encode_payload({"data": data, "token": bytes(128)}, bytes(16))
    assert len(payload) <= ENVELOPE_PAYLOAD_BYTES_MAX
    with pytest.raises(UsageError):
        seal(bytes(sealed.BUCKETS_BYTES[-1] - overhead + 1), keys)


def test_what_cannot_be_sealed():
    keys = [key.public for key in devices(DEVICES_MAX + 1)]
    for wrong in ([], keys, [keys[0], keys[0]]):
        with pytest.raises(UsageError):
            seal(b"", wrong)
    with pytest.raises(UsageError):
        sealed.seal(BINDING, keys[:1], b"short", SENDER, SIGNER, 0, b"")
    for wrong_key in (bytes(32), b"short"):
        with pytest.raises(SignatureError) as caught:
            seal(b"", [wrong_key])
        assert caught.value.code is Code.BAD_KEY


def test_an_envelope_cannot_be_read_in_two_ways():
    """A sender who gives one device another content key reaches only the one committed to."""
    parts = Parts(devices=("phone", "laptop"))
    laptop = rows(parts._replace(devices=("laptop",)), fixed("another content key"))

    def swap(fields):
        fields[2] = [row if row[0] != laptop[0][0] else laptop[0] for row in fields[2]]

    data = envelope(parts, change=swap)
    binding = sealed.Binding(parts.network, parts.kind, parts.recipient, parts.key)
    assert sealed.open_(binding, AgreementKey(fixed("phone")), data).content == parts.content
    with pytest.raises(SignatureError) as caught:
        sealed.open_(binding, AgreementKey(fixed("laptop")), data)
    assert caught.value.code is Code.BAD_SEAL
    assert caught.value.detail == "the envelope commits to another key"


@given(st.binary(max_size=300))
def test_any_bytes_open_or_fail_in_a_declared_way(data):
    with pytest.raises((DecodeError, SignatureError)):
        sealed.open_(BINDING, devices(1)[0], data)


@given(st.integers(0, 497), st.integers(1, 255))
def test_no_byte_of_an_envelope_may_change(place, change):
    good = envelope(Parts())
    data = bytearray(good)
    data[place % len(data)] ^= change
    parts = Parts()
    binding = sealed.Binding(parts.network, parts.kind, parts.recipient, parts.key)
    assert sealed.open_(binding, AgreementKey(fixed("phone")), good).content == parts.content
    with pytest.raises((DecodeError, SignatureError)):
        sealed.open_(binding, AgreementKey(fixed("phone")), bytes(data))
