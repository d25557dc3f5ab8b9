"""One HTTP connection, spelt by hand: it shows when the node ends it, and says any bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, NamedTuple


class Said(NamedTuple):
    """An answer: its status, its headers in small letters, its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.json["error"]["code"])


# Well below what a node keeps a silent connection for: between two tests of one line there may be
# many others.
SILENT_SECONDS_MAX = 10


class HttpLine:
    """A connection that is opened once and kept for as long as the node keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._said = 0.0

    async def send(self, *parts: bytes) -> None:
        """Write bytes, on a new connection if there is none."""
        now = asyncio.get_running_loop().time()
        if now - self._said > SILENT_SECONDS_MAX:
            await self.close()
        self._said = now
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        for part in parts:
            self._streams[1].write(part)
        await self._streams[1].drain()

    async def answer(self) -> Said:
        """The next answer. Raises `IncompleteReadError` if the node ended the connection."""
        assert self._streams is not None
        reader = self._streams[0]
        async with asyncio.timeout(30):
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
            except asyncio.IncompleteReadError:
                await self.close()
                raise
            lines = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in lines}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Said(int(head[0].split()[1]), headers, body)

    async def read(self, size: int) -> bytes:
        """So many bytes."""
        assert self._streams is not None
        async with asyncio.timeout(30):
            return await self._streams[0].readexactly(size)

    async def ended(self) -> bool:
        """Whether the node has ended the connection, with nothing more to say."""
        assert self._streams is not None
        left = b""
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionResetError):  # what it did not read is thrown away
                left = await self._streams[0].read(1)
        await self.close()
        return not left

    async def ask(self, head: str, body: bytes = b"") -> Said:
        """Ask, with a head of lines, and take the answer."""
        await self.send(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        return await self.answer()

    async def post(self, path: str, data: bytes, type_: str, **headers: str) -> tuple[int, Any]:
        """Post, and have the connection kept."""
        more = "".join(f"\n{name}: {value}" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\nHost: x\nContent-Type: {type_}\nContent-Length: {len(data)}"
        said = await self.ask(head + more, data)
        assert said.headers.get("connection") != "close", said
        return said.status, said.json

    async def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
