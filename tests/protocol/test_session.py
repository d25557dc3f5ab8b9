"""A link from its handshake to its end, between two honest nodes."""

from __future__ import annotations

import pytest

from ratoon_protocol import limits
from ratoon_protocol.errors import Code, UsageError
from ratoon_protocol.events import Closed, Pushed
from ratoon_protocol.frames import Admitted, Have
from ratoon_protocol.introduction import Own
from ratoon_protocol.session import State
from tests.protocol.hostile import closed
from tests.protocol.linked import (
    ANNA,
    BORIS,
    NOW,
    acceptor,
    carry,
    dialer,
    introduced,
    items,
    linked,
    said,
    seed,
    welcome,
)


# ------------------------------------------------------------------------------- the whole way
def test_two_nodes_learn_who_the_other_is():
    one, other = dialer(expected=BORIS.account), acceptor()
    carry(one, other)
    (to_anna,), (to_boris,) = one.events(), other.events()
    assert (to_anna.account, to_boris.account) == (BORIS.account, ANNA.account)
    assert to_anna.device == BORIS.key.public
    assert [record.encode() for record in to_anna.identity] == list(BORIS.identity)
    assert to_anna.node.encode() == BORIS.node
    assert to_anna.node_body["provider"] == "one"
    assert one.peer == to_anna


@pytest.mark.parametrize("first", [0, 1])
def test_either_may_welcome_first(first):
    pair = introduced()
    welcome(pair[first], [ANNA.account])
    carry(*pair)
    assert not pair[0].events() + pair[1].events()
    welcome(pair[1 - first], [ANNA.account])
    carry(*pair)
    for session in pair:
        (ready,) = session.events()
        assert ready.admitted == (ANNA.account,)
        assert ready.hello.counts == (3, 2, 1)
        assert session.state is State.OPEN


def test_lists_are_sent_where_they_differ():
    one, other = introduced()
    welcome(one, [ANNA.account, BORIS.account])
    welcome(other, [BORIS.account, BORIS.account])
    carry(one, other)
    (to_anna,), (to_boris,) = one.events(), other.events()
    assert to_anna.admitted == (BORIS.account,)
    assert to_boris.admitted == tuple(sorted([ANNA.account, BORIS.account]))
    other.admit([ANNA.account])
    assert said(other, one) == [Admitted((ANNA.account,))]


def test_the_difference_of_clocks_is_measured():
    one, other = introduced()
    welcome(one, clock_ms=5_000_000)
    welcome(other, clock_ms=5_090_000)
    carry(one, other)
    assert [event.skew_ms for event in one.events() + other.events()] == [90_000, -90_000]


def test_waiting_for_a_hello_is_no_difference_of_clocks():
    one, other = introduced()
    welcome(one, clock_ms=5_000_000)
    carry(one, other)
    other.expire(NOW + 3_000)
    welcome(other, clock_ms=5_003_000)
    carry(one, other, NOW + 3_000)
    assert [event.skew_ms for event in one.events() + other.events()] == [0, 0]


def test_frames_of_any_size_share_and_cross_messages():
    one, other = linked()
    one.push(items(30, 60_000) + items(3, 1))
    ids = [number.to_bytes(32) for number in range(2000)]
    one.have(ids)
    messages = one.data_to_send()
    assert all(len(message) <= limits.NOISE_MESSAGE_BYTES_MAX for message in messages)
    assert len(messages) == sum(map(len, messages)) // limits.NOISE_MESSAGE_BYTES_MAX + 1
    for message in messages:
        other.receive(message, NOW)
    events = other.events()
    assert [item.id for event in events if type(event) is Pushed for item in event.items] == [
        item.id for item in items(30, 60_000)
    ]
    assert [id_ for event in events if type(event) is Have for id_ in event.ids] == ids


def test_the_link_reveals_nothing_in_clear():
    one, other = linked()
    one.push(items(1))
    (message,) = one.data_to_send()
    assert b"header" not in message
    other.receive(message, NOW)
    assert len(other.events()) == 1


# -------------------------------------------------------------------------------------- the end
def test_close_sends_what_waits_and_then_bye():
    one, other = linked()
    one.push(items(1))
    one.close(Code.SHUTDOWN)
    one.close(Code.BLOCKED)
    assert closed(one) == Closed(Code.SHUTDOWN)
    pushed, end = said(one, other)
    assert type(pushed) is Pushed
    assert end == Closed(Code.SHUTDOWN, by_peer=True)
    assert other.state is State.CLOSED
    assert one.data_to_send() == other.data_to_send() == []


def test_a_node_may_be_turned_away_once_it_is_known():
    one, other = introduced()
    other.close(Code.BLOCKED)
    assert said(other, one) == [Closed(Code.BLOCKED, by_peer=True)]


def test_closing_before_there_is_a_cipher_says_nothing():
    one = dialer()
    one.close(Code.SHUTDOWN)
    assert closed(one) == Closed(Code.SHUTDOWN)


def test_after_the_end_nothing_is_heard_or_said():
    one, other = linked()
    other.push(items(1))
    late = other.data_to_send()
    one.close(Code.SHUTDOWN)
    one.data_to_send()
    one.events()
    for message in late:
        one.receive(message, NOW)
    one.expire(NOW + 10**9)
    welcome(one)
    assert one.push(items(1)) == one.get([seed("x")]) == 0
    assert not one.events()
    assert not one.data_to_send()


@pytest.mark.parametrize("act", ["push", "have", "ack", "get", "send_peers"])
def test_before_it_is_open_a_link_carries_nothing(act):
    for session in (dialer(), *introduced()):
        with pytest.raises(UsageError):
            getattr(session, act)([])


def test_welcome_out_of_turn_is_a_bug():
    for session in (dialer(), linked()[0]):
        with pytest.raises(UsageError):
            welcome(session)


def test_what_cannot_be_sent_is_found_before_it_is_due():
    big = Own(ANNA.account, (bytes(40_000),) * 2, ANNA.node, ANNA.key)
    with pytest.raises(UsageError):
        dialer(big)
    one, _ = introduced()
    with pytest.raises(UsageError):
        welcome(one, [number.to_bytes(32) for number in range(limits.ADMITTED_MAX + 1)])
    assert one.state is State.INTRODUCED


# ------------------------------------------------------------------------------------- the clock
def test_a_handshake_has_its_time():
    session = acceptor()
    assert session.next_deadline_ms() == NOW + limits.HANDSHAKE_MS_MAX
    session.expire(NOW + limits.HANDSHAKE_MS_MAX - 1)
    assert session.state is State.HANDSHAKE
    session.expire(NOW + limits.HANDSHAKE_MS_MAX)
    assert closed(session) == Closed(Code.TIMEOUT, detail="handshake")


def test_deciding_has_its_time_too():
    one, other = introduced()
    one.expire(NOW + limits.HANDSHAKE_MS_MAX)
    assert said(one, other) == [Closed(Code.TIMEOUT, by_peer=True)]


def test_silence_is_broken_by_a_ping():
    one, other = linked()
    later = NOW + limits.LINK_IDLE_MS_MAX
    assert one.next_deadline_ms() == later
    one.expire(later - 1)
    assert not one.data_to_send()
    one.expire(later)
    assert one.next_deadline_ms() == later + limits.LINK_IDLE_MS_MAX
    carry(one, other, later)
    assert one.next_deadline_ms() == later + limits.LINK_IDLE_MS_MAX
    assert not one.events() + other.events()


def test_silence_after_a_ping_is_the_end():
    one, _ = linked()
    one.expire(NOW + limits.LINK_IDLE_MS_MAX)
    one.expire(NOW + 2 * limits.LINK_IDLE_MS_MAX)
    assert closed(one) == Closed(Code.TIMEOUT, detail="silence")


def test_a_peer_that_answers_pings_and_nothing_else_is_given_up():
    one, other = linked()
    one.push(items(2))
    for now in range(NOW, NOW + limits.ANSWER_MS_MAX, 1000):
        one.expire(now)
        carry(one, other, now)
    assert one.next_deadline_ms() == NOW + limits.ANSWER_MS_MAX
    one.expire(NOW + limits.ANSWER_MS_MAX)
    assert closed(one) == Closed(Code.TIMEOUT, detail="no answers")
