"""Clients that never read: cut off in time, with bounded memory, and nothing of theirs stays."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import pytest
from aiohttp import WSMsgType, web

from ratoon_node.api import events, guard, sending, stream
from ratoon_node.api.ports import Services
from ratoon_node.timeline import topics
from ratoon_node.timeline.visibility import Sight
from ratoon_protocol.record import Record
from tests.bench.flood import frame, upgrade
from tests.node.api.site import Site, site

# A post of the largest size, and so many that they are more than a socket takes by itself.
TEXT = "x" * 8000
POSTS = 900
# What waits for one client in this process: what a connection takes before whoever sends waits,
# and as much that is sent before it is asked again.
CONNECTION_BYTES_MAX = 192 * 1024
# Who is not cut off by then never is.
SECONDS_MAX = 60
_BINARY, _TEXT = 0x82, 0x81


class Watched:
    """What happened to a client: bytes that waited for it, and that its request came to its end."""

    def __init__(self) -> None:
        self.waited = [0]
        self.ended = asyncio.Event()
        self.services: Services | None = None

    async def end(self) -> None:
        """Return once the client's request came to its end."""
        async with asyncio.timeout(SECONDS_MAX):
            await self.ended.wait()

    def left(self) -> tuple[int, int, int]:
        """Places still held, bytes that wait for followers, bytes of bodies."""
        assert self.services is not None, "a client came"
        room = self.services.bodies._left
        return self.services.streams.open, self.services.feed.waiting.bytes, room


def watch(monkeypatch: pytest.MonkeyPatch, module: Any) -> Watched:
    """Look at every send of a module, and have a client that does not read cut off soon."""
    found = Watched()
    send = sending.sent

    async def looked_at(request: web.Request, work: Any, size: int) -> None:
        try:
            await send(request, work, size)
        finally:
            if request.transport is not None:
                found.waited.append(request.transport.get_write_buffer_size())

    monkeypatch.setattr(module, "sent", looked_at)
    monkeypatch.setattr(sending, "SEND_MS_MAX", 200)
    answer = guard.Guard.answer

    async def noted(self: guard.Guard, request: web.Request, handler: Any) -> Any:
        found.services = self._services
        try:
            return await answer(self, request, handler)
        finally:
            if request.path not in ("/v1/records", "/v1/timelines/local"):
                found.ended.set()

    monkeypatch.setattr(guard.Guard, "answer", noted)
    return found


@asynccontextmanager
async def dull(place: Site, words: bytes) -> AsyncIterator[socket.socket]:
    """A client that says something and reads nothing, with as little room as a socket may have."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", place.port))
        await loop.sock_sendall(client, words)
        yield client


async def write_much(place: Site) -> list[Record]:
    ann = await place.resident(2)
    posts = [ann.post(TEXT) for _ in range(POSTS)]
    for at in range(0, POSTS, 100):
        status, _ = await place.publish(*posts[at : at + 100])
        assert status == 201
    return posts


def asking(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


NO_LIMITS: dict[str, Any] = {
    "requests_per_minute_max": 0,
    "records_per_minute_max": 0,
    "page_records_max": 1000,
}
SUBSCRIBE = json.dumps({"subscribe": "network", "since": 0}).encode()


@pytest.mark.parametrize("how", ["stream", "events", "page"])
async def test_who_never_reads_is_cut_off_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with site(tmp_path, **NO_LIMITS) as place:
        await write_much(place)
        modules = {"stream": stream, "events": events, "page": guard}
        watched = watch(monkeypatch, modules[how])
        words = {
            "stream": upgrade(place.url) + frame(_TEXT, SUBSCRIBE),
            "events": asking("/v1/events?topic=network&since=0"),
            "page": asking(f"/v1/timelines/network?limit={POSTS}"),
        }
        async with dull(place, words[how]) as client:
            await watched.end()
            assert 0 < await _rest(client) < len(TEXT) * POSTS, "it was told all there is"
        assert (max(watched.waited) > 0) == (how != "page")
        assert max(watched.waited) <= CONNECTION_BYTES_MAX
        streams, waiting, _ = watched.left()
        assert (streams, waiting) == (0, 0)
        active = place.node.metrics.requests_active
        assert [one.value for metric in active.collect() for one in metric.samples] == [0]
        status, _ = await place.get("/v1/timelines/local?limit=1")
        assert status == 200


async def test_who_reads_slowly_and_goes_on_is_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large page on a slow connection takes longer than a client that does not read is kept."""
    looked, looks = asyncio.Semaphore(0), 0
    look = sending._Pace._look

    def counted(self: sending._Pace) -> None:
        nonlocal looks
        look(self)
        looks += 1
        looked.release()

    monkeypatch.setattr(sending._Pace, "_look", counted)
    async with site(tmp_path, **NO_LIMITS) as place:
        await write_much(place)
        monkeypatch.setattr(sending, "SEND_MS_MAX", 200)
        loop = asyncio.get_running_loop()
        async with dull(place, asking(f"/v1/timelines/network?limit={POSTS}")) as client:
            size, need = 0, 200 * sending.SEND_BYTES_PER_S_MIN // 1000
            for _ in range(8):
                async with asyncio.timeout(SECONDS_MAX):
                    await looked.acquire()
                more = 0
                while more < 8 * need:
                    more += len(await loop.sock_recv(client, need))
                size += more
            assert looks >= 8
            while size < POSTS * len(TEXT):
                part = await loop.sock_recv(client, 1 << 20)
                assert part, "it was cut off"
                size += len(part)


async def _rest(client: socket.socket) -> int:
    """What had left the node for a client before it was cut off, in bytes."""
    size = 0
    try:
        while part := await asyncio.get_running_loop().sock_recv(client, 1 << 20):
            size += len(part)
    except ConnectionResetError:
        pass
    return size


async def _for_ever(client: socket.socket, message: bytes) -> None:
    """Send until it is cut off."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            await asyncio.get_running_loop().sock_sendall(client, message)


async def test_who_publishes_and_reads_no_answer_gives_back_the_room_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, **NO_LIMITS) as place:
        watched = watch(monkeypatch, stream)
        message = frame(_BINARY, msgpack.packb([1, [b"x"] * 10_000]))
        async with dull(place, upgrade(place.url)) as client:
            with pytest.raises(ConnectionError):
                await _for_ever(client, message)
            await watched.end()
        room = watched.left()
        assert room[:2] == (0, 0)
        assert room[2] == 64 * 1024 * 1024


async def test_who_catches_up_waits_for_others_who_do_and_readers_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred subscribers too slow for a flood read the past again and again: all at once they
    held up every page for seconds.
    """
    async with site(tmp_path, **NO_LIMITS) as place:
        ann = await place.resident(2)
        posts = [ann.post(f"number {at}") for at in range(300)]
        await place.publish(*posts)
        under_way, most = 0, 0
        look = Sight.read

        async def counted(self: Sight, fn: Any) -> Any:
            nonlocal under_way, most
            past = isinstance(fn, partial) and fn.func is topics.catch_up
            under_way, most = under_way + past, max(most, under_way + past)
            try:
                return await look(self, fn)
            finally:
                under_way -= past

        monkeypatch.setattr(Sight, "read", counted)
        sockets = [await place.http.ws_connect(place.url + "/v1/stream") for _ in range(6)]
        for one in sockets:
            await one.send_str(SUBSCRIBE.decode())
        for one in sockets:
            answers = [await one.receive() for _ in range(len(posts))]
            assert all(one.type is WSMsgType.BINARY for one in answers)
            await one.close()
        assert most == 1
