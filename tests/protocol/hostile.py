"""A peer that has a working stream and says on it whatever it likes, for the tests of links."""

from __future__ import annotations

from ratoon_protocol import framing, limits
from ratoon_protocol.events import Closed
from ratoon_protocol.frames import Hello, admitted_digest
from ratoon_protocol.introduction import Binding, Side, introduce
from ratoon_protocol.session import State
from ratoon_protocol.stream import SecureStream
from tests.protocol.linked import (
    ANNA,
    NETWORK,
    NOW,
    acceptor,
    seed,
    welcome,
)


def closed(session):
    """The end of a session, which must be the last it says."""
    *_, last = session.events()
    assert type(last) is Closed
    assert session.state is State.CLOSED
    assert session.next_deadline_ms() is None
    return last


class Hostile:
    """A dialer that has a working stream and says on it whatever it likes."""

    def __init__(self, victim):
        self.victim = victim
        self.stream = SecureStream(True, seed("h"), seed("he"))
        for _ in range(2):
            for message in self.stream.messages():
                victim.receive(message, NOW)
            for message in victim.data_to_send():
                self.stream.feed(message)

    def introduction(self, own=ANNA, **changed):
        stream = self.stream
        binding = Binding(NETWORK, stream.static, stream.handshake_hash, Side.DIALER)
        return introduce(own, binding._replace(**changed))

    def say(self, *said, now_ms=NOW):
        for one in said:
            self.stream.queue(one if isinstance(one, bytes) else framing.encode(one))
        for message in self.stream.messages():
            self.victim.receive(message, now_ms)


def hello(**changed):
    good = Hello(
        limits.VERSION, NETWORK, "all", 0, seed("head"), admitted_digest([]), NOW, (0, 0, 0)
    )
    return good._replace(**changed)


def opened():
    """A hostile peer on an open link."""
    hostile = Hostile(acceptor())
    hostile.say(hostile.introduction())
    welcome(hostile.victim)
    hostile.say(hello())
    assert hostile.victim.state is State.OPEN
    hostile.victim.events()
    sent(hostile)
    return hostile


def code_of(session):
    return closed(session).code


def sent(hostile):
    for message in hostile.victim.data_to_send():
        hostile.stream.feed(message)
    found = []
    while (data := hostile.stream.next_frame(limits.FRAME_BYTES_MAX)) is not None:
        found.append(framing.decode(data))
    return found
