"""What is under way on an open link, and how much of it may be (R-76 to R-79).

Each side keeps the same books. Whoever answers strikes the entry off before it sends, whoever
asked when the answer comes, so an honest side never sees more open at the other than is allowed
and may take one entry too many as the peer's fault.

    Window            records pushed and not yet acknowledged
    OwnRequests       get, chain and find of this side    PeerRequests       those of the peer
    Reconciliations   sessions of both sides, one message at a time each
    Challenges        nonces under way in one direction
    Books             all of these for one end of a link
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from ratoon_protocol.errors import Code, LinkError, UsageError
from ratoon_protocol.events import Answered, Event, Pushed
from ratoon_protocol.frames import (
    Ack,
    Answer,
    Chain,
    Challenge,
    Find,
    Frame,
    FrameType,
    Get,
    Have,
    Item,
    Outcome,
    Peers,
    Push,
    Receipt,
    Reconcile,
    Reconciled,
    record_bytes,
)
from ratoon_protocol.introduction import Side
from ratoon_protocol.limits import (
    CHALLENGES_IN_FLIGHT_MAX,
    OPERATION_DEPTH_MAX,
    PUSH_WINDOW_BYTES_MAX,
    PUSH_WINDOW_RECORDS_MAX,
    RECONCILIATIONS_MAX,
    REQUESTS_IN_FLIGHT_MAX,
    WANTED_IN_FLIGHT_MAX,
)


def _unexpected(what: str) -> LinkError:
    return LinkError(Code.UNEXPECTED_FRAME, what)


class Window:
    """Credit for unasked records, in one direction."""

    __slots__ = ("_sizes", "bytes")

    def __init__(self) -> None:
        self._sizes: dict[bytes, int] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, id_: bytes) -> bool:
        return id_ in self._sizes

    def fits(self, size: int) -> bool:
        """Whether one more record of `size` bytes may be pushed."""
        return (
            len(self._sizes) < PUSH_WINDOW_RECORDS_MAX
            and self.bytes + size <= PUSH_WINDOW_BYTES_MAX
        )

    def add(self, id_: bytes, size: int) -> None:
        """Note a record under way."""
        self._sizes[id_] = size
        self.bytes += size

    def take(self, items: Iterable[Item]) -> None:
        """Note what the peer pushed. Raises `LinkError` if it had no credit for it."""
        for id_, header, _, payload, code in items:
            size = record_bytes(header, payload)
            if id_ in self._sizes:
                raise _unexpected("a record pushed twice")
            if payload is None and code is None:
                raise LinkError(Code.BAD_FRAME, "neither payload nor reason")
            if not self.fits(size):
                raise LinkError(Code.TOO_MANY, "pushed beyond the window")
            self.add(id_, size)

    def release(self, outcomes: Iterable[Outcome]) -> bool:
        """Strike off what was acknowledged; whether anything was."""
        before = len(self._sizes)
        for id_, _ in outcomes:
            self.bytes -= self._sizes.pop(id_, 0)
        return len(self._sizes) < before


class Request:
    """One request under way. `ids`: still unanswered, of a get; `left`: records it may bring."""

    __slots__ = ("ids", "left", "type")

    def __init__(self, type_: FrameType, ids: Iterable[bytes], left: int) -> None:
        self.type = type_
        self.ids = dict.fromkeys(ids)
        self.left = left


class OwnRequests:
    """What this side asked for."""

    def __init__(self) -> None:
        self._open: dict[int, Request] = {}
        self._last = 0
        self.wanted = 0

    def __len__(self) -> int:
        return len(self._open)

    def start(self, type_: FrameType, ids: Sequence[bytes], limit: int) -> int:
        """The number of a new request. Raises `UsageError` beyond the credit."""
        if len(self._open) >= REQUESTS_IN_FLIGHT_MAX:
            raise UsageError("too many requests under way")
        if self.wanted + len(ids) > WANTED_IN_FLIGHT_MAX:
            raise UsageError("too many records wanted at once")
        self._last += 1
        self.wanted += len(ids)
        self._open[self._last] = Request(type_, ids, limit)
        return self._last

    def take(self, push: Push) -> tuple[FrameType, tuple[bytes, ...]]:
        """Of an answer, or a part of one: what was asked, and the ids left without answer.

        Raises `LinkError` if nobody asked for what is in it.
        """
        request = self._open.get(push.request)
        if request is None:
            raise _unexpected("an answer to nothing")
        if request.type is FrameType.GET:
            self._strike(request, push)
        else:
            request.left -= len(push.items)
            if request.left < 0:
                raise LinkError(Code.TOO_MANY, "more than was asked for")
        if request.type is not FrameType.CHAIN:
            _check_reasons(push.items)
        if not push.last:
            if not push.items and not push.absent:
                raise LinkError(Code.BAD_FRAME, "an answer that says nothing")
            return request.type, ()
        del self._open[push.request]
        self.wanted -= len(request.ids)
        return request.type, tuple(request.ids)

    def _strike(self, request: Request, push: Push) -> None:
        for id_ in [*(item.id for item in push.items), *(one.id for one in push.absent)]:
            if id_ not in request.ids:
                raise _unexpected("a record nobody asked for")
            del request.ids[id_]
            self.wanted -= 1


def _check_reasons(items: Iterable[Item]) -> None:
    """Only whoever asked for headers gets them without a word about the payload."""
    if any(item.payload is None and item.code is None for item in items):
        raise LinkError(Code.BAD_FRAME, "neither payload nor reason")


class PeerRequests:
    """What the peer asked for and this side still owes."""

    def __init__(self) -> None:
        self._open: dict[int, Request] = {}
        self._last = 0
        self._wanted = 0

    def start(self, number: int, type_: FrameType, ids: Sequence[bytes], limit: int) -> None:
        """Note a request. Raises `LinkError` beyond the credit or for a number used before."""
        if number <= self._last:
            raise _unexpected("request numbers do not ascend")
        if len(self._open) >= REQUESTS_IN_FLIGHT_MAX:
            raise LinkError(Code.TOO_MANY, "requests")
        if self._wanted + len(ids) > WANTED_IN_FLIGHT_MAX:
            raise LinkError(Code.TOO_MANY, "wanted records")
        self._last = number
        self._wanted += len(ids)
        self._open[number] = Request(type_, (), limit)

    def strike(self, number: int, records: int, absent: int, last: bool) -> None:
        """Note a part of an answer. Raises `UsageError` for more than was asked for."""
        request = self._open.get(number)
        if request is None:
            raise UsageError("no such request of the peer")
        get = request.type is FrameType.GET
        count = records + absent if get else records
        if count > request.left:
            raise UsageError("more than the peer asked for")
        request.left -= count
        if last:
            del self._open[number]
            count += request.left
        if get:
            self._wanted -= count


class Reconciliations:
    """Sessions of both sides. In each the initiator and the responder take turns."""

    def __init__(self, side: Side) -> None:
        # The dialer's numbers are odd, the acceptor's even.
        self._parity = 1 if side is Side.DIALER else 0
        self._last = {True: -self._parity, False: self._parity - 1}
        # By "ours": number and whether this side has the turn.
        self._turns: dict[bool, dict[int, bool]] = {True: {}, False: {}}

    @property
    def waiting(self) -> bool:
        """Whether the peer owes a response."""
        return not all(self._turns[True].values())

    @property
    def own(self) -> int:
        """Sessions this side started that are under way."""
        return len(self._turns[True])

    def start(self) -> int:
        """The number of a new session, its first message on the way."""
        if self.own >= RECONCILIATIONS_MAX:
            raise UsageError("too many reconciliations under way")
        number = self._last[True] + 2
        self._last[True] = number
        self._turns[True][number] = False
        return number

    def send(self, number: int) -> bool:
        """Note a further message of this side; False: the peer has ended the session."""
        turns = self._turns[self.is_own(number)]
        if number not in turns:
            return False
        if not turns[number]:
            raise UsageError("it is the peer's turn")
        turns[number] = False
        return True

    def end(self, number: int) -> bool:
        """Note the end by this side; False: the peer was first."""
        return self._turns[self.is_own(number)].pop(number, None) is not None

    def take(self, number: int) -> bool:
        """Note a message of the peer; False: of a session this side has ended meanwhile."""
        own = self.is_own(number)
        turns = self._turns[own]
        if not own and number > self._last[False]:
            self._accept(number)
        elif number not in turns:
            return self._is_past(own, number)
        elif turns[number]:
            raise _unexpected("two reconciliation messages in a row")
        turns[number] = True
        return True

    def take_end(self, number: int) -> bool:
        """Note the end by the peer; False: this side was first."""
        own = self.is_own(number)
        if self._turns[own].pop(number, None) is not None:
            return True
        return self._is_past(own, number)

    def _accept(self, number: int) -> None:
        if len(self._turns[False]) >= RECONCILIATIONS_MAX:
            raise LinkError(Code.TOO_MANY, "reconciliations")
        self._last[False] = number

    def is_own(self, number: int) -> bool:
        """Whether this side started it: the number says so."""
        return number % 2 == self._parity

    def _is_past(self, own: bool, number: int) -> bool:
        if number > self._last[own]:
            raise _unexpected("a reconciliation nobody started")
        return False


class Challenges:
    """Challenges under way in one direction: nonce and id of each."""

    def __init__(self) -> None:
        self._open: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._open)

    def start(self, nonce: bytes, id_: bytes) -> bool:
        """Note a challenge; False if there are too many, or the nonce is under way already."""
        if len(self._open) >= CHALLENGES_IN_FLIGHT_MAX or nonce in self._open:
            return False
        self._open[nonce] = id_
        return True

    def strike(self, nonce: bytes, id_: bytes) -> bool:
        """Note its answer; False if it answers nothing."""
        if self._open.get(nonce) != id_:
            return False
        del self._open[nonce]
        return True


class Credit(NamedTuple):
    """What this side may still send or ask for now."""

    push_records: int
    push_bytes: int
    requests: int
    wanted: int
    reconciliations: int
    challenges: int


class Books:
    """All of it for one end of an open link."""

    def __init__(self, side: Side) -> None:
        # Ours, then the peer's.
        self.pushed, self.unacked = Window(), Window()
        self.requests, self.owed = OwnRequests(), PeerRequests()
        self.challenges, self.challenged = Challenges(), Challenges()
        self.reconciliations: Final = Reconciliations(side)
        # Something owed to this side came since the caller last put this back.
        self.progressed = False

    @property
    def waiting(self) -> bool:
        """Whether the peer owes this side anything."""
        return bool(self.pushed or self.requests or self.challenges or self.reconciliations.waiting)

    @property
    def credit(self) -> Credit:
        """What this side may still send or ask for."""
        return Credit(
            PUSH_WINDOW_RECORDS_MAX - len(self.pushed),
            PUSH_WINDOW_BYTES_MAX - self.pushed.bytes,
            REQUESTS_IN_FLIGHT_MAX - len(self.requests),
            WANTED_IN_FLIGHT_MAX - self.requests.wanted,
            RECONCILIATIONS_MAX - self.reconciliations.own,
            CHALLENGES_IN_FLIGHT_MAX - len(self.challenges),
        )

    def take(self, frame: Frame) -> Event | None:
        """Enter a frame of the peer; what the caller is told of it.

        Raises `LinkError` where it has no credit, or answers what nobody asked.
        """
        return _TAKE[type(frame)](self, frame)

    def _take_push(self, frame: Push) -> Event:
        if not frame.request:
            if frame.last or frame.absent:
                raise LinkError(Code.BAD_FRAME, "an answer without request")
            self.unacked.take(frame.items)
            return Pushed(frame.items)
        asked, missing = self.requests.take(frame)
        self.progressed = True
        return Answered(frame.request, asked, frame.items, frame.absent, missing, bool(frame.last))

    def _take_ack(self, frame: Ack) -> Event:
        if self.pushed.release(frame.outcomes):
            self.progressed = True
        return frame

    def _take_get(self, frame: Get) -> Event:
        self.owed.start(frame.request, FrameType.GET, frame.ids, len(frame.ids))
        return frame

    def _take_chain(self, frame: Chain) -> Event:
        self.owed.start(frame.request, FrameType.CHAIN, (), frame.limit)
        return frame

    def _take_find(self, frame: Find) -> Event:
        self.owed.start(frame.request, FrameType.FIND, (), OPERATION_DEPTH_MAX)
        return frame

    def _take_reconcile(self, frame: Reconcile) -> Event | None:
        if not self.reconciliations.take(frame.number):
            return None
        self.progressed = True
        return frame

    def _take_reconciled(self, frame: Reconciled) -> Event | None:
        if not self.reconciliations.take_end(frame.number):
            return None
        self.progressed = True
        return frame

    def _take_challenge(self, frame: Challenge) -> Event:
        if not self.challenged.start(frame.nonce, frame.id):
            raise LinkError(Code.TOO_MANY, "challenges")
        return frame

    def _take_answer(self, frame: Answer) -> Event:
        if not self.challenges.strike(frame.nonce, frame.id):
            raise LinkError(Code.UNEXPECTED_FRAME, "an answer to no challenge")
        self.progressed = True
        return frame


def _as_it_is(_: Books, frame: Any) -> Event:
    event: Event = frame
    return event


_TAKE: Final[dict[type[Frame], Callable[[Books, Any], Event | None]]] = {
    Push: Books._take_push,
    Ack: Books._take_ack,
    Get: Books._take_get,
    Chain: Books._take_chain,
    Find: Books._take_find,
    Reconcile: Books._take_reconcile,
    Reconciled: Books._take_reconciled,
    Challenge: Books._take_challenge,
    Answer: Books._take_answer,
    Have: _as_it_is,
    Receipt: _as_it_is,
    Peers: _as_it_is,
}
