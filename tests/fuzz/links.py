"""Ends of links in every state, ready at once: the handshake is made one time and copied."""

from __future__ import annotations

import copy
from functools import lru_cache

from ratoon_protocol import framing, limits
from ratoon_protocol.frames import Frame
from ratoon_protocol.introduction import Side
from ratoon_protocol.session import PeerSession, State
from ratoon_protocol.stream import SecureStream
from tests.fuzz.target import ask
from tests.protocol.hostile import Hostile, hello
from tests.protocol.linked import ANNA, BORIS, NOW, acceptor, linked, welcome

#: Two honest ends, one state each.
PREPARED = (State.INTRODUCING, State.INTRODUCED, State.HEARD, State.GREETED, State.OPEN)


def twin(kept: tuple[object, ...], *shared: object) -> tuple[object, ...]:
    """A copy of everything but what never changes: keys, and the state of no cipher."""
    found: tuple[object, ...] = copy.deepcopy(kept, {id(one): one for one in shared})
    return found


def _fixed(stream: SecureStream) -> list[object]:
    """Objects of the libraries inside a stream: they hold keys and no state."""
    noise = stream._noise
    found: list[object] = [noise._static, noise._ephemeral]
    if noise._cipher is not None:
        found.append(noise._cipher)
    return found + [cipher._aead for cipher in stream._ciphers or ()]


@lru_cache(maxsize=8)
def _attacked(state: State) -> tuple[PeerSession, SecureStream, list[object]]:
    hostile = Hostile(acceptor())
    if state is not State.INTRODUCING:
        hostile.say(hostile.introduction())
    if state in (State.GREETED, State.OPEN):
        welcome(hostile.victim)
    if state in (State.HEARD, State.OPEN):
        hostile.say(hello())
    ask(hostile.victim.state is state, "a state that was not reached")
    hostile.victim.events()
    sent(hostile.victim, hostile.stream)
    shared = [*_fixed(hostile.victim._stream), *_fixed(hostile.stream), ANNA, BORIS]
    return hostile.victim, hostile.stream, shared


def attacked(state: State) -> tuple[PeerSession, SecureStream]:
    """An honest acceptor in that state, and the stream of whoever dialled it."""
    victim, stream, shared = _attacked(state)
    session, hostile = twin((victim, stream), *shared)
    assert isinstance(session, PeerSession)
    assert isinstance(hostile, SecureStream)
    return session, hostile


@lru_cache(maxsize=1)
def _linked() -> tuple[PeerSession, PeerSession, list[object]]:
    one, other = linked()
    return one, other, [*_fixed(one._stream), *_fixed(other._stream), ANNA, BORIS]


def friends() -> tuple[PeerSession, PeerSession]:
    """The dialer and the acceptor of an open link."""
    *ends, shared = _linked()
    one, other = twin(tuple(ends), *shared)
    assert isinstance(one, PeerSession)
    assert isinstance(other, PeerSession)
    ask(one.side is Side.DIALER and other.side is Side.ACCEPTOR, "sides")
    return one, other


def bounded(session: PeerSession) -> None:
    """What one peer may make an end of a link keep (R-7)."""
    stream, books = session._stream, session._books
    most = limits.FRAME_BYTES_MAX + limits.NOISE_MESSAGE_BYTES_MAX + 4
    ask(len(stream._inbox) <= most, "the inbox grows")
    ask(stream.waiting_bytes <= limits.OUTBOX_BYTES_MAX + most, "the outbox grows")
    for window in (books.pushed, books.unacked):
        ask(window.bytes <= limits.PUSH_WINDOW_BYTES_MAX, "a window of bytes grows")
        ask(len(window) <= limits.PUSH_WINDOW_RECORDS_MAX, "a window of records grows")
    ask(len(books.requests) <= limits.REQUESTS_IN_FLIGHT_MAX, "requests grow")
    ask(len(books.owed._open) <= limits.REQUESTS_IN_FLIGHT_MAX, "owed answers grow")
    for challenges in (books.challenges, books.challenged):
        ask(len(challenges) <= limits.CHALLENGES_IN_FLIGHT_MAX, "challenges grow")
    for turns in books.reconciliations._turns.values():
        ask(len(turns) <= limits.RECONCILIATIONS_MAX, "reconciliations grow")


def sent(session: PeerSession, stream: SecureStream) -> list[Frame]:
    """What the other end of a stream can read of what a session sends: all of it, in frames."""
    found = []
    for message in session.data_to_send():
        stream.feed(message)
        while (data := stream.next_frame(limits.FRAME_BYTES_MAX)) is not None:
            found.append(framing.decode(data))
    return found


__all__ = ["NOW", "PREPARED", "attacked", "bounded", "friends", "sent"]
