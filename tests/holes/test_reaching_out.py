"""Whom a node calls, and when: never before it judged, never where a name leads by now."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from ratoon_node.errors import NodeError
from ratoon_node.peering.wire import LINK_PATH, PublicResolver, SocketTransport
from tests.node.peering.meeting import serving
from tests.node.peering.test_wire import server
from tests.tidy.source import python

#: What reaches other machines.
CALLING = (
    "aiohttp",
    "socket",
    "ssl",
    "http.client",
    "urllib.request",
    "aiodns",
    "dns",
    "ratoon_node.peering",
)


class Rebinding(AbstractResolver):
    """A name server whose answer is another one each time."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self._addresses[min(self.asked, len(self._addresses) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


async def test_what_was_resolved_is_what_is_called() -> None:
    """DNS rebinding: a name is public when it is looked at and private when it is called. Here it
    is asked once, and what was looked at is called.
    """
    called = []

    async def handler(request: web.Request) -> web.Response:
        called.append(request.host)
        return web.Response(status=403)

    names = Rebinding("127.0.0.1", "203.0.113.1")
    async with server(handler) as port:
        transport = SocketTransport(True, names)
        with pytest.raises(NodeError):
            await transport.dial(f"http://node.example:{port}")
        await transport.close()
    assert (names.asked, called) == (1, [f"node.example:{port}"])
    later = PublicResolver(False, Rebinding("8.8.8.8", "127.0.0.1"))
    assert (await later.resolve("node.example"))[0]["host"] == "8.8.8.8"
    with pytest.raises(OSError, match="public"):
        await later.resolve("node.example")


def test_taking_in_reaches_for_nothing() -> None:
    """CVE-2026-77632 (Fedify): a key was fetched from the address in a request that nobody had
    judged. Here what takes records in cannot call anybody, because it knows nothing that could.
    """
    sources = python("node/ratoon_node/ingest", "node/ratoon_node/policy", "protocol")
    inside = [one for one in sources if not one.path.startswith("protocol/ratoon_client")]
    assert len(inside) > 40
    found = [
        (source.path, name)
        for source in inside
        for node in ast.walk(source.tree)
        for name in _imported(node)
        if name.startswith(CALLING)
    ]
    assert found == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


async def test_no_link_is_squeezed(tmp_path: Path) -> None:
    """CVE-2025-69223 (aiohttp): few bytes that unpack to many. No side of a link unpacks any."""
    async with serving(tmp_path / "a", 1) as (_, address), aiohttp.ClientSession() as http:
        async with http.ws_connect(address + LINK_PATH, compress=15) as socket_:
            assert socket_.compress == 0
        offered = []

        async def handler(request: web.Request) -> web.Response:
            offered.append(request.headers.get("Sec-WebSocket-Extensions"))
            return web.Response(status=403)

        async with server(handler) as port:
            transport = SocketTransport(True)
            with pytest.raises(NodeError):
                await transport.dial(f"http://127.0.0.1:{port}")
            await transport.close()
        assert offered == [None]
