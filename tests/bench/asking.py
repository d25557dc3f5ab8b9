"""A bare client over keep-alive connections and WebSockets, so that the node is what is measured.

A request and its answer cost this process some 20 µs; what the same client does against a server
that only sends bytes back is measured in the same run (`bare.echo`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")
P = TypeVar("P", bound=asyncio.Protocol)
# The longest that one series of requests may take.
SECONDS_MAX = 60
_HEAD_END = b"\r\n\r\n"
# A WebSocket frame's first byte: a whole text message, a whole binary message, an answer to a ping.
_TEXT, _BINARY, _PING, _PONG = 0x81, 0x82, 0x89, b"\x8a\x80\0\0\0\0"


class Load(NamedTuple):
    """What a series of requests took: each of them in seconds, ascending; all; the last body."""

    each: list[float]
    seconds: float
    body: bytes

    def percentile(self, share: float) -> float:
        """The milliseconds within which so large a share of the requests was answered."""
        return self.each[min(len(self.each) - 1, int(len(self.each) * share))] * 1000

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.each) / self.seconds


def get(url: str, path: str) -> bytes:
    """One request, ready to be sent."""
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n\r\n".encode()


def post(url: str, path: str, kind: str, body: bytes) -> bytes:
    """One request with a body."""
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class _Asker(asyncio.Protocol):
    """One connection: asks, reads the whole answer, asks again."""

    def __init__(self, requests: Iterator[bytes], ended: asyncio.Future[None]) -> None:
        self._requests = requests
        self._ended = ended
        self._parts: list[bytes] = []
        self._missing = 0
        self.each: list[float] = []
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self._ask()

    def _ask(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            if not self._ended.done():
                self._ended.set_result(None)
            return
        self._started = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        self._missing -= len(data)
        if self._missing > 0 and len(self._parts) > 1:
            return
        whole = b"".join(self._parts)
        head = whole.find(_HEAD_END)
        length = _LENGTH.search(whole, 0, head) if head >= 0 else None
        if length is None:
            self._parts = [whole]
            return
        self._missing = head + len(_HEAD_END) + int(length[1]) - len(whole)
        self._parts = [whole]
        if self._missing > 0:
            return
        self.each.append(time.perf_counter() - self._started)
        self._parts, self._missing = [], 0
        if whole[9:12] not in (b"200", b"201"):
            self._fail(f"the node answers {whole[:300]!r}")
            return
        self.body = whole[head + len(_HEAD_END) :]
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the node closes the connection: {exc}")

    def _fail(self, words: str) -> None:
        self._transport.close()
        if not self._ended.done():
            self._ended.set_exception(RuntimeError(words))


async def _connected(url: str, protocol: P) -> P:
    place = urlsplit(url)
    assert place.hostname is not None, "a whole address"
    assert place.port is not None, "a whole address"
    await asyncio.get_running_loop().create_connection(lambda: protocol, place.hostname, place.port)
    return protocol


async def ask(url: str, requests: Sequence[bytes], connections: int, count: int) -> Load:
    """`count` requests, in turn, over so many connections at once. All must be answered well."""
    loop = asyncio.get_running_loop()
    turns = islice(cycle(requests), count)
    ends = [loop.create_future() for _ in range(connections)]
    started = time.perf_counter()
    askers = [await _connected(url, _Asker(turns, end)) for end in ends]
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*ends)
    seconds = time.perf_counter() - started
    each = sorted(one for asker in askers for one in asker.each)
    return Load(each, seconds, next(asker.body for asker in askers if asker.each))


class Listener(asyncio.Protocol):
    """One WebSocket that counts what comes: `heard` is called for each record."""

    def __init__(self, url: str, first: str, heard: Callable[[], None]) -> None:
        self._url = url
        self._first = first
        self._heard = heard
        self._read = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            f"GET /v1/stream HTTP/1.1\r\nHost: {urlsplit(self._url).netloc}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._open:
            head, end, self._read = self._read.partition(_HEAD_END)
            if not end:
                self._read = head
                return
            assert b" 101 " in head, head
            self._open = True
            self._transport.write(_text_frame(self._first))
        while (size := _frame_size(self._read)) and len(self._read) >= size:
            frame, self._read = self._read[:size], self._read[size:]
            if frame[0] == _PING:
                self._transport.write(_PONG)
            elif frame[0] == _BINARY:
                self._heard()
            else:
                raise RuntimeError(f"the node says {frame!r}")

    def close(self) -> None:
        self._transport.close()


def _text_frame(text: str) -> bytes:
    """A client's frame, masked with zeros."""
    data = text.encode()
    assert len(data) < 126, "one length byte"
    return bytes([_TEXT, 0x80 | len(data), 0, 0, 0, 0]) + data


def _frame_size(read: bytes) -> int:
    """Bytes of the frame that begins here, its head included; 0 if too little was read."""
    if len(read) < 2:
        return 0
    length = read[1] & 127
    if length < 126:
        return 2 + length
    extra = 2 if length == 126 else 8
    return 2 + extra + int.from_bytes(read[2 : 2 + extra]) if len(read) >= 2 + extra else 0


async def listen(url: str, first: str, heard: Callable[[], None]) -> Listener:
    """A WebSocket to the stream that begins with the message `first`."""
    return await _connected(url, Listener(url, first, heard))
