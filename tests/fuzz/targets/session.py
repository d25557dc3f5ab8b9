"""A peer that says what it likes, in every state of a link (R-72 to R-79).

`receive` never raises; what is wrong closes the link, the peer is told, and nothing grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from random import Random

from ratoon_protocol import framing
from ratoon_protocol.errors import Code, UsageError
from ratoon_protocol.events import Closed, Pushed
from ratoon_protocol.frames import Bye, Challenge, Get, Outcome, Reconcile
from ratoon_protocol.introduction import Side
from ratoon_protocol.keys import Context
from ratoon_protocol.session import PeerSession, State
from ratoon_protocol.stream import SecureStream
from tests.fuzz.links import NOW, PREPARED, attacked, bounded, sent
from tests.fuzz.target import Steered, Target, ask, vectors
from tests.protocol.linked import acceptor, dialer, items, seed, welcome
from tests.protocol.vectors_frames import frames, unpacked

FRAMES = [
    data
    for case in frames()["valid"] + frames()["invalid"]
    if len(data := unpacked(case["parts"])) <= 600
]
IDS = [item.id for item in items(4)]


def run(data: bytes) -> None:
    """The first byte says how far the link is."""
    steered = Steered(data)
    which = steered.getrandbits(8) % (len(PREPARED) + 2)
    if which < 2:
        before_the_handshake(steered, dialer() if which else acceptor())
    else:
        after_the_handshake(steered, *attacked(PREPARED[which - 2]))


def before_the_handshake(steered: Steered, session: PeerSession) -> None:
    """Any messages."""
    while steered.more:
        session.receive(steered.chunk(), NOW)
        session.data_to_send()
        closed_at_most_once(session.events(), session)
        bounded(session)


def after_the_handshake(steered: Steered, session: PeerSession, peer: SecureStream) -> None:
    """Whole frames, changed frames and any bytes; acts of the caller, and time."""
    now_ms, over = NOW, False
    while steered.more:
        match steered.getrandbits(8) % 8:
            case 0:
                now_ms += steered.getrandbits(16) * 8
                session.expire(now_ms)
            case 1:
                act(session, steered)
            case 2:
                say(session, peer, steered.chunk(), now_ms)
            case _:
                frame = some_frame(steered)
                say(session, peer, len(frame).to_bytes(4) + frame, now_ms)
        events = session.events()
        ask(not (over and events), "something happens after the end")
        closed_at_most_once(events, session)
        over = session.state is State.CLOSED
        told(session, peer, events)
        bounded(session)


def say(session: PeerSession, peer: SecureStream, plain: bytes, now_ms: int) -> None:
    """Plain bytes on the stream."""
    assert peer._ciphers is not None
    session.receive(peer._ciphers[0].encrypt(plain), now_ms)


def some_frame(steered: Steered) -> bytes:
    """A frame of the vectors, sometimes with a byte changed."""
    frame = bytearray(FRAMES[steered.getrandbits(8) % len(FRAMES)])
    if frame and steered.random() < 0.3:
        frame[steered.getrandbits(16) % len(frame)] = steered.getrandbits(8)
    return bytes(frame)


def act(session: PeerSession, steered: Steered) -> None:
    """What a caller may do at any time; out of turn it is told so."""
    choice, few = steered.getrandbits(8) % 12, IDS[: steered.getrandbits(8) % 4]
    with suppress(UsageError):
        match choice:
            case 0:
                welcome(session, admitted=few)
            case 1:
                session.close(Code.BLOCKED)
            case 2:
                session.push(items(steered.getrandbits(8) % 5))
            case 3:
                session.have(few)
            case 4:
                session.ack([Outcome(id_, Code.STORED) for id_ in few])
            case 5:
                session.get(few or IDS)
            case 6:
                session.chain(IDS[0], IDS[1], 2, 1, few, 9)
            case 7:
                session.reconcile(2, None, 0, b"\x61")
            case 8:
                session.proceed(Reconcile(1 + steered.getrandbits(2), 2, None, 0, b"\x61"))
            case 9:
                session.challenge(seed(Context.LINK)[:16], IDS[0])
            case 10:
                session.admit(few)
            case _:
                session.end_reconciliation(1 + steered.getrandbits(2))


def closed_at_most_once(events: Sequence[object], session: PeerSession) -> None:
    """The end is the last event, and then nothing is due."""
    ends = [one for one in events if isinstance(one, Closed)]
    ask(len(ends) <= 1 and (not ends or events[-1] is ends[0]), "two ends, or something behind it")
    ask(bool(ends) <= (session.state is State.CLOSED), "an end, and not closed")
    ask((session.state is State.CLOSED) == (session.next_deadline_ms() is None), "a deadline")


def told(session: PeerSession, peer: SecureStream, events: Sequence[object]) -> None:
    """Whatever is sent can be read; a link that ends by this side says why."""
    said = sent(session, peer)
    ask(all(type(one) is not Bye for one in said[:-1]), "something after bye")
    for one in events:
        if isinstance(one, Closed) and not one.by_peer:
            ask(said and said[-1] == Bye(one.code), "the peer is not told")
        if isinstance(one, Pushed):
            ask(one.items, "an event of nothing")
        if isinstance(one, Get | Challenge):
            ask(framing.decode(framing.encode(one)) == one, "an event that is no frame")


def seeds() -> Iterator[bytes]:
    """Each state with frames that are good there, and messages of handshakes."""
    ask(Side.DIALER.other is Side.ACCEPTOR, "sides")
    random = Random(1)
    for which in range(len(PREPARED) + 2):
        yield bytes([which])
        for size in (40, 200):
            yield bytes([which]) + random.randbytes(size)
    for number in range(len(FRAMES)):
        yield bytes([len(PREPARED) + 1, 3, number, 255, 3, (number * 7) % len(FRAMES), 255])
    for case in vectors("noise")["invalid"]:
        for step in case["steps"]:
            message = bytes.fromhex(step[1])[:255]
            yield bytes([case["role"] == "initiator", len(message)]) + message


TARGET = Target("session", run, seeds, bytes_max=1500)
