"""Asking a domain whose name it is: over HTTPS, then in DNS (R-134).

Whoever writes a handle chooses whom this node calls, so the call is guarded: public addresses
only, the usual port, no redirect, a small answer, a short time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from ratoon_node.errors import NodeError
from ratoon_node.peering.wire import PublicResolver, unnamed
from ratoon_node.policy.naming import Handle, is_public_domain
from ratoon_node.runtime import timeout_ms
from ratoon_protocol.errors import Code

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

#: Below the domain's address, before the name.
WELL_KNOWN = "/.well-known/ratoon/"
#: The label between name and domain, and what the text begins with.
TXT_LABEL = "_ratoon"
TXT_PREFIX = "ratoon="
# One object with an account and a few addresses.
ANSWER_BYTES_MAX = 16 * 1024
# Name, connection, TLS and answer together; then as much again for DNS.
ASK_MS_MAX = 5000
# Texts looked at under one name.
TEXTS_MAX = 16


class Lookup(Protocol):
    """How a node asks a domain; the simulation and tests have ways of their own."""

    async def account_of(self, handle: Handle, address: str | None = None) -> bytes | None:
        """The account that the domain names, None if it names none.

        `address`: ask there instead (a node of a private network). Raises `NodeError(timeout)` if
        nobody answered as a domain does, `bad_address` if the domain does not exist or may not be
        asked.
        """
        ...

    async def close(self) -> None:
        """End everything this holds."""
        ...


class _Answer(msgspec.Struct):
    """What matters of the domain's answer."""

    account: str


class DomainLookup:
    """The real one. `private`: also domains at private addresses, and without TLS (LAN, tests).

    `resolver` finds addresses, `dns` texts; None takes the machine's own.
    """

    def __init__(
        self,
        private: bool,
        resolver: AbstractResolver | None = None,
        dns: Resolver | None = None,
    ) -> None:
        self._private = private
        self._resolver = resolver
        self._dns = dns
        self._client: aiohttp.ClientSession | None = None

    async def account_of(self, handle: Handle, address: str | None = None) -> bytes | None:
        """See `Lookup.account_of`: the well-known answer first, then the text in DNS."""
        if not is_public_domain(handle.domain) and not (self._private and address):
            raise NodeError(Code.BAD_ADDRESS, detail="domain of a handle")
        failed: NodeError | None = None
        try:
            found = await self._well_known(handle, address or f"https://{handle.domain}")
        except NodeError as error:
            found, failed = None, error
        if found is None and is_public_domain(handle.domain):
            found = await self._text(handle)
        if found is None and failed is not None:
            raise failed
        return found

    async def _well_known(self, handle: Handle, base: str) -> bytes | None:
        url = base.rstrip("/") + WELL_KNOWN + quote(handle.name)
        try:
            async with (
                timeout_ms(ASK_MS_MAX),
                self._session().get(
                    url, allow_redirects=False, headers={"Accept-Encoding": "identity"}
                ) as response,
            ):
                if response.status in (404, 410):
                    return None
                if response.status != 200:
                    raise _unanswered(str(response.status))
                data = await _read(response)
        except TimeoutError as error:
            raise NodeError(Code.TIMEOUT, detail="well-known") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise unnamed(error, "This domain leads to no address that may be called.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unanswered(type(error).__name__) from error
        try:
            return _account(msgspec.json.decode(data, type=_Answer).account)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            resolver = PublicResolver(self._private, self._resolver or ThreadedResolver())
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=resolver, limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._client

    async def _text(self, handle: Handle) -> bytes | None:
        import dns.asyncresolver  # 100 ms, which a node that never asks need not pay
        import dns.exception
        import dns.resolver

        try:
            if self._dns is None:
                self._dns = dns.asyncresolver.Resolver()
            found = await self._dns.resolve(
                f"{handle.name}.{TXT_LABEL}.{handle.domain}.",
                "TXT",
                lifetime=ASK_MS_MAX / 1000,
                raise_on_no_answer=False,
            )
        except dns.resolver.NXDOMAIN:
            return None
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise NodeError(Code.TIMEOUT, detail=f"dns: {type(error).__name__}") from error
        for row in list(found.rrset or ())[:TEXTS_MAX]:
            text = b"".join(row.strings).decode("ascii", "replace")
            account = _account(text.removeprefix(TXT_PREFIX))
            if text.startswith(TXT_PREFIX) and account is not None:
                return account
        return None

    async def close(self) -> None:
        """See `Lookup.close`."""
        if self._client is not None:
            await self._client.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            raise ValueError("the answer is too large")
    return bytes(data)


def _unanswered(detail: str) -> NodeError:
    """The domain exists, and who serves it says nothing of use: it may later."""
    safe = "This domain does not answer as it should."
    return NodeError(Code.TIMEOUT, safe=safe, detail=f"well-known: {detail}")


def _account(text: str) -> bytes | None:
    try:
        found = bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        found = b""
    return found if len(found) == 32 else None
