"""One end of a link between two nodes, without I/O (R-72 to R-79).

Five verbs, whoever pumps them (a WebSocket in production, a simulated wire in tests):

    receive(data, now_ms)     one binary WebSocket message from the peer
    events()                  what happened since the last call
    data_to_send()            binary WebSocket messages to write now
    next_deadline_ms()        when `expire` wants to be called, at the latest
    expire(now_ms)            time has passed

`now_ms` may come from any clock that does not go back; what the hellos tell is the time of day.

Theory. A link is three things one after the other. (1) A Noise XX handshake: from then on all is
one encrypted stream of frames each way (`stream`). (2) Both sides introduce themselves at once; the
caller looks at `Introduced` and says `welcome` (or closes), which sends the hello; if what they
admit differs, each sends its list. (3) The link is open and all other frames are allowed.

The table below is all there is to order: a frame, or an act of the caller, that has no place in
the row of the present state is refused. `bye` and `close` are in no row because they are good in
every state and lead to CLOSED. Nothing the peer sends can raise out of `receive`: what is wrong
becomes `Closed`, and the peer is told the code. What is wrong *inside* a record is no matter of
the link: items go to the caller as they came.

Calls that send do nothing once CLOSED, because the end may come between two steps of the caller;
before the link is open they raise `UsageError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import Any, Final

from ratoon_protocol import framing, limits
from ratoon_protocol.errors import Code, LinkError, ProtocolError, UsageError
from ratoon_protocol.events import Closed, Event, Ready, failed
from ratoon_protocol.exchange import Books, Credit
from ratoon_protocol.frames import (
    CARRY_ALL,
    Ack,
    Admitted,
    Answer,
    Bye,
    Chain,
    Challenge,
    Find,
    Frame,
    FrameType,
    Get,
    Have,
    Hello,
    Intro,
    Outcome,
    Packed,
    Peers,
    Ping,
    Pong,
    Push,
    Receipt,
    Reconcile,
    Reconciled,
    Statement,
    admitted_digest,
    in_frames,
)
from ratoon_protocol.introduction import (
    Binding,
    Introduced,
    Own,
    Side,
    check_introduction,
    introduce,
)
from ratoon_protocol.keys import SIGNATURE_BYTES
from ratoon_protocol.liveness import Liveness
from ratoon_protocol.stream import SecureStream


class State(Enum):
    """How far a link is, seen from one end."""

    HANDSHAKE = auto()
    INTRODUCING = auto()  # our introduction is on its way, the peer's is awaited
    INTRODUCED = auto()  # the caller decides; the peer's hello may come
    GREETED = auto()  # our hello is on its way, the peer's is awaited
    HEARD = auto()  # the peer's hello is here, the caller has not decided
    ADMITTING = auto()  # both hellos are known; lists are awaited if they differ
    OPEN = auto()
    CLOSED = auto()


class Act(Enum):
    """What moves a link on beside frames."""

    SECURED = auto()  # the handshake is through
    WELCOME = auto()  # the caller wants the peer
    AGREED = auto()  # both sides admit the same


Step = type[Frame] | Act

_OPEN_FRAMES: Final[tuple[type[Frame], ...]] = (
    Ack, Admitted, Answer, Chain, Challenge, Find, Get, Have, Peers, Ping, Pong, Push, Receipt,
    Reconcile, Reconciled,
)  # fmt: skip

TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    State.HANDSHAKE: {Act.SECURED: State.INTRODUCING},
    State.INTRODUCING: {Intro: State.INTRODUCED},
    State.INTRODUCED: {Act.WELCOME: State.GREETED, Hello: State.HEARD},
    State.GREETED: {Hello: State.ADMITTING},
    State.HEARD: {Act.WELCOME: State.ADMITTING},
    State.ADMITTING: {Act.AGREED: State.OPEN, Admitted: State.OPEN},
    State.OPEN: dict.fromkeys(_OPEN_FRAMES, State.OPEN),
    State.CLOSED: {},
}


class PeerSession:
    """One end of a link. See the module for the verbs and the order of things.

    `static`, `ephemeral`: X25519 private keys (32 bytes), the second drawn for this link alone.
    `expected`: the account this side dialled for, if it knows it.
    """

    def __init__(
        self,
        side: Side,
        network: bytes,
        own: Own,
        static: bytes,
        ephemeral: bytes,
        now_ms: int,
        expected: bytes | None = None,
    ) -> None:
        self.state = State.HANDSHAKE
        self.side: Final = side
        self.peer: Introduced | None = None
        self._network: Final = network
        self._own: Final = own
        self._expected: Final = expected
        # Found now and not in the middle of a handshake: an introduction nobody would take.
        framing.encode(Intro(own.identity, own.node, own.key.public, bytes(SIGNATURE_BYTES)))
        self._stream: Final = SecureStream(side is Side.DIALER, static, ephemeral)
        self._events: list[Event] = []
        self._hello: Hello | None = None  # the peer's, until the link is open
        self._admitted: tuple[bytes, ...] = ()
        self._now_ms = now_ms
        self._hello_at_ms = 0
        self._day_ms = 0  # the time of day at `welcome`, less the pump's clock
        self._alive: Final = Liveness(now_ms)
        self._books: Final = Books(side)

    # ------------------------------------------------------------------------------ the verbs
    def receive(self, data: bytes, now_ms: int) -> None:
        """Take one message of the peer. Never raises for what is in it: see `Closed`."""
        if self.state is State.CLOSED:
            return
        self._now_ms = now_ms
        self._alive.hear(now_ms)
        try:
            self._take_message(data, now_ms)
        except ProtocolError as error:
            self._fail(error)

    def events(self) -> list[Event]:
        """What happened since the last call, in order. Call it after each `receive`."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> list[bytes]:
        """Messages to write, each as one binary WebSocket message, in order.

        Small frames that wait together share one message; so call it when the wire can take more.
        """
        if self.state is State.OPEN and (pong := self._alive.pong_due()):
            self._send(pong)
        return self._stream.messages()

    def next_deadline_ms(self) -> int | None:
        """When `expire` is due, or None once closed."""
        if self.state is State.CLOSED:
            return None
        return self._alive.deadline_ms(self.state is State.OPEN)

    def expire(self, now_ms: int) -> None:
        """Ask for a sign of life, or give up a peer that is silent or owes answers too long."""
        if self.state is State.CLOSED:
            return
        self._now_ms = now_ms
        try:
            ping = self._alive.check(now_ms, self.state is State.OPEN)
        except LinkError as error:
            self._fail(error)
            return
        if ping:
            self._send(ping)
        self._watch_answers(now_ms)

    # ------------------------------------------------------------------------------- the caller
    def welcome(
        self,
        *,
        horizon_ms: int,
        identity_head: bytes,
        admitted: Iterable[bytes],
        clock_ms: int,
        counts: tuple[int, int, int],
    ) -> None:
        """Say hello to the peer just introduced; `Ready` follows when it has done the same.

        `admitted`: node accounts this side lets in; `clock_ms`: the time of day. Raises
        `UsageError` out of turn.
        """
        if self.state is State.CLOSED:
            return
        if Act.WELCOME not in TRANSITIONS[self.state]:
            raise UsageError(f"welcome while {self.state.name}")
        self._admitted = tuple(sorted(set(admitted)))
        framing.encode(Admitted(self._admitted))  # may be needed inside `receive`, so check now
        self._day_ms = clock_ms - self._now_ms
        self._move(Act.WELCOME)
        digest = admitted_digest(self._admitted)
        about = (limits.VERSION, self._network, CARRY_ALL, horizon_ms, identity_head, digest)
        self._send(Hello(*about, clock_ms, counts))
        if self.state is State.ADMITTING and (ready := self._agree()):
            self._events.append(ready)

    def close(self, code: Code) -> None:
        """End the link; what waits to be sent still goes out, `bye` after it."""
        if self.state is not State.CLOSED:
            self._end(Closed(code))

    def admit(self, accounts: Iterable[bytes]) -> None:
        """Tell the peer that the set of admitted nodes is another one now."""
        if self._is_open():
            self._send(Admitted(tuple(sorted(set(accounts)))))

    def push(self, items: Sequence[Packed]) -> int:
        """Push as many of `items` as there is credit for; how many that were.

        One that is under way already is passed over.
        """
        if not self._is_open():
            return 0
        chosen: list[Packed] = []
        taken = 0
        for item in items:
            if item.id not in self._books.pushed:
                if not self._books.pushed.fits(item.size):
                    break
                self._books.pushed.add(item.id, item.size)
                chosen.append(item)
            taken += 1
        self._queue(framing.encode_pushes(chosen))
        return taken

    def have(self, ids: Sequence[bytes]) -> None:
        """Offer records by id."""
        if self._is_open():
            for part in in_frames(ids, limits.FRAME_IDS_MAX):
                self._send(Have(part))

    def ack(self, outcomes: Sequence[Outcome]) -> None:
        """Say what is true now of these records; gives the peer credit for those it pushed."""
        if self._is_open():
            self._books.unacked.release(outcomes)
            for part in in_frames(outcomes, limits.FRAME_IDS_MAX):
                self._send(Ack(part))

    def get(self, ids: Sequence[bytes]) -> int:
        """Ask for records; the number that `Answered` will name. `UsageError` beyond `credit`."""
        if not self._is_open():
            return 0
        unique = tuple(dict.fromkeys(ids))
        request = self._books.requests.start(FrameType.GET, unique, len(unique))
        self._send(Get(request, unique))
        return request

    def chain(
        self,
        account: bytes,
        key: bytes,
        lane: int,
        from_seq: int,
        heads: Sequence[bytes],
        limit: int,
    ) -> int:
        """Ask for headers of one chain (see `Chain`); the number of the request."""
        if not self._is_open():
            return 0
        request = self._books.requests.start(FrameType.CHAIN, (), limit)
        self._send(Chain(request, account, key, lane, from_seq, tuple(heads), limit))
        return request

    def find(self, by: int, name: bytes) -> int:
        """Ask for an account's log records (see `Find`); the number of the request."""
        if not self._is_open():
            return 0
        request = self._books.requests.start(FrameType.FIND, (), limits.OPERATION_DEPTH_MAX)
        self._send(Find(request, by, name))
        return request

    def reply(
        self,
        request: int,
        items: Sequence[Packed],
        absent: Sequence[Outcome] = (),
        last: bool = True,
    ) -> None:
        """Answer a `Get`, `Chain` or `Find`, in parts if need be; each id asked for by `get` goes
        into `items` or `absent` once. Raises `UsageError` for more than was asked for.
        """
        if self._is_open():
            self._books.owed.strike(request, len(items), len(absent), last)
            self._queue(framing.encode_pushes(items, request, absent, last))

    def reconcile(self, scope: int, account: bytes | None, since_s: int, message: bytes) -> int:
        """Start a reconciliation; its number. The response comes as `Reconcile`."""
        if not self._is_open():
            return 0
        number = self._books.reconciliations.start()
        self._send(Reconcile(number, scope, account, since_s, message))
        return number

    def proceed(self, frame: Reconcile) -> None:
        """Send the next message of a session, in either role; nothing if the peer has ended it."""
        if self._is_open() and self._books.reconciliations.send(frame.number):
            self._send(frame)

    def started(self, number: int) -> bool:
        """Whether this side started the reconciliation, so that a message of it is a response."""
        return self._books.reconciliations.is_own(number)

    def end_reconciliation(self, number: int, code: Code | None = None) -> None:
        """End a session: finished, or refused with `code`."""
        if self._is_open() and self._books.reconciliations.end(number):
            self._send(Reconciled(number, code))

    def state_holdings(self, valid_until_ms: int, statements: Sequence[Statement]) -> None:
        """Send standing statements."""
        if self._is_open():
            for part in in_frames(statements, limits.FRAME_STATEMENTS_MAX):
                self._send(Receipt(valid_until_ms, part))

    def challenge(self, nonce: bytes, id_: bytes) -> None:
        """Ask for a proof that the payload of `id_` is held. `UsageError` beyond `credit`."""
        if self._is_open():
            if not self._books.challenges.start(nonce, id_):
                raise UsageError("too many challenges, or a nonce twice")
            self._send(Challenge(nonce, id_))

    def answer(self, nonce: bytes, id_: bytes, hash_: bytes | None) -> None:
        """Answer a `Challenge` with `challenge_hash`, or None."""
        if self._is_open():
            if not self._books.challenged.strike(nonce, id_):
                raise UsageError("no such challenge")
            self._send(Answer(nonce, id_, hash_))

    def send_peers(self, records: Sequence[bytes]) -> None:
        """Send node records, as hints where to dial; long ones only travel as records do."""
        if self._is_open():
            hints = [data for data in records if len(data) <= limits.PEER_BYTES_MAX]
            for part in in_frames(hints, limits.FRAME_PEERS_MAX):
                self._send(Peers(part))

    @property
    def credit(self) -> Credit:
        """What may be sent or asked for now."""
        return self._books.credit

    @property
    def can_send(self) -> bool:
        """Whether the caller may go on producing; a link whose queue overflows is closed."""
        return self._stream.waiting_bytes < limits.OUTBOX_BYTES_MAX // 2

    # ------------------------------------------------------------------------------- receiving
    def _take_message(self, data: bytes, now_ms: int) -> None:
        self._stream.feed(data)
        if self.state is State.HANDSHAKE:
            if self._stream.secured:
                self._move(Act.SECURED)
                self._send(introduce(self._own, self._binding(self.side, self._stream.static)))
            return
        # Asked anew for each frame, because a frame may change both.
        while self.state is not State.CLOSED:
            stranger = self.state is State.INTRODUCING
            limit = limits.INTRODUCTION_BYTES_MAX if stranger else limits.FRAME_BYTES_MAX
            frame = self._stream.next_frame(limit)
            if frame is None:
                break
            self._take_frame(framing.decode(frame), now_ms)
        self._watch_answers(now_ms)

    def _take_frame(self, frame: Frame, now_ms: int) -> None:
        if type(frame) is not Bye:
            self._move(type(frame))
        take = _TAKE.get(type(frame))
        event = take(self, frame, now_ms) if take else self._books.take(frame)
        if event is not None:
            self._events.append(event)

    def _take_intro(self, frame: Intro, _: int) -> Introduced:
        binding = self._binding(self.side.other, self._stream.remote_static)
        self.peer = check_introduction(frame, binding, self._own.account, self._expected)
        return self.peer

    def _binding(self, side: Side, static: bytes) -> Binding:
        return Binding(self._network, static, self._stream.handshake_hash, side)

    def _take_hello(self, frame: Hello, now_ms: int) -> Event | None:
        if frame.network != self._network:
            raise LinkError(Code.WRONG_NETWORK)
        self._hello = frame
        self._hello_at_ms = now_ms
        return self._agree() if self.state is State.ADMITTING else None

    def _agree(self) -> Ready | None:
        """Both hellos are known: open at once if both admit the same, else send our list."""
        assert self._hello is not None, "a link agrees after the peer's hello"
        if self._hello.admitted_digest != admitted_digest(self._admitted):
            self._send(Admitted(self._admitted))
            return None
        self._move(Act.AGREED)
        return self._ready(self._hello, self._admitted)

    def _ready(self, hello: Hello, admitted: tuple[bytes, ...]) -> Ready:
        self._hello = None
        skew_ms = hello.clock_ms - self._hello_at_ms - self._day_ms
        return Ready(hello, admitted, skew_ms)

    def _take_admitted(self, frame: Admitted, _: int) -> Event:
        if self._hello is None:  # later on an open link: a change
            return frame
        if admitted_digest(frame.accounts) != self._hello.admitted_digest:
            raise LinkError(Code.BAD_FRAME, "not the list of the hello")
        return self._ready(self._hello, frame.accounts)

    def _take_bye(self, frame: Bye, _: int) -> Event:
        self.state = State.CLOSED
        self._stream.drop()
        return Closed(frame.code, by_peer=True)

    def _take_ping(self, frame: Ping, _: int) -> None:
        self._alive.take_ping(frame)

    def _take_pong(self, frame: Pong, _: int) -> None:
        self._alive.take_pong(frame)

    # ---------------------------------------------------------------------------- state and wire
    def _move(self, step: Step) -> None:
        state = TRANSITIONS[self.state].get(step)
        if state is None:
            name = step.name if isinstance(step, Act) else step.__name__
            raise LinkError(Code.UNEXPECTED_FRAME, f"{name} while {self.state.name}")
        self.state = state

    def _is_open(self) -> bool:
        if self.state not in (State.OPEN, State.CLOSED):
            raise UsageError("the link is not open yet")
        return self.state is State.OPEN

    def _watch_answers(self, now_ms: int) -> None:
        self._alive.watch(now_ms, self._books.waiting, self._books.progressed)
        self._books.progressed = False

    def _send(self, frame: Frame) -> None:
        self._queue([framing.encode(frame)])

    def _queue(self, frames: Iterable[bytes]) -> None:
        """Put frames in the queue; a peer that does not read loses the link, not our memory."""
        for frame in frames:
            self._stream.queue(frame)
        if self._stream.waiting_bytes > limits.OUTBOX_BYTES_MAX:
            self._stream.drop()
            self._end(Closed(Code.BUSY, detail="the peer does not read"))

    def _fail(self, error: ProtocolError) -> None:
        self._stream.drop()
        self._end(failed(error))

    def _end(self, closed: Closed) -> None:
        self.state = State.CLOSED
        if self._stream.secured:
            self._stream.queue(framing.encode(Bye(closed.code)))
        self._events.append(closed)


_Take = Callable[[PeerSession, Any, int], Event | None]

#: Frames of the session itself; what an open link exchanges goes through the books.
_TAKE: Final[dict[type[Frame], _Take]] = {
    Intro: PeerSession._take_intro,
    Hello: PeerSession._take_hello,
    Admitted: PeerSession._take_admitted,
    Bye: PeerSession._take_bye,
    Ping: PeerSession._take_ping,
    Pong: PeerSession._take_pong,
}
