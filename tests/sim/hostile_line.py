"""One end of a real link that keeps no books: it may say anything at any time.

The wire, the handshake, the frames and the keys are real; what holds an honest node back
(`PeerSession`) is left out. `Line` says and hears, `Hoard` is all that its owner knows, and
`answer` is what a polite node would do with a frame.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from ratoon_protocol import framing, kinds, record
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import (
    CARRY_ALL,
    FIND_ACCOUNT,
    Ack,
    Admitted,
    Answer,
    Bye,
    Chain,
    Challenge,
    Find,
    Frame,
    Get,
    Have,
    Hello,
    Intro,
    Item,
    Outcome,
    Packed,
    Ping,
    Pong,
    Push,
    Reconcile,
    Reconciled,
    admitted_digest,
    challenge_hash,
    in_frames,
)
from ratoon_protocol.framing import pack_item
from ratoon_protocol.introduction import Binding, Own, Side, introduce
from ratoon_protocol.kinds import Scope
from ratoon_protocol.limits import (
    EPOCH_MS,
    FRAME_BYTES_MAX,
    FRAME_IDS_MAX,
    PUSH_WINDOW_BYTES_MAX,
    PUSH_WINDOW_RECORDS_MAX,
    RECONCILE_FRAME_BYTES_MAX,
    VERSION,
)
from ratoon_protocol.reconcile import Index, Reconciler
from ratoon_protocol.stream import SecureStream
from tests.sim.network import SimWire

# Ids in one request of somebody who reads everything.
IDS_PER_GET = 512


class Hoard:
    """Every record that a hostile machine has made or got, with its bytes, for ever."""

    def __init__(self) -> None:
        self.items: dict[bytes, Item] = {}
        self.headers: dict[bytes, record.Header] = {}
        self.indexes = {scope: Index() for scope in Scope}

    def keep(self, item: Item) -> None:
        """Take a record; one that came with bytes keeps them whatever is said of it later."""
        known = self.items.get(item.id)
        if known is not None and known.payload is not None:
            return
        header = self.headers[item.id] = record.decode_header(item.header)
        self.items[item.id] = item
        self.indexes[header.kind_class.scope].insert(_seconds(header), item.id)

    def put(self, signed: record.Record) -> bytes:
        """Take a record made here; its id."""
        self.keep(Item(signed.id, signed.header_bytes, signed.signature, signed.payload, None))
        return signed.id

    def packed(self, ids: Iterable[bytes]) -> list[Packed]:
        """Those of `ids` that are here, as items to push."""
        found = (self.items[id_] for id_ in ids if id_ in self.items)
        return [_packed(item) for item in found]

    def log_of(self, account: bytes) -> list[bytes]:
        """What somebody who asks for an account's log gets: who hosts it, then its own."""
        mine = [id_ for id_, h in self.headers.items() if h.account == account]
        log = [id_ for id_ in mine if self.headers[id_].kind_class.scope is Scope.LOG]
        hosting = [id_ for id_, h in self.headers.items() if h.kind == kinds.HOSTING]
        return list(dict.fromkeys([*hosting, *log]))[:FRAME_IDS_MAX]

    def posts(self, but: Iterable[bytes] = ()) -> list[bytes]:
        """Posts of everybody `but` these accounts."""
        own = set(but)
        return [
            id_ for id_, h in self.headers.items() if h.kind == kinds.POST and h.account not in own
        ]


def _seconds(header: record.Header) -> int:
    return (header.created_ms - EPOCH_MS) // 1000


def _packed(item: Item) -> Packed:
    code = None if item.payload is not None else item.code or Code.DROPPED
    return pack_item(item.header, item.signature, item.payload, code, known=item.id)


class Line:
    """One end of a link. `peer` is the name of the machine at the other end."""

    def __init__(
        self, own: Own, network: bytes, side: Side, wire: SimWire, rng: random.Random, peer: str
    ) -> None:
        self.side = side
        self.peer = peer
        self.wire = wire
        self.account = b""
        #: Why the other side ended the link, once it has.
        self.bye: Code | None = None
        self.ended = asyncio.Event()
        #: The other side hung up, with a word or without.
        self.cut = False
        self.sent: list[bytes] = []
        self.sent_bytes = self.heard_bytes = 0
        #: Of them, what it took until the link was open.
        self.opening_bytes = 0
        self.sessions: dict[int, Reconciler] = {}
        self.asked: dict[int, int] = {}
        self.unacked: dict[bytes, int] = {}
        #: What is shown as one's introduction: one's own, or one that was overheard.
        self.introduction: Callable[[], Intro] = self.proof
        self._own = own
        self._network = network
        self._stream = SecureStream(side is Side.DIALER, rng.randbytes(32), rng.randbytes(32))
        self._requests = count(1)
        self._numbers = count(1 if side is Side.DIALER else 2, 2)

    # --- wire ----------------------------------------------------------------------------

    async def write(self) -> None:
        """Send what is queued. Raises `OSError` when there is nobody any more."""
        for message in self._stream.messages():
            await self.throw(message)

    async def throw(self, message: bytes) -> None:
        """Send bytes as they are, whatever they are."""
        self.sent.append(message)
        self.sent_bytes += len(message)
        await self.wire.send(message)

    async def say(self, *said: Frame | bytes) -> None:
        """Send frames, or bytes in the place of frames."""
        for one in said:
            self._stream.queue(one if isinstance(one, bytes) else framing.encode(one))
        await self.write()

    async def hear(self) -> list[Frame] | None:
        """The frames of the next message; None at the end."""
        message = await self.wire.receive()
        if message is None:
            self.cut = True
            self.ended.set()
            return None
        self.heard_bytes += len(message)
        handshake = not self._stream.secured
        self._stream.feed(message)
        if handshake:
            await self._begin()
            return []
        frames: list[Frame] = []
        while (data := self._stream.next_frame(FRAME_BYTES_MAX)) is not None:
            frames.append(framing.decode(data))
        return frames

    async def _begin(self) -> None:
        if self._stream.secured:
            await self.say(self.introduction())
        else:
            await self.write()

    def proof(self) -> Intro:
        """The frame that proves the account on this very link."""
        stream = self._stream
        hash_ = stream.handshake_hash
        return introduce(self._own, Binding(self._network, stream.static, hash_, self.side))

    async def greet(self, frame: Frame, admitted: Sequence[bytes], clock_ms: int) -> bool:
        """Take a frame of the opening; True once the link is open, as far as this end knows."""
        if isinstance(frame, Intro):
            self.account = record.decode_record(frame.identity[0]).header.account
            digest = admitted_digest(admitted)
            about = (VERSION, self._network, CARRY_ALL, 0, bytes(32), digest)
            await self.say(Hello(*about, clock_ms, (0, 0, 0)))
        elif isinstance(frame, Bye):
            self.bye = frame.code
        elif isinstance(frame, Hello):
            if frame.admitted_digest != admitted_digest(admitted):
                await self.say(Admitted(tuple(sorted(admitted))))
            self.opening_bytes = self.heard_bytes
            return True
        return False

    # --- what is said --------------------------------------------------------------------

    async def push(self, items: Sequence[Packed]) -> list[Packed]:
        """Push as much as an honest node would take now; what is left."""
        room, left = PUSH_WINDOW_BYTES_MAX - sum(self.unacked.values()), list(items)
        chosen: list[Packed] = []
        while left and len(self.unacked) < PUSH_WINDOW_RECORDS_MAX and room >= left[0].size:
            item = left.pop(0)
            if item.id not in self.unacked:
                self.unacked[item.id] = item.size
                room -= item.size
                chosen.append(item)
        await self.say(*framing.encode_pushes(chosen))
        return left

    async def get(self, ids: Sequence[bytes]) -> None:
        """Ask for records."""
        for part in in_frames(list(dict.fromkeys(ids)), IDS_PER_GET):
            number = next(self._requests)
            self.asked[number] = len(part)
            await self.say(Get(number, part))

    async def find(self, by: int, name: bytes) -> None:
        """Ask for an account's log."""
        number = next(self._requests)
        self.asked[number] = 0
        await self.say(Find(number, by, name))

    async def compare(self, scope: Scope, message: bytes) -> int:
        """Start a reconciliation with any first message; its number."""
        number = next(self._numbers)
        await self.say(Reconcile(number, int(scope), None, 0, message))
        return number

    async def learn(self, hoard: Hoard) -> None:
        """Start to fetch everything the other side has; `answer` does the rest."""
        for scope in (Scope.LOG, Scope.STATE, Scope.WINDOW):
            reconciler = Reconciler(hoard.indexes[scope], RECONCILE_FRAME_BYTES_MAX)
            number = await self.compare(scope, reconciler.initiate())
            self.sessions[number] = reconciler

    def owns(self, number: int) -> bool:
        """Whether a session of reconciliation was started at this end."""
        return number % 2 == (1 if self.side is Side.DIALER else 0)


# --- what a polite node does ---------------------------------------------------------------


async def answer(line: Line, hoard: Hoard, frame: Frame, network: bytes) -> None:
    """Do with a frame what a node does that carries everything and hides nothing."""
    match frame:
        case Ping(number):
            await line.say(Pong(number))
        case Bye(code):
            line.bye = code
        case Push():
            await take_push(line, hoard, frame)
        case Ack(outcomes):
            for outcome in outcomes:
                line.unacked.pop(outcome.id, None)
        case Have(ids):
            await line.get([id_ for id_ in ids if id_ not in hoard.items])
        case Get(request, ids):
            absent = [Outcome(id_, Code.NOT_FOUND) for id_ in ids if id_ not in hoard.items]
            items = hoard.packed(dict.fromkeys(ids))
            await line.say(*framing.encode_pushes(items, request, absent, last=True))
        case Find(request, by, name):
            ids = tuple(hoard.log_of(name)) if by == FIND_ACCOUNT else ()
            await line.say(*framing.encode_pushes(hoard.packed(ids), request, last=True))
        case Chain(request):
            await line.say(*framing.encode_pushes([], request, last=True))
        case Reconcile():
            await reconcile(line, hoard, frame)
        case Challenge(nonce, id_):
            await prove(line, hoard, nonce, id_, network)


async def take_push(line: Line, hoard: Hoard, frame: Push) -> None:
    """Keep what came, and say so of what nobody asked for."""
    for item in frame.items:
        hoard.keep(item)
    if frame.request:
        if frame.last:
            line.asked.pop(frame.request, None)
    elif frame.items:
        await line.say(Ack(tuple(Outcome(item.id, Code.STORED) for item in frame.items)))


async def reconcile(line: Line, hoard: Hoard, frame: Reconcile) -> None:
    """One's own session goes on, the other side's is answered; private records are nobody's."""
    if frame.scope >= Scope.PRIVATE:
        await line.say(Reconciled(frame.number, Code.NOT_HOME))
        return
    if not line.owns(frame.number):
        index = hoard.indexes[Scope(frame.scope)]
        message = Reconciler(index, RECONCILE_FRAME_BYTES_MAX).respond(frame.message)
        await line.say(frame._replace(message=message))
        return
    reconciler = line.sessions.get(frame.number)
    if reconciler is None:
        return
    step = reconciler.proceed(frame.message)
    await line.get(step.need)
    if step.reply is None:
        del line.sessions[frame.number]
        await line.say(Reconciled(frame.number, None))
    else:
        await line.say(frame._replace(message=step.reply))


async def prove(line: Line, hoard: Hoard, nonce: bytes, id_: bytes, network: bytes) -> None:
    """Answer a challenge if it can be."""
    held = hoard.items.get(id_)
    payload = held.payload if held is not None else None
    proof = None if payload is None else challenge_hash(network, nonce, payload)
    if proof is None:
        await line.say(Ack((Outcome(id_, Code.NOT_FOUND),)))
    await line.say(Answer(nonce, id_, proof))
