"""Who is there while a node is flooded: readers whose answers are timed, and dull subscribers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import NamedTuple, cast
from urllib.parse import quote, urlsplit

from ratoon_node.api.answers import RECORD_TYPE
from ratoon_node.operate.seed.speech import tongues
from tests.bench.asking import get, post
from tests.bench.flood import ADDRESS_CONNECTIONS, frame, reach, upgrade
from tests.bench.stores import Seeded

# One reader's pause between an answer and the next question; the same for who publishes.
PAUSE_SECONDS = 0.1
# A slow subscriber reads for a moment this often.
SLOW_SECONDS = 1.0
# The longest that anybody waits for an answer.
SECONDS_MAX = 60
_TEXT, _BINARY = 0x81, 0x82


class Answered(NamedTuple):
    """One request: what was asked for, when (monotonic), how many seconds it took, how it went."""

    what: str
    at: float
    seconds: float
    status: int


class Watch:
    """Everything that was asked and answered, in order of the answers."""

    def __init__(self) -> None:
        self.all: list[Answered] = []

    def between(self, begin: float, end: float, *what: str) -> list[Answered]:
        """What was asked in that time."""
        return [one for one in self.all if begin <= one.at < end and one.what in what]


def p99_ms(answers: Sequence[Answered]) -> float:
    """Within which nearly all were answered; 0 of none."""
    each = sorted(one.seconds for one in answers)
    return each[int(len(each) * 0.99)] * 1000 if each else 0.0


READS = ("home", "thread", "search", "record")


def reads(store: Seeded) -> dict[str, list[str]]:
    """What readers ask for."""
    english = next(tongue for tongue in tongues() if tongue.code == "en")
    words = [english.words[at] for at in (0, 60, 200, 500)]
    return {
        "home": [f"/v1/timelines/home?account={store.state.usual}&limit=20"],
        "thread": [f"/v1/records/{store.state.thread}/thread?limit=50"],
        "search": [f"/v1/search?in=posts&q={quote(word)}&limit=20" for word in words],
        "record": [f"/v1/records/{store.state.thread}"],
    }


async def _ask(url: str, what: str, requests: Iterator[bytes], watch: Watch) -> None:
    """One connection that asks, waits for the answer, and asks again."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 22)
    try:
        for request in requests:
            at = time.perf_counter()
            writer.write(request)
            async with asyncio.timeout(SECONDS_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(
                    line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line
                )
                await reader.readexactly(int(fields[b"content-length"]))
            watch.all.append(Answered(what, at, time.perf_counter() - at, int(head[9:12])))
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def watching(url: str, store: Seeded, posts: Iterator[bytes]) -> AsyncIterator[Watch]:
    """A reader of each kind and somebody who publishes one post after the other."""
    watch = Watch()
    tasks = [
        asyncio.create_task(_ask(url, what, cycle([get(url, path) for path in paths]), watch))
        for what, paths in reads(store).items()
    ]
    one = (post(url, "/v1/records", RECORD_TYPE, record) for record in posts)
    tasks.append(asyncio.create_task(_ask(url, "publish", one, watch)))
    try:
        yield watch
        for task in tasks:
            if task.done():
                task.result()  # who reads must get an answer, whatever it is
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Dull(asyncio.Protocol):
    """A subscriber that reads seldom, never, or is not even subscribed, and answers no ping."""

    def __init__(self, url: str, how: str, since: int) -> None:
        self._url, self._how = url, how
        self._first = json.dumps({"subscribe": "network", "since": since}).encode()
        self._upgraded = False
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self.transport.write(upgrade(self._url))

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            assert b" 101 " in data, data
            self._upgraded = True
            if self._how != "silent":
                self.transport.write(frame(_TEXT, self._first))
            if self._how in ("never", "slow"):
                self.transport.pause_reading()
            if self._how == "slow":
                self._later()
        elif self._how == "slow" and self.transport.is_reading():
            self.transport.pause_reading()

    def _later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SLOW_SECONDS, self._read_on)

    def _read_on(self) -> None:
        if not self.ended:
            self.transport.resume_reading()
            self.transport.write(frame(_BINARY, b"\xc1"))  # it is alive, whatever it says
            self._later()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


@contextlib.asynccontextmanager
async def dull(url: str, since: int, **how_many: int) -> AsyncIterator[list[Dull]]:
    """So many subscribers of each kind: `never` and `slow` readers, `silent` ones that ask for
    nothing, and `prompt` ones that are not dull at all.
    """
    found = []
    for at, how in enumerate(how for how, count in how_many.items() for _ in range(count)):
        make = partial(Dull, url, how, since)
        found.append(await reach(url, make, f"127.0.2.{1 + at // ADDRESS_CONNECTIONS}"))
    try:
        yield found
    finally:
        for one in found:
            one.transport.abort()
