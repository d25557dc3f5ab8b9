"""What a hostile peer can do to a link: end it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratoon_protocol import framing, limits
from ratoon_protocol.errors import Code
from ratoon_protocol.events import Closed, Ready
from ratoon_protocol.frames import Admitted, Bye, Have, Hello, Ping, Pong, admitted_digest
from ratoon_protocol.introduction import Binding, Introduced, Side, introduce
from ratoon_protocol.noise import Handshake
from ratoon_protocol.session import TRANSITIONS, Act, PeerSession, State
from ratoon_protocol.stream import PROLOGUE, SecureStream
from tests.protocol.hostile import Hostile, closed, code_of, hello, opened, sent
from tests.protocol.linked import (
    ANNA,
    NETWORK,
    NOW,
    acceptor,
    carry,
    dialer,
    items,
    linked,
    seed,
    welcome,
)
from tests.protocol.vectors_frames import frames, unpacked

FRAMES = frames()


# --------------------------------------------------------------------------------- out of order
def test_every_frame_has_its_states():
    for state, row in TRANSITIONS.items():
        if state not in (State.OPEN, State.CLOSED):
            assert not row.keys() & (TRANSITIONS[State.OPEN].keys() - {Admitted})
    assert Hello not in TRANSITIONS[State.OPEN]
    assert Act.WELCOME not in TRANSITIONS[State.OPEN]
    assert not TRANSITIONS[State.CLOSED]


def at(state):
    hostile = Hostile(acceptor())
    if state is State.INTRODUCING:
        return hostile
    hostile.say(hostile.introduction())
    if state is State.HEARD:
        hostile.say(hello())
    elif state is not State.INTRODUCED:
        welcome(hostile.victim)
        if state is not State.GREETED:
            digest = bytes(32) if state is State.ADMITTING else admitted_digest([])
            hostile.say(hello(admitted_digest=digest))
    assert hostile.victim.state is state
    hostile.victim.events()
    return hostile


LATER = [state for state in TRANSITIONS if state not in (State.HANDSHAKE, State.CLOSED)]


@pytest.mark.parametrize("state", LATER, ids=lambda state: state.name)
@pytest.mark.parametrize("case", FRAMES["valid"], ids=lambda case: case["name"])
def test_a_frame_out_of_order_ends_the_link(state, case):
    data = unpacked(case["parts"])
    frame = framing.decode(data)
    hostile = at(state)
    hostile.say(data)
    if type(frame) is Bye:
        assert closed(hostile.victim).by_peer
    elif type(frame) not in TRANSITIONS[state]:
        assert code_of(hostile.victim) == Code.UNEXPECTED_FRAME


@pytest.mark.parametrize("state", LATER, ids=lambda state: state.name)
@pytest.mark.parametrize("case", FRAMES["invalid"], ids=lambda case: case["name"])
def test_a_malformed_frame_ends_the_link_with_its_code(state, case):
    hostile = at(state)
    hostile.say(unpacked(case["parts"]))
    assert code_of(hostile.victim) in (case["expect"], Code.TOO_LARGE)
    (*_, bye) = sent(hostile)
    assert type(bye) is Bye


@pytest.mark.parametrize(
    ("state", "frame", "code"),
    [
        (State.INTRODUCED, hello(network=b"another!"), Code.WRONG_NETWORK),
        (State.GREETED, hello(network=b"another!"), Code.WRONG_NETWORK),
        (State.ADMITTING, Admitted((seed("x"),)), Code.BAD_FRAME),
        (State.OPEN, Pong(1), Code.UNEXPECTED_FRAME),
    ],
)
def test_frames_that_contradict_what_was_said(state, frame, code):
    hostile = at(state)
    hostile.say(frame)
    assert code_of(hostile.victim) == code


def test_pings_are_answered_one_at_a_time():
    hostile = opened()
    hostile.say(Ping(7))
    assert sent(hostile) == [Pong(7)]
    hostile.say(Ping(8), Ping(9))
    assert code_of(hostile.victim) == Code.UNEXPECTED_FRAME


def test_a_pong_with_another_number_is_none():
    hostile = opened()
    hostile.victim.expire(NOW + limits.LINK_IDLE_MS_MAX)
    hostile.say(Pong(2))
    assert code_of(hostile.victim) == Code.UNEXPECTED_FRAME


def test_what_follows_a_bye_is_not_read():
    hostile = opened()
    hostile.say(Bye(Code.SHUTDOWN), Ping(1), b"noise")
    assert hostile.victim.events() == [Closed(Code.SHUTDOWN, by_peer=True)]
    assert hostile.victim.data_to_send() == []


def test_what_came_before_the_fault_counts():
    hostile = opened()
    hostile.say(Have((seed("x"),)), b"noise")
    first, last = hostile.victim.events()
    assert first == Have((seed("x"),))
    assert last[:3] == (Code.BAD_FRAME, False, True)


# ---------------------------------------------------------------------------------- the stream
def test_a_stranger_may_send_less():
    hostile = Hostile(acceptor())
    hostile.stream.queue(bytes(limits.INTRODUCTION_BYTES_MAX + 1))
    first, *_ = hostile.stream.messages()
    hostile.victim.receive(first, NOW)
    assert code_of(hostile.victim) == Code.TOO_LARGE


def test_a_length_is_judged_before_its_frame_is_there():
    hostile = opened()
    hostile.stream.queue(bytes(limits.FRAME_BYTES_MAX + 1))
    first, *_ = hostile.stream.messages()
    hostile.victim.receive(first, NOW)
    assert code_of(hostile.victim) == Code.TOO_LARGE


def test_many_tiny_frames_are_no_honest_message():
    hostile = opened()
    hostile.say(*[Admitted(())] * limits.MESSAGE_FRAMES_MAX)
    assert len(hostile.victim.events()) == limits.MESSAGE_FRAMES_MAX
    hostile.say(*[Admitted(())] * (limits.MESSAGE_FRAMES_MAX + 1))
    assert code_of(hostile.victim) == Code.TOO_MANY


def ciphers(victim):
    """The dialer's ciphers, for messages that no stream would make."""
    noise = Handshake(True, seed("h"), seed("he"), PROLOGUE)
    victim.receive(noise.write(), NOW)
    (answer,) = victim.data_to_send()
    noise.read(answer)
    victim.receive(noise.write(), NOW)
    hash_ = noise.handshake_hash
    return *noise.split(), hash_


def test_messages_come_whole_in_order_and_not_empty():
    for spoil in (
        lambda cipher: cipher.encrypt(b""),
        lambda cipher: cipher.encrypt(b"data")[:-1],
        lambda cipher: [cipher.encrypt(b"one"), cipher.encrypt(b"two")][1],
        lambda cipher: bytes(limits.NOISE_MESSAGE_BYTES_MAX + 1),
        lambda cipher: b"",
    ):
        victim = acceptor()
        victim.receive(spoil(ciphers(victim)[0]), NOW)
        assert closed(victim)[:3] == (Code.BAD_FRAME, False, True)


def test_one_byte_a_message_is_slow_but_fine():
    victim = acceptor()
    cipher, _, hash_ = ciphers(victim)
    binding = Binding(
        NETWORK,
        SecureStream(True, seed("h"), seed("he")).static,
        hash_,
        Side.DIALER,
    )
    frame = framing.encode(introduce(ANNA, binding))
    for byte in len(frame).to_bytes(4) + frame:
        victim.receive(cipher.encrypt(bytes([byte])), NOW)
    assert [type(event) for event in victim.events()] == [Introduced]


def test_handshakes_carry_no_payload():
    victim = acceptor()
    noise = Handshake(True, seed("h"), seed("he"), PROLOGUE)
    victim.receive(noise.write(b"hello?"), NOW)
    assert closed(victim)[:3] == (Code.BAD_HANDSHAKE, False, True)
    assert victim.data_to_send() == []


def test_another_protocol_gets_no_answer():
    victim = acceptor()
    victim.receive(b"GET / HTTP/1.1\r\n\r\n", NOW)
    assert closed(victim)[:3] == (Code.BAD_HANDSHAKE, False, True)
    assert victim.data_to_send() == []


def test_a_peer_that_does_not_read_loses_the_link_and_not_our_memory():
    one, other = linked()
    asked = other.get([seed(str(number)) for number in range(100)])
    carry(one, other)
    assert one.can_send
    for _ in range(100):
        if one.state is State.OPEN:
            one.reply(asked, items(1, 60_000), last=False)
    assert not one.can_send or one.state is State.CLOSED
    assert closed(one) == Closed(Code.BUSY, detail="the peer does not read")
    assert len(one.data_to_send()) == 1


# ------------------------------------------------------------------------------------ any bytes
def pair_at(stage):
    """Two honest sessions, `stage` messages into their link."""
    one, other = dialer(), acceptor()
    for _ in range(stage):
        for message in one.data_to_send():
            other.receive(message, NOW)
        for message in other.data_to_send():
            one.receive(message, NOW)
        for session in (one, other):
            if session.state in (State.INTRODUCED, State.HEARD):
                welcome(session)
    return one, other


@settings(max_examples=150)
@given(st.integers(0, 5), st.integers(0, 1), st.binary(max_size=300))
def test_noise_on_the_wire_ends_in_closed(stage, which, data):
    session = pair_at(stage)[which]
    session.receive(data, NOW)
    assert session.state in (State.CLOSED, State.HANDSHAKE)


@settings(max_examples=150)
@given(st.integers(0, 4), st.integers(0), st.integers(1, 255))
def test_a_changed_bit_on_the_wire_ends_in_closed(stage, place, mask):
    one, other = pair_at(stage)
    one.close(Code.SHUTDOWN)  # so that there is something to change at every stage
    for message in one.data_to_send()[:1]:
        spoilt = bytearray(message)
        spoilt[place % len(spoilt)] ^= mask
        other.receive(bytes(spoilt), NOW)
        if other.state is State.HANDSHAKE:  # the first message authenticates nothing
            carry(one, other)
    assert all(type(event) in (Introduced, Ready, Closed) for event in other.events())


@settings(max_examples=60)
@given(st.sampled_from(LATER), st.randoms(use_true_random=False))
def test_frames_changed_at_random_end_in_closed_or_in_events(state, chance):
    hostile = at(state)
    cases = [unpacked(case["parts"]) for case in FRAMES["valid"]]
    for _ in range(10):
        data = bytearray(chance.choice(cases))
        for _ in range(chance.randrange(3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        hostile.say(bytes(data))
        hostile.victim.expire(NOW)
        hostile.victim.data_to_send()
    assert isinstance(hostile.victim, PeerSession)
    ends = [event for event in hostile.victim.events() if type(event) is Closed]
    assert len(ends) == (hostile.victim.state is State.CLOSED)


def test_a_large_frame_of_noise_ends_in_closed():
    chance = random.Random(7)
    hostile = opened()
    hostile.say(chance.randbytes(190_000))
    assert closed(hostile.victim)[:3] == (Code.BAD_FRAME, False, True)
