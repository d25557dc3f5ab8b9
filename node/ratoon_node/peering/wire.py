"""Where the bytes of a link go: a wire, however it is made (R-71).

`Transport` is a seam: production dials WebSockets, the simulation hands out wires of its own.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from ratoon_node.errors import NodeError
from ratoon_node.runtime import timeout_ms
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import HANDSHAKE_MS_MAX, NOISE_MESSAGE_BYTES_MAX

#: Where a node takes links, below its address.
LINK_PATH = "/v1/link"
# How long the end of a wire waits for the other side's word.
CLOSE_MS_MAX = 2000
# aiohttp refuses a message of exactly its limit.
_MESSAGE_BYTES_BELOW = NOISE_MESSAGE_BYTES_MAX + 1


class Wire(Protocol):
    """One connection that carries whole binary messages."""

    async def send(self, message: bytes) -> None:
        """Write one message; waits while the other side does not read."""
        ...

    async def receive(self) -> bytes | None:
        """The next message; None once the connection has ended."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


class Transport(Protocol):
    """How a node reaches an address."""

    async def dial(self, address: str) -> Wire:
        """A wire to the node at `address`. Raises `NodeError` when there is none."""
        ...

    async def close(self) -> None:
        """End everything this transport holds."""
        ...


class SocketWire:
    """A WebSocket, from either end."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse | web.WebSocketResponse) -> None:
        self._socket: Any = socket_

    async def send(self, message: bytes) -> None:
        """See `Wire.send`."""
        await self._socket.send_bytes(message)

    async def receive(self) -> bytes | None:
        """See `Wire.receive`."""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        if message.type is aiohttp.WSMsgType.TEXT:
            return b""  # no message of a link: the session says so
        return None

    async def close(self) -> None:
        """See `Wire.close`; a peer that does not answer is cut off."""
        try:
            async with timeout_ms(CLOSE_MS_MAX):
                await self._socket.close()
        except (OSError, TimeoutError):
            pass  # the client has closed the connection under it


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only, so that no peer's record can point us inwards."""

    def __init__(self, private: bool, resolver: AbstractResolver) -> None:
        self._private = private
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The public addresses of a name. Raises `OSError` if it has none."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [one for one in found if self._private or is_public(one["host"])]
        if not allowed:
            raise OSError("not a public address")
        return allowed

    async def close(self) -> None:
        """End what it holds."""
        await self._resolver.close()


# Prefixes that carry an IPv4 address inside: compatible, mapped, NAT64 (also local), 6to4, Teredo.
_TRANSITIONS = tuple(
    ipaddress.ip_network(prefix)
    for prefix in (
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
    )
)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet at large, through no transition prefix."""
    found = ipaddress.ip_address(address.split("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and (
        found.is_site_local or any(found in prefix for prefix in _TRANSITIONS)
    ):
        return False
    return found.is_global and not found.is_multicast


def link_url(address: str, private: bool) -> URL:
    """Where to dial for an address as nodes state it. Raises `NodeError(bad_address)`."""
    text = address if "//" in address else f"http://{address}"
    try:
        url = URL(text)
        if url.scheme not in ("http", "https", "ws", "wss") or not url.host or url.user:
            raise ValueError("not an address of a node")
        host = url.raw_host or ""
        # Of numbers no name server is asked, so what they spell must be plain.
        literal = ipaddress.ip_address(host) if _looks_like_ip(host) else None
        if literal is not None and not private and not is_public(str(literal)):
            safe = "No public address; for a LAN or a test, run with --accept-private-addresses."
            raise NodeError(Code.BAD_ADDRESS, safe=safe)
    except ValueError as error:
        safe = "This is no address of a node."
        raise NodeError(Code.BAD_ADDRESS, safe=safe, detail=str(error)) from error
    scheme = "wss" if url.scheme in ("https", "wss") else "ws"
    return url.with_scheme(scheme).with_path(LINK_PATH).with_query(None).with_fragment(None)


def _looks_like_ip(host: str) -> bool:
    """As the HTTP client tells: what consists of digits and dots goes straight to the socket,
    where `2130706433` and `127.1` are the machine itself.
    """
    return ":" in host or host.replace(".", "").isdigit()


class SocketTransport:
    """Dials WebSockets. `private`: also to loopback and private addresses (LAN, demo, tests).

    `resolver` finds the addresses of a name; whatever it finds, only public ones are dialled.
    """

    def __init__(self, private: bool, resolver: AbstractResolver | None = None) -> None:
        self._private = private
        self._resolver = resolver
        self._client: aiohttp.ClientSession | None = None

    async def dial(self, address: str) -> Wire:
        """See `Transport.dial`. No redirects, no compression, a bounded time."""
        url = link_url(address, self._private)
        if self._client is None:
            resolver = PublicResolver(self._private, self._resolver or ThreadedResolver())
            connector = aiohttp.TCPConnector(resolver=resolver, limit=0)
            trace = aiohttp.TraceConfig()
            trace.on_request_redirect.append(_refuse_redirect)
            self._client = aiohttp.ClientSession(
                connector=connector, trace_configs=[trace], cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with timeout_ms(HANDSHAKE_MS_MAX):
                return SocketWire(
                    await self._client.ws_connect(
                        url, compress=0, max_msg_size=_MESSAGE_BYTES_BELOW, autoping=True
                    )
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _not_met(error) from error

    async def close(self) -> None:
        """See `Transport.close`."""
        if self._client is not None:
            await self._client.close()


def _not_met(error: Exception) -> NodeError:
    """Why nobody was met at an address, in words that say what to look for."""
    detail = f"dial: {type(error).__name__}"
    if isinstance(error, TimeoutError):
        return NodeError(Code.TIMEOUT, detail=detail)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return unnamed(error, "The name in this address leads to none that may be called.")
    if isinstance(error, aiohttp.ClientSSLError):
        safe = "No secure connection comes about at this address."
    elif isinstance(error, aiohttp.ClientConnectorError):
        safe = "Nobody answers at this address."
    else:
        safe = "What answers at this address is no node."
    return NodeError(Code.BAD_ADDRESS, safe=safe, detail=detail)


def unnamed(error: aiohttp.ClientConnectorDNSError, words: str) -> NodeError:
    """`bad_address` with these words for a name that has no address that may be called; `timeout`
    if it could not be asked now.
    """
    if error.os_error.errno == socket.EAI_AGAIN:
        return NodeError(Code.TIMEOUT, safe="No name server answers.", detail="names")
    return NodeError(Code.BAD_ADDRESS, safe=words, detail="names")


async def _refuse_redirect(*_: object) -> None:
    raise aiohttp.ClientError("nodes do not redirect each other")


async def accept(request: web.Request) -> tuple[web.WebSocketResponse, Wire]:
    """Take a link that another node dials."""
    response = web.WebSocketResponse(
        compress=False, max_msg_size=_MESSAGE_BYTES_BELOW, autoping=True
    )
    await response.prepare(request)
    return response, SocketWire(response)


def spread(addresses: Sequence[str], known: str | None) -> list[str]:
    """Addresses to try in order: the one that worked last, then those the node states."""
    return list(dict.fromkeys([*([known] if known else []), *addresses]))
