"""Frames: the vectors, every shape both ways, and limits on what is sent."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratoon_protocol import limits
from ratoon_protocol.errors import Code, LinkError, UsageError
from ratoon_protocol.frames import (
    Ack,
    Admitted,
    Answer,
    Bye,
    Chain,
    Find,
    FrameType,
    Get,
    Have,
    Hello,
    Outcome,
    Peers,
    Ping,
    Push,
    Receipt,
    Reconciled,
    Statement,
    admitted_digest,
    challenge_hash,
    in_frames,
)
from ratoon_protocol.framing import decode, encode, encode_pushes, pack_item
from ratoon_protocol.record import RECORD_CONTEXT
from tests.protocol.vectors_codec import read
from tests.protocol.vectors_frames import A, B, C, frames, spell, unpacked

DOCUMENT = frames()
CASES = DOCUMENT["valid"] + DOCUMENT["invalid"]


def decoded(data):
    """`decode`, its many types left to the test."""
    return decode(data)


def verdict(data):
    try:
        decode(data)
    except LinkError as error:
        return error.code
    return "ok"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_vectors(case):
    assert verdict(unpacked(case["parts"])) == case["expect"]


@pytest.mark.parametrize("case", DOCUMENT["valid"], ids=lambda case: case["name"])
def test_what_was_read_is_written_alike(case):
    data = unpacked(case["parts"])
    assert encode(decode(data)) == data


def test_every_type_has_a_vector():
    types = {case["fields"][0] for case in DOCUMENT["valid"] if "fields" in case}
    assert types == set(FrameType)


def test_vectors_show_the_fields_of_their_bytes():
    cases = [case for case in DOCUMENT["valid"] if "fields" in case]
    assert len(cases) > 20
    for case in cases:
        assert spell(read(case["fields"])) == unpacked(case["parts"])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    verdict(data)


VALUES = st.recursive(
    st.none()
    | st.integers(0, 2**53 - 1)
    | st.binary(max_size=40)
    | st.sampled_from(["all", "gone"]),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(st.integers(0, 19), st.lists(VALUES, max_size=9))
def test_any_fields_are_read_or_refused(number, fields):
    data = spell([number, *fields])
    if verdict(data) == "ok":
        assert encode(decode(data)) == data


@given(st.sampled_from(DOCUMENT["valid"]), st.integers(0), st.integers(0, 255))
def test_any_change_of_a_byte_is_read_or_refused(case, place, byte):
    data = bytearray(unpacked(case["parts"]))
    data[place % len(data)] = byte
    if verdict(bytes(data)) == "ok":
        frame = decode(bytes(data))
        assert decode(encode(frame)) == frame


def test_a_table_of_4096_accounts_fits_a_frame():
    accounts = tuple(number.to_bytes(32) for number in range(limits.ADMITTED_MAX))
    assert decoded(encode(Admitted(accounts))) == Admitted(accounts)


def test_a_word_of_a_later_version_reads_as_unsupported():
    assert decoded(spell([4, "not_yet_known"])) == Bye(Code.UNSUPPORTED)
    ack = decoded(spell([10, [["not_yet_known", A], ["nor_this", B]]]))
    assert ack == Ack((Outcome(A, Code.UNSUPPORTED), Outcome(B, Code.UNSUPPORTED)))


def test_items_carry_the_id_of_the_header_received():
    item = pack_item(b"header", b"signature", b"payload")
    assert item.id == hashlib.sha256(RECORD_CONTEXT + b"header").digest()
    assert item.size == len(b"header") + len(b"payload")
    (frame,) = map(decoded, encode_pushes([item]))
    assert frame.items[0] == (item.id, b"header", b"signature", b"payload", None)
    assert encode(frame) == encode_pushes([item])[0]


def test_an_item_has_a_payload_or_a_code():
    with pytest.raises(UsageError):
        pack_item(b"header", b"signature", b"payload", Code.GONE)


UNSENDABLE = [
    Have(()),
    Have((A,) * 1025),
    Get(0, (A,)),
    Ack(()),
    Hello(2, b"network!", "all", 0, A, B, 0, (1, 2, 3)),
    Hello(1, b"network!", "some", 0, A, B, 0, (1, 2, 3)),
    Chain(1, A, B, 4, 1, (), 1),
    Find(1, 0, A[:31]),
    Reconciled(0, None),
    Receipt(1, (Statement(A, B, 0, 5, C, ((7, 6),)),)),
    Answer(bytes(16), A, b"short"),
    Peers((bytes(limits.PEER_BYTES_MAX + 1),)),
    Ping(-1),
    Ping(2**53),
]


@pytest.mark.parametrize("frame", UNSENDABLE, ids=lambda frame: type(frame).__name__)
def test_what_a_peer_would_refuse_is_not_sent(frame):
    with pytest.raises(UsageError):
        encode(frame)


def test_a_frame_above_the_limit_is_not_sent():
    item = decoded(encode_pushes([pack_item(b"h", b"s", bytes(60_000))])[0]).items[0]
    with pytest.raises(UsageError):
        encode(Push(0, 0, (item,) * 4, ()))


def pushed(count, size):
    return [pack_item(number.to_bytes(4), b"s" * 64, bytes(size)) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "size", "frames_made"),
    [
        (0, 0, 0),
        (1, 0, 1),
        (512, 10, 1),
        (513, 10, 2),
        (4, 60_000, 2),
        (3, 65_000, 1),
        (1500, 10, 3),
    ],
)
def test_pushes_keep_order_and_limits(count, size, frames_made):
    items = pushed(count, size)
    made = encode_pushes(items)
    assert len(made) == frames_made
    assert all(len(data) <= limits.FRAME_BYTES_MAX for data in made)
    items_read = [item for data in made for item in decoded(data).items]
    assert [item.id for item in items_read] == [item.id for item in items]
    assert not any(decoded(data).last for data in made)


def test_only_the_final_frame_of_an_answer_is_last():
    absent = [Outcome(n.to_bytes(32), Code.NOT_FOUND) for n in range(1025)]
    parts = [decoded(data) for data in encode_pushes(pushed(600, 1), 7, absent, last=True)]
    assert [frame.last for frame in parts] == [0, 0, 0, 1]
    assert {frame.request for frame in parts} == {7}
    assert [one for frame in parts for one in frame.absent] == absent
    (empty,) = encode_pushes([], 7, last=True)
    assert decoded(empty) == Push(7, 1, (), ())


def test_an_item_that_no_frame_holds_is_not_sent():
    with pytest.raises(UsageError):
        encode_pushes(pushed(1, limits.FRAME_BYTES_MAX))


def test_a_digest_is_of_the_set():
    assert admitted_digest([B, A]) == admitted_digest((A, B)) == hashlib.sha256(A + B).digest()


def test_a_challenge_depends_on_all_of_it():
    answers = {
        challenge_hash(network, nonce, payload)
        for network in (b"network1", b"network2")
        for nonce in (bytes(16), b"1" * 16)
        for payload in (b"a", b"b")
    }
    assert len(answers) == 8


def test_runs_leave_nothing_out():
    assert list(in_frames([1, 2, 3], 2)) == [(1, 2), (3,)]
    assert list(in_frames([], 2)) == []
