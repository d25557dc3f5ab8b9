"""What comes alone goes to idle readers at once: in order, once, and one's fault is no other's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType

from ratoon_node.api import stream
from ratoon_node.api.sending import sent_now
from ratoon_node.timeline.feed import NETWORK, Feed, Follower, Message
from ratoon_node.timeline.visibility import Sight
from tests.node.api.site import Site, site
from tests.node.api.test_following import subscribed, told


class Client(asyncio.Transport):
    """A connection with some bytes that wait."""

    def __init__(self, waiting: int = 0, closing: bool = False) -> None:
        super().__init__()
        self._waiting = waiting
        self._closing = closing

    def get_write_buffer_size(self) -> int:
        return self._waiting

    def is_closing(self) -> bool:
        return self._closing


async def _written(done: list[str], room: asyncio.Event) -> None:
    done.append("written")
    await room.wait()
    done.append("more")


@pytest.mark.parametrize(
    ("client", "now"),
    [
        (Client(), True),
        (Client(waiting=1), False),
        (Client(closing=True), False),
        (None, False),
    ],
)
async def test_only_who_has_taken_everything_is_written_to_at_once(
    client: Client | None, now: bool
) -> None:
    done: list[str] = []
    assert sent_now(client, _written(done, asyncio.Event())) is now
    assert done == ["written"] * now


async def _feed(place: Site) -> Feed:
    sight = Sight(place.node.db, place.clock, lambda: place.node.gate.policy)
    return Feed(place.node.db, place.node.fanout, sight, b"n" * 32)


async def _heard(feed: Feed, rng: random.Random, count: int) -> list[int]:
    """What a reader hears of messages, now and then at once, now and then by its queue."""
    heard: list[int] = []
    follower = Follower(1000, feed)

    def at_once(message: Message) -> bool:
        if rng.random() < 0.3:
            return False
        heard.append(message.cursor)
        return True

    async def read() -> None:
        while len(heard) < count and (message := await follower.next()) is not None:
            if rng.random() < 0.5:
                await asyncio.sleep(0)
            heard.append(message.cursor)

    follower.at_once = at_once
    reader = asyncio.ensure_future(read())
    for at in range(count):
        alone = rng.random() < 0.8 and at < count - 1  # the last one ends the reader
        follower.offer(Message(at, b"a" * 32, 0, keys=[NETWORK]), alone)
        if rng.random() < 0.6:
            await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await reader
    return heard


async def test_every_message_comes_once_and_in_order(tmp_path: Path) -> None:
    async with site(tmp_path) as place:
        feed = await _feed(place)
        for seed in range(20):
            assert await _heard(feed, random.Random(seed), 200) == list(range(200))


async def test_a_post_that_comes_alone_needs_no_turn_of_its_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool] = []

    def noted(transport: asyncio.Transport | None, work: Coroutine[Any, None, Any]) -> bool:
        found.append(sent_now(transport, work))
        return found[-1]

    monkeypatch.setattr(stream, "sent_now", noted)
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        sockets = [await subscribed(place, "network", since=0) for _ in range(3)]
        await place.publish(ann.post("one"))
        assert [await told(socket, 1) for socket in sockets] == [["one"]] * 3
        found.clear()
        await place.publish(ann.post("two"))
        assert [await told(socket, 1) for socket in sockets] == [["two"]] * 3
        assert found == [True] * 3
        await place.publish(ann.post("three"), ann.post("four"))
        assert [await told(socket, 2) for socket in sockets] == [["three", "four"]] * 3
        assert found == [True] * 3


async def test_a_client_that_cannot_be_written_to_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path) as place:
        ann = await place.resident(2)
        sockets = [await subscribed(place, "network", since=0) for _ in range(3)]
        await place.publish(ann.post("one"))
        for socket in sockets:
            assert await told(socket, 1) == ["one"]
        faults = iter([RuntimeError("a bug"), ConnectionResetError("gone")])

        def broken(transport: asyncio.Transport | None, work: Coroutine[Any, None, Any]) -> bool:
            fault = next(faults, None)
            if fault is None:
                return sent_now(transport, work)
            work.close()
            raise fault

        monkeypatch.setattr(stream, "sent_now", broken)
        await place.publish(ann.post("two"))
        for socket in sockets:
            assert await told(socket, 1) == ["two"]
        await sockets[0].close()
        await place.publish(ann.post("three"))
        assert await told(sockets[1], 1) == ["three"]
        assert await told(sockets[2], 1) == ["three"]
        assert (await sockets[0].receive()).type is WSMsgType.CLOSED
