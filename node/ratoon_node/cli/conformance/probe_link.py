"""One link to the node under test, as the dialler: honest frames, or any bytes at all.

The stream and the frames are those of the protocol package; nothing here keeps the order of
things, so that a check can break it. What a polite peer answers by itself is answered (ping,
get, find, chain, reconcile, have, push), so that a check only says what it is about.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import aiohttp

from ratoon_node.cli.conformance.people import (
    fresh_key,
    fresh_salt,
    now_ms,
    operation_of,
    pack,
)
from ratoon_node.cli.conformance.raw_stream import RawStream
from ratoon_node.cli.conformance.suite import Unmet
from ratoon_protocol import framing, kinds
from ratoon_protocol.author import Author, Draft, device_row, new_account
from ratoon_protocol.author import Chain as LastOf
from ratoon_protocol.errors import Code, ProtocolError
from ratoon_protocol.frames import (
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
    challenge_hash,
)
from ratoon_protocol.framing import encode_pushes, pack_item
from ratoon_protocol.introduction import Binding, Own, Side, introduce
from ratoon_protocol.keys import AgreementKey
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.limits import (
    NOISE_MESSAGE_BYTES_MAX,
    NONCE_BYTES,
    VERSION,
)
from ratoon_protocol.record import Record

F = TypeVar("F")

LINK_PATH = "/v1/link"
_SERVE = 1 << Capability.SERVE


class LinkEnded(Exception):
    """The node ended the link; the message is its code."""


def node_body(name: str) -> dict[str, Any]:
    """What the suite's own nodes say of themselves: nobody needs to dial them."""
    return {
        "addresses": [],
        "admits": [],
        "country": "",
        "home_open": 0,
        "name": name,
        "network": "",
        "provider": "",
        "software": "ratoon conformance",
    }


class NodeAccount:
    """A node account of the suite: it hosts what a check needs hosted."""

    def __init__(self, network: bytes, capabilities: int = _SERVE) -> None:
        self.network = network
        self.paper = fresh_key()
        self.device = fresh_key()
        agreement = AgreementKey(secrets.token_bytes(32)).public
        row = device_row(network, self.paper.public, self.device, agreement, capabilities)
        self.draft = Draft(devices=[row])
        self.account, self.genesis = new_account(
            network, self.paper, self.draft, now_ms(), fresh_salt()
        )
        self.author = Author(network, self.account, self.device, secrets.token_bytes(32))
        self.node = self.sign(kinds.NODE, node_body("conformance"), b"")
        #: Its head ends it, or a check took its device away.
        self.over = False

    def sign(self, kind: int, body: dict[str, Any], target: bytes) -> Record:
        """The next record with a slot."""
        return self.author.sign(kind, body, now_ms(), fresh_salt(), target)

    def vouch(self, account: bytes) -> None:
        """This node's record names another from now on."""
        body = node_body("conformance") | {"admits": [account]}
        self.node = self.sign(kinds.NODE, body, b"")

    def hosting(self, account: bytes, state: int = 1) -> Record:
        """This node says that it hosts an account, or no longer."""
        return self.sign(kinds.HOSTING, {"state": state}, account)

    def operation(self, draft: Draft) -> Record:
        """The account's second operation, by paper."""
        chains = {Lane.LOG: LastOf(1, self.genesis.id, self.genesis.header.created_ms)}
        paper = Author(self.network, self.account, self.paper, None, chains)
        return paper.sign(kinds.IDENTITY, draft.body(), now_ms(), fresh_salt())

    def vanish(self) -> Record:
        """The operation that ends the account."""
        draft = Draft.after(operation_of(self.genesis))
        draft.vanish = True
        return self.operation(draft)

    @property
    def own(self) -> Own:
        """What an introduction is made of."""
        identity = (self.genesis.encode(),)
        return Own(self.account, identity, self.node.encode(), self.device)


class LinkProbe:
    """A link from its WebSocket to its end."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, network: bytes, timeout_s: float
    ) -> None:
        self._network = network
        self.stream = RawStream()
        self.frames: list[Frame] = []
        #: Messages as they were sent, for playing them again.
        self.sent: list[bytes] = []
        self.bye: str | None = None
        self.ended = False
        #: What the node may ask of us, and what we say of what it pushes.
        self.items: dict[bytes, Record] = {}
        self.says = Code.DROPPED
        self.asked: set[bytes] = set()
        #: What the node pushed or offered; payloads of what we said to hold.
        self.told: dict[bytes, bytes | None] = {}
        self.polite = True
        self._socket = socket
        self._timeout_s = timeout_s
        self._request = 0
        self._number = -1
        self._heard = asyncio.Condition()
        self._reader: asyncio.Task[None] | None = None

    # --- bytes -------------------------------------------------------------------------------

    async def send_message(self, message: bytes) -> None:
        """One WebSocket message, whatever it is."""
        self.sent.append(message)
        if self._socket.closed:
            raise LinkEnded(self.bye or "closed")
        try:
            await self._socket.send_bytes(message)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise LinkEnded(self.bye or "closed") from error

    async def send(self, *frames: Frame | bytes) -> None:
        """Frames, or the bytes of something like one, in as few messages as it takes."""
        data = [one if isinstance(one, bytes) else framing.encode(one) for one in frames]
        for message in self.stream.messages(data):
            await self.send_message(message)

    async def send_plain(self, plain: bytes) -> None:
        """One encrypted message of any bytes of the stream."""
        await self.send_message(self.stream.encrypt(plain))

    async def receive_message(self) -> bytes | None:
        """The next WebSocket message, None once the node has closed."""
        async with asyncio.timeout(self._timeout_s):
            message = await self._socket.receive()
        return bytes(message.data) if message.type is aiohttp.WSMsgType.BINARY else None

    # --- the steps of a link -----------------------------------------------------------------

    async def shake_hands(self) -> None:
        """The Noise handshake; from then on frames are read."""
        await self.send_message(self.stream.begin())
        answer = await self.receive_message()
        if answer is None:
            raise LinkEnded("closed in the handshake")
        await self.send_message(self.stream.finish(answer))
        self._reader = asyncio.create_task(self._read())

    def introduction(self, own: Own, **change: Any) -> Intro:
        """Our introduction; `change` are fields of what the proof is bound to."""
        stream = self.stream
        binding = Binding(self._network, stream.static, stream.handshake_hash, Side.DIALER)
        return introduce(own, binding._replace(**change))

    async def meet(self, node: NodeAccount) -> None:
        """Handshake, introduction and hello, up to an open link."""
        await self.shake_hands()
        await self.send(self.introduction(node.own))
        hello = await self.expect(Hello)
        await self.send(self.hello(hello, node))

    def hello(self, theirs: Hello, node: NodeAccount, **change: Any) -> Hello:
        """Our hello: we admit ourselves and whom they admit, by their own digest."""
        mine = Hello(
            VERSION,
            node.network,
            "all",
            0,
            node.genesis.id,
            theirs.admitted_digest,
            now_ms(),
            (0, 0, 0),
        )
        return mine._replace(**change)

    async def admit(self, accounts: Iterable[bytes]) -> None:
        """Say whom we admit from now on."""
        await self.send(Admitted(tuple(sorted(set(accounts)))))

    async def close(self, code: Code = Code.SHUTDOWN) -> None:
        """Say bye and end the link."""
        try:
            if self.stream.secured and not self.ended:
                await self.send(Bye(code))
        except LinkEnded:
            pass
        await self._socket.close()
        if self._reader is not None:
            self._reader.cancel()

    # --- hearing -----------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while (message := await self._socket.receive()).type is aiohttp.WSMsgType.BINARY:
                for data in self.stream.frames(bytes(message.data)):
                    frame = framing.decode(data)
                    await self._answer(frame)
                    async with self._heard:
                        self.frames.append(frame)
                        self._heard.notify_all()
        except (ProtocolError, LinkEnded) as error:
            self.bye = self.bye or f"the suite could not read it: {error}"
        finally:
            self.ended = True
            async with self._heard:
                self._heard.notify_all()

    async def _answer(self, frame: Frame) -> None:
        """What every peer owes."""
        match frame:
            case Bye():
                self.bye = frame.code.value
            case Ping():
                await self.send(Pong(frame.number))
            case _ if not self.polite:
                pass
            case Push(request=0) if frame.items:
                self.told.update({item.id: item.payload for item in frame.items})
                await self.send(Ack(tuple(Outcome(item.id, self.says) for item in frame.items)))
            case Have() if self.says is Code.STORED:
                self._request += 1
                await self.send(Get(self._request, frame.ids))
            case Push() if self.says is Code.STORED:  # what was offered
                self.told.update({item.id: item.payload for item in frame.items})
                held = tuple(Outcome(item.id, self.says) for item in frame.items if item.payload)
                await self.send(*([Ack(held)] if held else []))
            case Have():
                self.told |= dict.fromkeys(set(frame.ids) - self.told.keys())
                await self.send(Ack(tuple(Outcome(id_, self.says) for id_ in frame.ids)))
            case Get():
                self.asked.update(frame.ids)
                here = [packed(self.items[id_]) for id_ in frame.ids if id_ in self.items]
                missing = [id_ for id_ in frame.ids if id_ not in self.items]
                absent = [Outcome(id_, Code.NOT_FOUND) for id_ in missing]
                await self.send(*encode_pushes(here, frame.request, absent, last=True))
            case Find() | Chain():
                await self.send(*encode_pushes([], frame.request, (), last=True))
            case Reconcile() if frame.number % 2 == 0:
                await self.send(Reconciled(frame.number, Code.BUSY))
            case Challenge():
                await self.send(Answer(frame.nonce, frame.id, self._proof(frame)))

    def _proof(self, frame: Challenge) -> bytes | None:
        payload = self.told.get(frame.id)
        return challenge_hash(self._network, frame.nonce, payload) if payload else None

    async def until(self, true: Callable[[], F | None], what: str, wait_s: float = 0) -> F:
        """Wait for something among what came. Raises `LinkEnded`, or `TimeoutError`."""
        try:
            async with asyncio.timeout(wait_s or self._timeout_s), self._heard:
                while (found := true()) is None:
                    if self.ended:
                        raise LinkEnded(self.bye or "closed without a word")
                    await self._heard.wait()
                return found
        except TimeoutError:
            raise TimeoutError(f"no {what} in time") from None

    async def expect(self, type_: type[F], fits: Callable[[F], bool] = lambda _: True) -> F:
        """The first frame of a type that fits; it is taken from what came."""

        def look() -> F | None:
            for frame in self.frames:
                if isinstance(frame, type_) and fits(frame):
                    self.frames.remove(frame)
                    return frame
            return None

        return await self.until(look, type_.__name__.lower())

    async def hears_of(self, id_: bytes) -> bool:
        """Whether the node pushes or offers us a record, in time."""
        try:
            return await self.until(lambda: id_ in self.told or None, "word of a record")
        except TimeoutError:
            return False

    async def end(self) -> str:
        """Wait for the node to end the link; the code of its bye, `closed` without one."""

        def over() -> str | None:
            return (self.bye or "closed without a word") if self.ended else None

        try:
            return await self.until(over, "end of the link")
        except TimeoutError:
            return "the link stays open"

    async def alive(self) -> bool:
        """Whether the link is open: a ping comes back."""
        self._number += 2
        number = self._number
        try:
            await self.send(Ping(number))
            await self.expect(Pong, lambda pong: pong.number == number)
        except (LinkEnded, TimeoutError):
            return False
        return True

    # --- asking ------------------------------------------------------------------------------

    def next_request(self) -> int:
        """A number for get, chain and find."""
        self._request += 1
        return self._request

    def next_session(self) -> int:
        """A number for a reconciliation."""
        self._number += 2
        return self._number

    async def push(self, *items: Record | Packed) -> dict[bytes, str]:
        """Push records and wait for the first word on each: codes by id."""
        ready = [one if isinstance(one, Packed) else packed(one) for one in items]
        codes: dict[bytes, str] = {}
        waiting = {one.id for one in ready}
        await self.send(*encode_pushes(ready))
        while waiting - codes.keys():
            ack = await self.expect(Ack, lambda ack: any(one.id in waiting for one in ack.outcomes))
            for one in ack.outcomes:
                codes.setdefault(one.id, one.code.value)
        return {id_: codes[id_] for id_ in waiting}

    async def answers(self, request: int) -> tuple[list[Item], dict[bytes, str]]:
        """All parts of an answer: items, and codes of what is absent."""
        items: list[Item] = []
        absent: dict[bytes, str] = {}
        while True:
            push = await self.expect(Push, lambda push: push.request == request)
            items += push.items
            absent |= {one.id: one.code.value for one in push.absent}
            if push.last:
                return items, absent

    async def get(self, *ids: bytes) -> tuple[dict[bytes, Item], dict[bytes, str]]:
        """Ask for records."""
        request = self.next_request()
        await self.send(Get(request, ids))
        items, absent = await self.answers(request)
        return {item.id: item for item in items}, absent

    async def truth(self, id_: bytes) -> str:
        """What the node says of a record: `stored` with its bytes, else the code."""
        items, absent = await self.get(id_)
        if id_ not in items:
            return absent.get(id_, "no answer")
        code = items[id_].code
        return "stored" if items[id_].payload is not None else code.value if code else "header"

    async def prove(self, id_: bytes) -> tuple[bytes, bytes | None]:
        """Challenge the node on a record: the nonce and its answer."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        await self.send(Challenge(nonce, id_))
        return nonce, (await self.expect(Answer, lambda one: one.nonce == nonce)).hash

    async def turn(self, frame: Reconcile) -> bytes:
        """One message of a reconciliation, and the node's answer to it."""
        await self.send(frame)
        return (await self.expect(Reconcile, lambda one: one.number == frame.number)).message

    async def find(self, by: int, name: bytes) -> list[Item]:
        """Ask for an account's log."""
        request = self.next_request()
        await self.send(Find(request, by, name))
        return (await self.answers(request))[0]

    async def chain(self, **fields: Any) -> list[Item]:
        """Ask for headers of a chain."""
        request = self.next_request()
        await self.send(Chain(request=request, **fields))
        return (await self.answers(request))[0]


def packed(record: Record) -> Packed:
    """A record as an item of a push, without payload as `dropped`."""
    code = Code.DROPPED if record.payload is None else None
    return pack_item(record.header_bytes, record.signature, record.payload, code)


def frame_bytes(fields: list[Any]) -> bytes:
    """A frame of any fields at all."""
    return pack(fields)


async def dial(
    client: aiohttp.ClientSession, url: str, network: bytes, timeout_s: float
) -> LinkProbe:
    """A WebSocket to where nodes link. Raises `Unmet` if there is none."""
    try:
        async with asyncio.timeout(timeout_s):
            socket = await client.ws_connect(
                url, compress=0, max_msg_size=NOISE_MESSAGE_BYTES_MAX + 1
            )
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unmet(f"no link at {url}: {error or type(error).__name__}") from None
    return LinkProbe(socket, network, timeout_s)
