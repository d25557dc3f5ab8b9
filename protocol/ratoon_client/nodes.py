"""Several nodes as one: the one in use first, the next when it fails.

A node that does not answer, or says that it is overloaded or stopping, is passed over for a while.
Every request may be sent twice: what is published has an id, and a second copy is a duplicate.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgpack

from ratoon_client.errors import ClientError, Refused, Unreachable, Untrue

RECORD_TYPE = "application/vnd.ratoon.record"
RECORDS_TYPE = "application/vnd.ratoon.records"
# Reading goes on with another node after this long.
TIMEOUT_S = 2.0
# A node that failed is asked again after this long, or when all others failed too.
SHUNNED_S = 30.0
# The longest answer of a node: a page of the largest records.
ANSWER_BYTES_MAX = 64 * 1024 * 1024
# Nodes one client goes round.
NODES_MAX = 16
# Answers that say nothing about the request, only about the node.
_OVERLOADED = frozenset({"busy", "shutdown", "internal"})


@dataclass(frozen=True)
class Answer:
    """What a node answered, and which."""

    node: str
    status: int
    data: bytes

    def json(self) -> Any:
        """The answer as JSON. Raises `Untrue`."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):
            raise Untrue(f"{self.node} answers with what is not JSON") from None

    def unpacked(self) -> Any:
        """The answer as MessagePack. Raises `Untrue`."""
        try:
            return msgpack.unpackb(self.data)
        except (ValueError, msgpack.UnpackException):
            raise Untrue(f"{self.node} answers with what is not MessagePack") from None


class Nodes:
    """The nodes a client knows, and the HTTP session it asks them with."""

    def __init__(self, urls: Sequence[str], timeout_s: float = TIMEOUT_S) -> None:
        self.urls: list[str] = []
        for url in urls:
            self.add(url)
        if not self.urls:
            raise ClientError("a client needs the address of one node at least")
        self._timeout_s = timeout_s
        self._shunned: dict[str, float] = {}
        self._http: aiohttp.ClientSession | None = None

    def add(self, url: str) -> None:
        """One more node to go on with; what is not an address, or too many, is passed over."""
        text = url if "://" in url else f"http://{url}"
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname
        if usable and text.rstrip("/") not in self.urls and len(self.urls) < NODES_MAX:
            self.urls.append(text.rstrip("/"))

    @property
    def http(self) -> aiohttp.ClientSession:
        """The session; made when it is first needed, inside the loop it belongs to."""
        if self._http is None:
            self._http = aiohttp.ClientSession(auto_decompress=False)
        return self._http

    async def close(self) -> None:
        """End all connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    def in_order(self) -> list[str]:
        """The nodes, those that failed lately last."""
        now = asyncio.get_running_loop().time()
        return sorted(self.urls, key=lambda url: self._shunned.get(url, 0.0) > now)

    def all_shunned(self) -> bool:
        """Whether every node failed lately."""
        now = asyncio.get_running_loop().time()
        return all(self._shunned.get(url, 0.0) > now for url in self.urls)

    def failed(self, url: str) -> None:
        """Go on with others for a while."""
        self._shunned[url] = asyncio.get_running_loop().time() + SHUNNED_S

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | None] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        elsewhere: Callable[[Refused], bool] = lambda _: False,
        wait_s: float = 0,
    ) -> Answer:
        """The first answer that a node gives.

        `elsewhere` says of a refusal that another node may answer otherwise; `wait_s` is added
        to the time each node has. Raises `Refused` (the last one), or `Unreachable`.
        """
        refused: Refused | None = None
        failures: list[str] = []
        for url in self.in_order():
            try:
                return await self.ask_one(url, method, path, query, data, headers, wait_s)
            except Refused as error:
                if error.code not in _OVERLOADED and not elsewhere(error):
                    raise
                refused = error
            except Unreachable as error:
                failures.append(str(error))
            self.failed(url)
        raise refused or Unreachable("; ".join(failures))

    async def ask_one(
        self,
        url: str,
        method: str,
        path: str,
        query: Mapping[str, str | int | None] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float = 0,
    ) -> Answer:
        """What one node answers. Raises `Refused` or `Unreachable`."""
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        try:
            async with self.http.request(
                method,
                url + path,
                params=given,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s + wait_s),
                allow_redirects=False,
            ) as response:
                found = await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or type(error).__name__
            raise Unreachable(f"{url}: {words}") from None
        if response.status >= 400:
            raise _refusal(url, response.status, found)
        # A domain that was sold or a provider's page: another node is asked.
        if response.status >= 300 or not response.content_type.startswith("application/"):
            raise Unreachable(f"{url}: what answers there is not a Ratoon node")
        return Answer(url, response.status, found)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > ANSWER_BYTES_MAX:
            raise aiohttp.ClientPayloadError("the answer is too long")
    return bytes(data)


def _refusal(url: str, status: int, data: bytes) -> ClientError:
    try:
        error = json.loads(data)["error"]
        return Refused(str(error["code"]), str(error["message"]), status, error.get("retry_ms"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Unreachable(f"{url}: what answers there is not a Ratoon node (HTTP {status})")
