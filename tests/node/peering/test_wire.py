"""Addresses come from strangers' records, so none of them may point a node inwards."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.typedefs import Handler

from ratoon_node.errors import NodeError
from ratoon_node.peering.wire import LINK_PATH, SocketTransport, is_public, link_url
from ratoon_protocol.errors import Code

INWARDS = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "ff02::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "2002:7f00:1::1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2001:0:7f00:1::1",
]


@pytest.mark.parametrize("address", INWARDS)
def test_no_address_inside_is_dialled(address: str) -> None:
    assert not is_public(address)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(NodeError) as error:
        link_url(f"http://{host}:80", private=False)
    assert error.value.code is Code.BAD_ADDRESS


@pytest.mark.parametrize(
    "address",
    [
        "http://2130706433",  # 127.0.0.1 as one number
        "http://127.1",
        "http://0177.0.0.1",
        "http://\uff11\uff12\uff17.0.0.1",  # full-width digits
        "http://user:secret@node.example",
        "file:///etc/passwd",
        "gopher://node.example",
        "http://",
        "",
        "http://[::1%25lo]",
        "http://[not-an-address]",
        "http://node.example:99999",
    ],
)
def test_what_is_no_address_of_a_node_is_refused(address: str) -> None:
    with pytest.raises(NodeError) as error:
        link_url(address, private=False)
    assert error.value.code is Code.BAD_ADDRESS


def test_an_address_only_says_where_the_link_is() -> None:
    url = link_url("https://node.example:8443/any/path?query#part", private=False)
    assert str(url) == f"wss://node.example:8443{LINK_PATH}"
    assert str(link_url("8.8.8.8:99", private=False)) == f"ws://8.8.8.8:99{LINK_PATH}"


class Names(AbstractResolver):
    """A name server that says what a test wants."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def refused(transport: SocketTransport, address: str) -> tuple[Code, str]:
    try:
        with pytest.raises(NodeError) as error:
            await transport.dial(address)
        return error.value.code, error.value.safe
    finally:
        await transport.close()


NO_NODE = (Code.BAD_ADDRESS, "What answers at this address is no node.")
NOWHERE = (Code.BAD_ADDRESS, "The name in this address leads to none that may be called.")


async def test_a_closed_port_and_a_name_that_is_not_there_say_so() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        nobody = (Code.BAD_ADDRESS, "Nobody answers at this address.")
        assert await refused(SocketTransport(True), address) == nobody
    for number, expected in (
        (socket.EAI_NONAME, NOWHERE),
        (socket.EAI_AGAIN, (Code.TIMEOUT, "No name server answers.")),
    ):
        transport = SocketTransport(True, Unknown(number))
        assert await refused(transport, "http://node.example") == expected


class Unknown(AbstractResolver):
    """Knows no name, and says why."""

    def __init__(self, number: int) -> None:
        self._number = number

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        raise socket.gaierror(self._number, "unknown")

    async def close(self) -> None:
        pass


async def test_a_name_that_leads_inside_is_not_dialled() -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    async with server(handler) as port:
        transport = SocketTransport(False, Names("127.0.0.1", "::1"))
        assert await refused(transport, f"http://node.example:{port}") == NOWHERE
        assert asked == []
        transport = SocketTransport(True, Names("127.0.0.1"))
        assert await refused(transport, f"http://node.example:{port}") == NO_NODE
        assert asked == [LINK_PATH]


async def test_no_redirect_is_followed() -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with server(handler) as port:
        assert await refused(SocketTransport(True), f"http://127.0.0.1:{port}") == NO_NODE
    assert asked == [LINK_PATH]


async def test_an_endless_answer_is_not_read() -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while sent < 1 << 30:
                await response.write(bytes(65_536))
                sent += 65_536
        except OSError:
            pass
        return response

    async with server(handler) as port:
        assert await refused(SocketTransport(True), f"http://127.0.0.1:{port}") == NO_NODE
    assert sent < 64 << 20
