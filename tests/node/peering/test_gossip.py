"""Who is told what is new, and that telling many of much holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.peering import gossip
from tests.node.peering.meeting import publish, serving, someone, until
from tests.node.peering.test_misconduct import Hostile
from tests.node.world import join

IDS = [bytes([number]) * 32 for number in range(3)]


class Turns:
    """Counts turns of the event loop, and notes at which of them something was called."""

    def __init__(self) -> None:
        self.noted: list[int] = []
        self._turn = 0

    async def count(self) -> None:
        while True:
            self._turn += 1
            await asyncio.sleep(0)

    def noting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **named: Any) -> Any:
            self.noted.append(self._turn)
            return real(*args, **named)

        return called


async def test_others_have_a_turn_between_two_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "IDS_AT_ONCE", 1)
    async with serving(tmp_path / "a", 1) as (a, at_a):
        hostile = Hostile(a, at_a)
        peers = [await hostile.link(word) for word in ("mallory", "trudy", "eve")]
        ann = someone(a, 3)
        await join(a, ann)
        told, settled, there = Turns(), Turns(), a.hub._gossip
        counting = [asyncio.ensure_future(turns.count()) for turns in (told, settled)]
        monkeypatch.setattr(there, "_tell_one", told.noting(there._tell_one))
        await publish(a, ann.post("hello"))
        await until(lambda: len(told.noted) >= 3, a, 10)
        now_ms = a.runtime.clock.monotonic_ms()
        for neighbour in a.hub.neighbours.values():
            neighbour.way.offer_later(IDS, now_ms, certain=True)
            monkeypatch.setattr(neighbour.way, "settle", settled.noting(neighbour.way.settle))
        there._waiting.set()
        await until(lambda: len(settled.noted) >= 3, a, 10)
        noted = [list(turns.noted) for turns in (told, settled)]  # while turns are counted
        for task in counting:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert len(a.hub.neighbours) == len(peers)
        await hostile.close()
    assert all(len(set(turns)) == len(turns) for turns in noted)
