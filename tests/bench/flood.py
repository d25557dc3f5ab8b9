"""Publishers that do not wait politely: `python -m tests.bench.flood`, a process of its own.

Each line of input is an order as JSON, answered by a line. A flood offers so many records a second
over streams, HTTP batches and single requests; what is refused is offered again at the next turn,
whatever the node says of waiting, so that records are only used up by being taken.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import msgpack
import uvloop

from ratoon_node.api.answers import RECORD_TYPE, RECORDS_TYPE
from tests.bench.asking import post
from tests.bench.corpus import read_files

# Records of one message or batch, and messages of one stream that are not yet answered.
BATCH_RECORDS = 250
UNDER_WAY = 4
# Of what is offered: over streams, in batches, and as single records.
STREAM_SHARE, BATCH_SHARE, SINGLE_SHARE = 0.6, 0.395, 0.005
# How often what is due is offered.
TURN_SECONDS = 0.005
# After the end, for what was sent to be answered.
LAST_SECONDS = 120
# Connections of one address, which has a share of the node's places and no more.
ADDRESS_CONNECTIONS = 32
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")
_BINARY, _PING, _PONG = 0x82, 0x89, b"\x8a\x80\0\0\0\0"


class Tally:
    """What became of what was offered. Seconds are kept of each answer, refusals apart."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.offered = 0
        self.codes: Counter[str] = Counter()
        self.unhinted = 0
        self.lost = 0
        self.refused: dict[str, list[float]] = {"stream": [], "batch": [], "single": []}
        self.taken: dict[str, list[float]] = {"stream": [], "batch": [], "single": []}
        self.each_second: Counter[int] = Counter()
        self.answered = asyncio.Event()

    def took(self, way: str, codes: Counter[str], seconds: float) -> None:
        """The node took a batch, or some of it."""
        self.codes += codes
        self.each_second[int(time.perf_counter() - self.begun)] += codes["stored"]
        self.taken[way].append(seconds)
        self.answered.set()

    def refuse(self, way: str, code: str, records: int, seconds: float, hinted: bool) -> None:
        """The node took none of a batch."""
        self.codes[code] += records
        self.unhinted += not hinted
        self.refused[way].append(seconds)
        self.answered.set()

    def report(self, seconds: float, cpu: float) -> dict[str, Any]:
        return {
            "seconds": seconds,
            "cpu": cpu,
            "offered": self.offered,
            "codes": dict(self.codes),
            "unhinted": self.unhinted,
            "lost": self.lost,
            "refused_ms": {way: _percentiles(each) for way, each in self.refused.items()},
            "taken_ms": {way: _percentiles(each) for way, each in self.taken.items()},
            "each_second": [self.each_second[at] for at in range(int(seconds))],
        }


def _percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: half of them, nearly all, the longest; and how many there are."""
    each = sorted(seconds) or [0.0]
    found = {"p50": each[len(each) // 2], "p99": each[int(len(each) * 0.99)], "max": each[-1]}
    return {name: value * 1000 for name, value in found.items()} | {"count": len(seconds)}


class Stock:
    """Batches to offer: those that were refused first, then new ones."""

    def __init__(self, records: Iterator[bytes]) -> None:
        self._records = records
        self._back: dict[int, list[list[bytes]]] = {}
        self._left = 0.0
        self.empty = False

    def open(self, most: float) -> None:
        """From now on give at most so many new ones."""
        self._left, self.empty = most, False

    def take(self, count: int) -> list[bytes]:
        """So many records; fewer at the end."""
        back = self._back.get(count)
        if back:
            return back.pop()
        found = list(islice(self._records, int(min(count, self._left))))
        self._left -= len(found)
        self.empty = len(found) < count
        return found

    def give_back(self, records: list[bytes], count: int) -> None:
        """They were not taken."""
        self._back.setdefault(count, []).append(records)


class Publisher(asyncio.Protocol):
    """What every publisher's connection does."""

    def __init__(self, url: str, stock: Stock, tally: Tally) -> None:
        self.url, self.stock, self.tally = url, stock, tally
        self.read = b""
        self.open = False

    @property
    def free(self) -> bool:
        """Whether it can send now."""
        raise NotImplementedError

    @property
    def waits(self) -> bool:
        """Whether something was sent that is not answered."""
        raise NotImplementedError

    def offer(self) -> int:
        """Send some records; how many."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self.tally.lost += 1


class Poster(Publisher):
    """HTTP: one record or a batch, then the next once that is answered."""

    def __init__(self, url: str, stock: Stock, tally: Tally, count: int) -> None:
        super().__init__(url, stock, tally)
        self._count = count
        self._way = "single" if count == 1 else "batch"
        self._sent: list[bytes] = []

    @property
    def free(self) -> bool:
        return self.open and not self._sent

    @property
    def waits(self) -> bool:
        return self.open and bool(self._sent)

    def offer(self) -> int:
        self._sent = self.stock.take(self._count)
        if not self._sent:
            return 0
        single = self._count == 1
        body = self._sent[0] if single else msgpack.packb(self._sent)
        kind = RECORD_TYPE if single else RECORDS_TYPE
        self._started = time.perf_counter()
        self.transport.write(post(self.url, "/v1/records", kind, body))
        return len(self._sent)

    def data_received(self, data: bytes) -> None:
        self.read += data
        head = self.read.find(_HEAD_END)
        length = _LENGTH.search(self.read, 0, head) if head >= 0 else None
        if length is None or len(self.read) < head + 4 + int(length[1]):
            return
        answer, self.read = self.read, b""
        sent, self._sent = self._sent, []
        seconds = time.perf_counter() - self._started
        status, body = int(answer[9:12]), answer[head + 4 :]
        if status in (200, 201):
            codes = Counter(one["code"] for one in json.loads(body)["records"])
            self.tally.took(self._way, codes, seconds)
            return
        hinted = b"Retry-After: " in answer[:head]
        code = json.loads(body)["error"]["code"]
        self.tally.refuse(self._way, code, len(sent), seconds, hinted)
        self.stock.give_back(sent, self._count)


class Streamer(Publisher):
    """A stream: some messages under way at once."""

    def __init__(self, url: str, stock: Stock, tally: Tally) -> None:
        super().__init__(url, stock, tally)
        self._upgraded = False
        self._sent: dict[int, tuple[list[bytes], float]] = {}
        self._next = 0

    @property
    def free(self) -> bool:
        return self.open and self._upgraded and len(self._sent) < UNDER_WAY

    @property
    def waits(self) -> bool:
        return self.open and bool(self._sent)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(upgrade(self.url))

    def offer(self) -> int:
        records = self.stock.take(BATCH_RECORDS)
        if not records:
            return 0
        self._next += 1
        message = msgpack.packb([self._next, records])
        self._sent[self._next] = (records, time.perf_counter())
        self.transport.write(frame(_BINARY, message))
        return len(records)

    def data_received(self, data: bytes) -> None:
        self.read += data
        if not self._upgraded:
            head, end, rest = self.read.partition(_HEAD_END)
            if not end:
                return
            assert b" 101 " in head, head
            self._upgraded, self.read = True, rest
        while (size := frame_size(self.read)) and len(self.read) >= size:
            one, self.read = self.read[:size], self.read[size:]
            if one[0] == _BINARY:
                self._answered(msgpack.unpackb(one[_head_size(one) :]))
            elif one[0] == _PING:
                self.transport.write(_PONG)

    def _answered(self, answer: Sequence[Any]) -> None:
        records, started = self._sent.pop(answer[0])
        seconds = time.perf_counter() - started
        if isinstance(answer[1], list):
            self.tally.took("stream", Counter(code for _, code in answer[1]), seconds)
        else:
            hinted = answer[2] is not None
            self.tally.refuse("stream", answer[1], len(records), seconds, hinted)
            self.stock.give_back(records, BATCH_RECORDS)


def upgrade(url: str) -> bytes:
    """What opens a stream."""
    return (
        f"GET /v1/stream HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()


def frame(opcode: int, data: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2)
    else:
        length = b"\xff" + size.to_bytes(8)
    return bytes([opcode]) + length + bytes(4) + data


def _head_size(read: bytes) -> int:
    return {126: 4, 127: 10}.get(read[1] & 127, 2)


def frame_size(read: bytes) -> int:
    """Bytes of the frame that begins here, its head included; 0 if too little was read."""
    if len(read) < 2 or len(read) < _head_size(read):
        return 0
    head, length = _head_size(read), read[1] & 127
    return head + (length if head == 2 else int.from_bytes(read[2:head]))


class Order:
    """One order: how many connections of each kind, what rate (None: as fast as it is answered),
    how many seconds, and at most how many records.
    """

    def __init__(self, url: str, stock: Stock, words: dict[str, Any]) -> None:
        self._url, self._stock, self._tally = url, stock, Tally()
        self._rate: float | None = words["rate"]
        self._seconds: float = words["seconds"]
        stock.open(words.get("records", math.inf))
        tally = self._tally
        self._makers: list[tuple[int, float, Callable[[], Publisher]]] = [
            (words["streams"], STREAM_SHARE, lambda: Streamer(url, stock, tally)),
            (words["batches"], BATCH_SHARE, lambda: Poster(url, stock, tally, BATCH_RECORDS)),
            (words["singles"], SINGLE_SHARE, lambda: Poster(url, stock, tally, 1)),
        ]
        self._lanes: list[list[Publisher]] = []

    async def run(self) -> dict[str, Any]:
        """Offer until the time is over or all is used up. A flood goes away then; who waits for
        answers has them all before the time is taken.
        """
        await self._connect()
        cpu, begun = time.process_time(), time.perf_counter()
        self._tally.begun = begun
        done = [0] * len(self._lanes)
        while (passed := time.perf_counter() - begun) < self._seconds and not self._stock.empty:
            for at, publishers in enumerate(self._lanes):
                share = self._makers[at][1]
                due = None if self._rate is None else self._rate * share * passed
                done[at] = self._turn(publishers, done[at], due)
                publishers[:] = [*publishers[1:], *publishers[:1]]  # none stays idle
            await asyncio.sleep(TURN_SECONDS)
        if self._rate is None or self._stock.empty:
            async with asyncio.timeout(LAST_SECONDS):
                await self._all_answered()
        report = self._tally.report(time.perf_counter() - begun, time.process_time() - cpu)
        for one in self._all():
            one.transport.abort()
        return report

    def _all(self) -> list[Publisher]:
        return [one for lane in self._lanes for one in lane]

    async def _all_answered(self) -> None:
        while any(one.waits for one in self._all()):
            self._tally.answered.clear()
            await self._tally.answered.wait()

    def _turn(self, publishers: Sequence[Publisher], done: int, due: float | None) -> int:
        """Offer what is due; what nobody was free to send is not made up for."""
        for one in publishers:
            while one.free and (due is None or done < due):
                offered = one.offer()
                if not offered:
                    return done
                done += offered
                self._tally.offered += offered
        return done if due is None else max(done, int(due))

    async def _connect(self) -> None:
        at = 0
        for count, _, make in self._makers:
            lane = []
            for _ in range(count):
                lane.append(
                    await reach(self._url, make, f"127.0.1.{1 + at // ADDRESS_CONNECTIONS}")
                )
                at += 1
            self._lanes.append(lane)


P = TypeVar("P", bound=asyncio.Protocol)


async def reach(url: str, make: Callable[[], P], address: str) -> P:
    """A connection to a node from one of this machine's own addresses."""
    place = urlsplit(url)
    assert place.hostname is not None, "a whole address"
    assert place.port is not None, "a whole address"
    _, protocol = await asyncio.get_running_loop().create_connection(
        make, place.hostname, place.port, local_addr=(address, 0)
    )
    return protocol


async def _main() -> None:
    stocks: dict[str, Stock] = {}
    while line := await asyncio.to_thread(sys.stdin.readline):
        words = json.loads(line)
        path = words["path"]
        if path not in stocks:
            stocks[path] = Stock(read_files(Path(path)))
        print(json.dumps(await Order(words["url"], stocks[path], words).run()), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
