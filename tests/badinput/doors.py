"""Every way into a node that takes records, each on one connection that is kept."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgpack
import pytest

from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE
from ratoon_node.cli.bundles import import_
from ratoon_node.cli.client import Client
from ratoon_node.cli.commands import run_command
from ratoon_node.errors import ANSWERS
from ratoon_node.ingest.submission import Outcome, Submission
from ratoon_node.operate.disk import write_private
from ratoon_node.operate.folder import TOKEN as TOKEN_FILE
from ratoon_node.operate.folder import Folder
from ratoon_node.peering.conduct import FAULTS_MAX
from ratoon_node.peering.wire import SocketTransport
from ratoon_protocol.bundle import BundleWriter, Manifest
from ratoon_protocol.errors import Code
from ratoon_protocol.events import Closed, Event, Ready
from ratoon_protocol.frames import Ack, Peers
from ratoon_protocol.framing import encode, pack_item
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.record import Record, decode_record
from tests.badinput.forge import Case
from tests.badinput.lines import HttpLine
from tests.badinput.town import NETWORK
from tests.node.api.site import TOKEN, Site
from tests.node.peering.meeting import listening
from tests.node.peering.test_misconduct import RawPeer
from tests.protocol.linked import node as raw_node

OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


class Door(Protocol):
    """One way in. Whatever it is told, it says the code; a connection that ended says so."""

    async def offer(self, case: Case, good: Record) -> str:
        """Bring in a bad record, then a good one on the same connection. Gives the code of the
        bad one; raises if the good one is not stored or the connection ended in between.
        """

    async def cut(self, case: Case) -> str:
        """Bring in a record that ends the connection. Gives the code with which it ends."""


# --- HTTP ----------------------------------------------------------------------------------
class Http:
    """`POST /v1/records`, a record a request."""

    def __init__(self, here: Site) -> None:
        self.line = HttpLine(here.port)

    async def _publish(self, data: bytes) -> str:
        status, body = await self.line.post("/v1/records", data, RECORD_TYPE)
        (one,) = body["records"]
        code = Code(one["code"])
        assert status == (ANSWERS[code].status), (status, code)
        if "error" in body:
            assert body["error"]["code"] == code
        return code.value

    async def offer(self, case: Case, good: Record) -> str:
        code = await self._publish(case.data) if case.data else await self._empty()
        assert await self._publish(good.encode()) == "stored"
        return code

    async def _empty(self) -> str:
        _, body = await self.line.post("/v1/records", b"", RECORD_TYPE)
        return str(body["error"]["code"])

    async def cut(self, case: Case) -> str:
        raise AssertionError(f"no record ends an HTTP connection: {case.name}")

    async def close(self) -> None:
        await self.line.close()


class Batch(Http):
    """`POST /v1/records`, the good one behind the bad one in one request."""

    async def offer(self, case: Case, good: Record) -> str:
        items = msgpack.packb([case.data, good.encode()])
        status, body = await self.line.post("/v1/records", items, RECORDS_TYPE)
        bad, stored = body["records"]
        assert (status in (200, 201), stored["code"]) == (True, "stored"), body
        return str(bad["code"])


class Bundle(Http):
    """`POST /v1/operator/bundle`: what a bundle holds, sent by the operator."""

    async def offer(self, case: Case, good: Record) -> str:
        items = msgpack.packb([case.data, good.encode()])
        path = "/v1/operator/bundle"
        status, body = await self.line.post(path, items, RECORDS_TYPE, **OPERATOR)
        assert status == 200, body
        return other_than_stored(body)


def other_than_stored(body: Any) -> str:
    """The code of the one of two records that is not the good one."""
    codes = dict(body["codes"])
    assert (body["records"], codes.pop("stored")) == (2, 1), body
    (bad,) = codes
    return str(bad)


# --- the stream ----------------------------------------------------------------------------
class Stream:
    """`GET /v1/stream`: numbered messages on one WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._number = 0

    async def _publish(self, data: bytes) -> str:
        self._number += 1
        await self.socket.send_bytes(msgpack.packb([self._number, [data]]))
        async with asyncio.timeout(20):
            number, ((_, code),) = msgpack.unpackb(await self.socket.receive_bytes())
        assert number == self._number
        return str(code)

    async def offer(self, case: Case, good: Record) -> str:
        code = await self._publish(case.data)
        assert await self._publish(good.encode()) == "stored"
        return code

    async def cut(self, case: Case) -> str:
        raise AssertionError(f"no record ends a stream: {case.name}")

    async def close(self) -> None:
        await self.socket.close()


# --- the link ------------------------------------------------------------------------------
class Link:
    """Frames on a socket, from a peer that is somebody else before its faults count."""

    def __init__(self, here: Site, address: str) -> None:
        self.node = here.node
        self._address = address
        self._transport = SocketTransport(private=True)
        self._peer: RawPeer | None = None
        self._links = 0
        #: Ids of what its introductions brought, which is good.
        self.brought: set[bytes] = set()
        self._judged: asyncio.Queue[tuple[list[Submission], list[Outcome]]] = asyncio.Queue()
        submit = self.node.gate.submit

        async def watched(items: Sequence[Submission], origin: Any) -> list[Outcome]:
            outcomes = await submit(items, origin)
            self._judged.put_nowait(([*items], outcomes))
            return outcomes

        self.node.gate.submit = watched

    async def peer(self) -> RawPeer:
        """A link with room for more faults."""
        account = self._peer.account if self._peer else b""
        there = self.node.hub.neighbours.get(account)
        if self._peer is None or there is None or there.exchange.faults >= FAULTS_MAX - 2:
            await self.hang_up()
            self._links += 1
            self._peer = RawPeer(
                self.node, await self._transport.dial(self._address), f"liar {self._links}"
            )
            own = raw_node(f"liar {self._links}")
            self.brought |= {decode_record(one).id for one in (*own.identity, own.node)}
            await self._peer.until(lambda event: isinstance(event, Ready))
            await self._peer.flush()
        return self._peer

    async def hang_up(self) -> None:
        """End the link."""
        if self._peer is not None:
            await self._peer.wire.close()
            self._peer = None

    async def say(self, peer: RawPeer, *frames: bytes) -> None:
        """Say on the peer's stream what an honest session would not."""
        for frame in frames:
            peer.session._stream.queue(frame)
        await peer.flush()

    async def _push(self, header: bytes, signature: bytes, payload: bytes | None) -> str:
        peer = await self.peer()
        item = pack_item(header, signature, payload)
        assert peer.session.push([item]) == 1

        def acked(event: Event) -> bool:
            assert not isinstance(event, Closed), event
            return isinstance(event, Ack) and any(one.id == item.id for one in event.outcomes)

        found = await peer.until(acked)
        assert isinstance(found, Ack)
        return next(one.code.value for one in found.outcomes if one.id == item.id)

    async def offer(self, case: Case, good: Record) -> str:
        if case.whole is None:
            code = await self._push(case.header, case.signature, case.payload)
        else:
            code = await self._hint(case.whole)
        stored = await self._push(good.header_bytes, good.signature, good.payload)
        assert stored == "stored"
        return code

    async def _hint(self, data: bytes) -> str:
        """Whole records come in as hints where to dial; those have no answer."""
        await self.say(await self.peer(), encode(Peers((data,))))
        async with asyncio.timeout(20):
            while True:
                items, outcomes = await self._judged.get()
                if items == [data]:
                    return outcomes[0].code.value

    async def cut(self, case: Case) -> str:
        """The frame of a record that no frame holds."""
        if case.whole is not None:
            return await self.ends(msgpack.packb([18, [case.data]]))
        item = [case.header, case.signature, case.payload, None]
        return await self.ends(msgpack.packb([7, 0, 0, [item], []]))

    async def ends(self, *frames: bytes) -> str:
        """The code with which the node ends the link over these frames."""
        peer = await self.peer()
        await self.say(peer, *frames)
        code = (await peer.closed()).value
        await self.hang_up()
        return code

    async def close(self) -> None:
        await self.hang_up()
        await self._transport.close()


# --- the command ---------------------------------------------------------------------------
class Command:
    """`ratoon import` of a bundle, in this process: the command's own code and its own client."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder.parent / "given.bundle"
        self._bundles = 0
        self._clients: list[Client] = []
        self._patch = pytest.MonkeyPatch()
        begin = Client.__init__

        def begun(client: Client, *given: Any) -> None:
            begin(client, *given)
            self._clients.append(client)

        # A command leaves its connection to the end of its process, which does not come here.
        self._patch.setattr(Client, "__init__", begun)

    def bundle(self, *items: bytes) -> bytes:
        """A bundle of records, each time another one."""
        self._bundles += 1
        key = SigningKey.from_seed(self._bundles.to_bytes(32))
        out = io.BytesIO()
        writer = BundleWriter(out, Manifest(NETWORK, key.public, 1, len(items), ""), key)
        for item in items:
            out.write(b"\x01" + len(item).to_bytes(4) + item)
        writer.close()
        return out.getvalue()

    async def bring(self, data: bytes) -> tuple[int, Any]:
        """Import a file; the exit code, and what the command says."""
        line = ["import", str(self._file), "--data-dir", str(self._folder), "--json"]
        return await self._run(data, lambda: run_command(line))

    async def _run(self, data: bytes, command: Callable[[], Any]) -> tuple[Any, Any]:
        """What a command gives back and says about a file of `data`, in a thread of its own."""

        def run() -> tuple[Any, Any]:
            words = io.StringIO()
            with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
                code = command()
            while self._clients:
                self._clients.pop().close()
            return code, json.loads(words.getvalue())

        self._file.write_bytes(data)
        return await asyncio.to_thread(run)

    async def offer(self, case: Case, good: Record) -> str:
        # Reading the command line costs more than all the rest, and is the same each time.
        data = self.bundle(case.data, good.encode())
        _, body = await self._run(data, lambda: import_(self._file, self._folder, True))
        return other_than_stored(body)

    async def cut(self, case: Case) -> str:
        code, body = await self.bring(self.bundle(case.data))
        assert code != 0
        return str(body["error"]["code"])

    async def close(self) -> None:
        self._patch.undo()
        self._file.unlink(missing_ok=True)


@asynccontextmanager
async def door(way: str, here: Site, folder: Path) -> AsyncIterator[Any]:
    """The door of a way, at a node whose data are in `folder`."""
    async with contextlib.AsyncExitStack() as stack:
        made: Any
        if way == "stream":
            made = Stream(await here.http.ws_connect(here.url + "/v1/stream"))
        elif way == "link":
            made = Link(here, await stack.enter_async_context(listening(here.node)))
        elif way == "cli":
            write_private(folder / TOKEN_FILE, TOKEN + "\n")
            Folder(folder).note_serving(here.url, here.node.own.account)
            made = Command(folder)
        else:
            made = {"http": Http, "batch": Batch, "bundle": Bundle}[way](here)
        try:
            yield made
        finally:
            await made.close()
