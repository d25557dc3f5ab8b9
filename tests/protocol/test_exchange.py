"""What an open link carries, and that neither side can make the other hold more than agreed."""

from __future__ import annotations

import pytest

from ratoon_protocol import framing, limits
from ratoon_protocol.errors import Code, UsageError
from ratoon_protocol.events import Answered, Closed, Pushed
from ratoon_protocol.exchange import Credit
from ratoon_protocol.frames import (
    FIND_ACCOUNT_KEY,
    SCOPE_ACCOUNT,
    Ack,
    Answer,
    Chain,
    Challenge,
    Find,
    FrameType,
    Get,
    Have,
    Outcome,
    Peers,
    Push,
    Receipt,
    Reconcile,
    Reconciled,
    Statement,
    challenge_hash,
)
from ratoon_protocol.session import State
from tests.protocol.linked import NETWORK, items, linked, said, seed

FULL = Credit(
    limits.PUSH_WINDOW_RECORDS_MAX,
    limits.PUSH_WINDOW_BYTES_MAX,
    limits.REQUESTS_IN_FLIGHT_MAX,
    limits.WANTED_IN_FLIGHT_MAX,
    limits.RECONCILIATIONS_MAX,
    limits.CHALLENGES_IN_FLIGHT_MAX,
)


def ids(count, word="id"):
    return [seed(f"{word} {number}") for number in range(count)]


def outcomes(found, code=Code.STORED):
    return [Outcome(item.id, code) for item in found]


def inject(one, *frames):
    """Say on `one`'s stream what its session would not."""
    for frame in frames:
        one._stream.queue(frame if isinstance(frame, bytes) else framing.encode(frame))


def ended(one, other):
    """The code with which `other` ends, for the fault of `one`."""
    *_, last = said(one, other)
    assert type(last) is Closed
    assert last.peers_fault
    return last.code


# --------------------------------------------------------------------------------------- pushes
def test_pushes_take_credit_and_acks_give_it_back():
    one, other = linked()
    assert one.credit == FULL
    sent = items(3)
    assert one.push(sent) == 3
    assert one.credit.push_records == FULL.push_records - 3
    assert one.credit.push_bytes == FULL.push_bytes - sum(item.size for item in sent)
    (pushed,) = said(one, other)
    assert [item.id for item in pushed.items] == [item.id for item in sent]
    other.ack([*outcomes(sent[:2]), Outcome(seed("another"), Code.GONE)])
    (ack,) = said(other, one)
    assert set(ack.outcomes) == {*outcomes(sent[:2]), Outcome(seed("another"), Code.GONE)}
    assert one.credit.push_records == FULL.push_records - 1


def test_an_item_under_way_is_not_pushed_twice():
    one, other = linked()
    assert one.push(items(2)) == one.push(items(2)) == 2
    (pushed,) = said(one, other)
    assert len(pushed.items) == 2
    other.ack(outcomes(pushed.items))
    said(other, one)
    one.push(items(2))
    assert len(said(one, other)) == 1
    assert other.state is State.OPEN


@pytest.mark.parametrize(("count", "size"), [(5000, 1), (50, 60_000)])
def test_no_more_is_pushed_than_the_window_holds(count, size):
    one, other = linked()
    sent = items(count, size)
    taken = one.push(sent)
    assert 0 < taken < count
    assert one.push(sent[taken:]) == 0
    pushed = [item for event in said(one, other) for item in event.items]
    assert len(pushed) == taken
    other.ack(outcomes(pushed))
    said(other, one)
    assert one.credit == FULL
    assert one.push(sent[taken:]) > 0
    assert other.state is State.OPEN


def test_a_window_overrun_is_the_peers_fault():
    for sent in (items(4097, 1), items(35, 60_000)):
        one, other = linked()
        inject(one, *framing.encode_pushes(sent))
        assert ended(one, other) == Code.TOO_MANY


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (framing.encode_pushes(items(1) * 2)[0], Code.UNEXPECTED_FRAME),
        (framing.encode_pushes([framing.pack_item(b"h", b"s", None)])[0], Code.BAD_FRAME),
        (Push(0, 1, (), ()), Code.BAD_FRAME),
        (Push(0, 0, (), (Outcome(seed("x"), Code.GONE),)), Code.BAD_FRAME),
    ],
)
def test_unasked_pushes_that_are_wrong(frame, code):
    one, other = linked()
    inject(one, frame)
    assert ended(one, other) == code


def test_a_bad_record_does_not_end_a_link():
    one, other = linked()
    one.push([framing.pack_item(b"no header", b"no signature", b"no payload")])
    (pushed,) = said(one, other)
    other.ack(outcomes(pushed.items, Code.MALFORMED))
    assert said(other, one) == [Ack((Outcome(pushed.items[0].id, Code.MALFORMED),))]


def test_long_acks_and_offers_take_several_frames():
    one, other = linked()
    one.ack([Outcome(id_, Code.STORED) for id_ in ids(1500)])
    one.have(ids(1500))
    told = said(one, other)
    assert [type(event) for event in told] == [Ack, Ack, Have, Have]
    one.ack([])
    one.have([])
    assert said(one, other) == []


# ------------------------------------------------------------------------------------- requests
def test_every_id_of_a_get_is_answered():
    one, other = linked()
    sent = items(3)
    wanted = [item.id for item in sent]
    number = one.get([*wanted, *wanted, seed("unknown"), seed("passed over")])
    assert one.credit.wanted == FULL.wanted - 5
    assert said(one, other) == [Get(number, (*wanted, seed("unknown"), seed("passed over")))]
    gone = framing.pack_item(b"header 2", bytes(64), None, Code.GONE)
    other.reply(number, sent[:2], last=False)
    other.reply(number, [gone], [Outcome(seed("unknown"), Code.NOT_FOUND)])
    first, second, third = said(other, one)
    assert [item.payload for item in first.items] == [bytes(100)] * 2
    assert first[3:] == ((), (), False)
    assert second.items == ((gone.id, b"header 2", bytes(64), None, Code.GONE),)
    assert third == Answered(
        number,
        FrameType.GET,
        (),
        (Outcome(seed("unknown"), Code.NOT_FOUND),),
        (seed("passed over"),),
        True,
    )
    assert one.credit == FULL


def test_chains_and_logs_are_asked_for():
    one, other = linked()
    chain = one.chain(seed("account"), seed("key"), 2, 7, ids(2), 3)
    find = one.find(FIND_ACCOUNT_KEY, seed("paper"))
    assert said(one, other) == [
        Chain(chain, seed("account"), seed("key"), 2, 7, tuple(ids(2)), 3),
        Find(find, FIND_ACCOUNT_KEY, seed("paper")),
    ]
    other.reply(find, [], [Outcome(seed("paper"), Code.NOT_FOUND)])
    other.reply(chain, [framing.pack_item(b"header", bytes(64), None)])
    found, headers = said(other, one)
    assert (found.request, found.asked, found.last) == (find, FrameType.FIND, True)
    assert (headers.request, headers.asked) == (chain, FrameType.CHAIN)
    assert headers.items[0][1:] == (b"header", bytes(64), None, None)
    assert one.credit == FULL


def test_no_more_is_asked_than_may_be_under_way():
    one, other = linked()
    for part in range(4):
        one.get(ids(1024, str(part)))
    with pytest.raises(UsageError):
        one.get([seed("one more")])
    for _ in range(limits.REQUESTS_IN_FLIGHT_MAX - 4):
        one.find(0, seed("account"))
    with pytest.raises(UsageError):
        one.find(0, seed("account"))
    assert len(said(one, other)) == limits.REQUESTS_IN_FLIGHT_MAX
    other.reply(1, [], [Outcome(id_, Code.BUSY) for id_ in ids(1024, "0")])
    said(other, one)
    one.get(ids(1024, "again"))
    assert len(said(one, other)) == 1
    assert other.state is State.OPEN


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (
            [Get(1, tuple(ids(1024)))] + [Get(n, tuple(ids(1024))) for n in range(2, 6)],
            Code.TOO_MANY,
        ),
        ([Find(n, 0, seed("a")) for n in range(1, 66)], Code.TOO_MANY),
        ([Find(2, 0, seed("a")), Get(2, (seed("b"),))], Code.UNEXPECTED_FRAME),
        ([Push(1, 1, (), ())], Code.UNEXPECTED_FRAME),
    ],
)
def test_requests_beyond_what_was_agreed(frames, code):
    one, other = linked()
    inject(one, *frames)
    assert ended(one, other) == code


def answers():
    unasked = framing.encode_pushes(items(1), 1, last=True)[0]
    yield "a record nobody asked for", "get", unasked, Code.UNEXPECTED_FRAME
    absent = Push(1, 1, (), (Outcome(seed("x"), Code.GONE),))
    yield "an id nobody asked for", "get", absent, Code.UNEXPECTED_FRAME
    bare = framing.encode_pushes([framing.pack_item(b"header 9", b"", None)], 1)[0]
    yield "neither payload nor reason", "get", bare, Code.BAD_FRAME
    yield "a log record without payload", "find", bare, Code.BAD_FRAME
    yield "more than was asked for", "chain", framing.encode_pushes(items(3), 1)[0], Code.TOO_MANY
    yield "nothing, and more to come", "get", Push(1, 0, (), ()), Code.BAD_FRAME


@pytest.mark.parametrize(("about", "ask", "frame", "code"), list(answers()))
def test_answers_that_are_none(about, ask, frame, code):
    one, other = linked()
    if ask == "get":
        one.get([framing.pack_item(b"header 9", b"", None).id])
    elif ask == "find":
        one.find(0, seed("account"))
    else:
        one.chain(seed("account"), seed("key"), 0, 1, [], 2)
    said(one, other)
    inject(other, frame)
    assert ended(other, one) == code


def test_answering_more_than_was_asked_is_a_bug():
    one, other = linked()
    number = one.get(ids(1))
    said(one, other)
    with pytest.raises(UsageError):
        other.reply(number, items(2))
    with pytest.raises(UsageError):
        other.reply(number + 1, [])
    other.reply(number, [], [Outcome(ids(1)[0], Code.BUSY)])
    with pytest.raises(UsageError):
        other.reply(number, [])


# ------------------------------------------------------------------------------ reconciliations
@pytest.mark.parametrize("which", [0, 1])
def test_reconciliations_take_turns(which):
    pair = linked()
    one, other = pair[which], pair[1 - which]
    number = one.reconcile(0, None, 0, b"first")
    assert number % 2 == 1 - which
    (frame,) = said(one, other)
    assert frame == Reconcile(number, 0, None, 0, b"first")
    assert one.started(number)
    assert not other.started(number)
    with pytest.raises(UsageError):
        one.proceed(frame)
    other.proceed(frame._replace(message=b"second"))
    assert said(other, one) == [frame._replace(message=b"second")]
    one.proceed(frame._replace(message=b"third"))
    assert said(one, other) == [frame._replace(message=b"third")]
    one.end_reconciliation(number)
    assert said(one, other) == [Reconciled(number, None)]
    assert one.credit == other.credit == FULL


def test_both_sides_reconcile_at_once():
    one, other = linked()
    numbers = [one.reconcile(SCOPE_ACCOUNT, seed("a"), 0, b"m") for _ in range(8)]
    numbers += [other.reconcile(2, None, 5, b"m") for _ in range(8)]
    assert len(set(numbers)) == 16
    assert one.credit.reconciliations == 0
    for session in (one, other):
        with pytest.raises(UsageError):
            session.reconcile(0, None, 0, b"m")
    assert len(said(one, other)) + len(one.events()) == 16


def test_a_refusal_ends_it():
    one, other = linked()
    number = one.reconcile(0, None, 0, b"m")
    said(one, other)
    other.end_reconciliation(number, Code.BUSY)
    assert said(other, one) == [Reconciled(number, Code.BUSY)]
    assert one.credit == FULL


def test_ends_that_cross_on_the_wire_are_ends():
    one, other = linked()
    number = one.reconcile(0, None, 0, b"m")
    (frame,) = said(one, other)
    other.proceed(frame)
    one.end_reconciliation(number)
    assert said(other, one) == []
    assert other.events() == [Reconciled(number, None)]
    other.proceed(frame)
    other.end_reconciliation(number)
    assert said(other, one) == []
    both = one.reconcile(0, None, 0, b"m")
    said(one, other)
    one.end_reconciliation(both)
    other.end_reconciliation(both)
    assert said(one, other) == one.events() == []
    assert one.state is other.state is State.OPEN


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([Reconcile(1, 0, None, 0, b"m")] * 2, Code.UNEXPECTED_FRAME),
        ([Reconcile(2, 0, None, 0, b"m")], Code.UNEXPECTED_FRAME),
        ([Reconciled(1, None)], Code.UNEXPECTED_FRAME),
        ([Reconciled(2, None)], Code.UNEXPECTED_FRAME),
        ([Reconcile(n, 0, None, 0, b"m") for n in range(1, 19, 2)], Code.TOO_MANY),
    ],
)
def test_reconciliations_out_of_turn(frames, code):
    one, other = linked()
    inject(one, *frames)
    assert ended(one, other) == code


# ------------------------------------------------------------------- receipts, challenges, peers
def test_holdings_are_stated():
    one, other = linked()
    row = Statement(seed("account"), seed("key"), 2, 9, seed("tip"), ((2, 3), (7, 7)))
    one.state_holdings(1_700_000_000_000, [row] * 257)
    first, second = said(one, other)
    assert first == Receipt(1_700_000_000_000, (row,) * 256)
    assert second.statements == (row,)


def test_challenges_find_who_holds_a_payload():
    one, other = linked()
    one.challenge(bytes(16), seed("id"))
    assert one.credit.challenges == FULL.challenges - 1
    assert said(one, other) == [Challenge(bytes(16), seed("id"))]
    proof = challenge_hash(NETWORK, bytes(16), b"payload")
    with pytest.raises(UsageError):
        other.answer(bytes(16), seed("another"), proof)
    other.answer(bytes(16), seed("id"), proof)
    assert said(other, one) == [Answer(bytes(16), seed("id"), proof)]
    assert one.credit == FULL


def test_challenges_are_counted():
    one, other = linked()
    for number in range(limits.CHALLENGES_IN_FLIGHT_MAX):
        one.challenge(number.to_bytes(16), seed("id"))
    with pytest.raises(UsageError):
        one.challenge(b"n" * 16, seed("id"))
    inject(one, Challenge(b"n" * 16, seed("id")))
    assert ended(one, other) == Code.TOO_MANY


@pytest.mark.parametrize("frame", [Answer(bytes(16), seed("id"), None)])
def test_an_answer_to_no_challenge(frame):
    one, other = linked()
    inject(one, frame)
    assert ended(one, other) == Code.UNEXPECTED_FRAME


def test_node_records_are_passed_on_as_hints():
    one, other = linked()
    one.send_peers([b"a node record", bytes(limits.PEER_BYTES_MAX + 1), *[b"another"] * 64])
    first, second = said(one, other)
    assert first == Peers((b"a node record", *[b"another"] * 63))
    assert second == Peers((b"another",))


def test_once_closed_nothing_of_it_does_anything():
    one, other = linked()
    asked = one.get(ids(1))
    (frame,) = said(one, other)
    other.close(Code.SHUTDOWN)
    other.reply(asked, [])
    other.have(ids(1))
    other.ack([Outcome(ids(1)[0], Code.STORED)])
    other.admit([])
    other.chain(seed("a"), seed("k"), 0, 1, [], 1)
    other.find(0, seed("a"))
    other.proceed(Reconcile(1, 0, None, 0, b"m"))
    other.end_reconciliation(1)
    other.state_holdings(1, [])
    other.challenge(bytes(16), seed("a"))
    other.answer(bytes(16), seed("a"), None)
    other.send_peers([b"node"])
    assert other.reconcile(0, None, 0, b"m") == other.push(items(1)) == 0
    assert type(frame) is Get
    assert said(other, one) == [Closed(Code.SHUTDOWN, by_peer=True)]


def test_pushed_is_the_only_event_that_wants_an_ack():
    one, other = linked()
    one.push(items(1))
    number = other.get([items(1)[0].id])
    (pushed,) = said(one, other)
    assert type(pushed) is Pushed
    one.events()
    one.reply(number, items(1))
    (answered,) = said(one, other)
    assert type(answered) is Answered
    other.ack(outcomes(answered.items))
    assert said(other, one) == [Ack((Outcome(items(1)[0].id, Code.STORED),))]
