"""What goes on behind goes on after a failure: a task that ended would be missed by nobody."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ratoon_node.peering import dialer, gossip, roster
from ratoon_protocol.errors import Code
from ratoon_protocol.frames import Ack, Outcome
from ratoon_protocol.framing import pack_item
from tests.node.peering.meeting import linked, neighbour, publish, serving, someone, until
from tests.node.peering.test_misconduct import Hostile
from tests.node.world import join, running


class Once:
    """The same function, but the first call fails."""

    def __init__(self, real: Callable[..., Any], error: Exception) -> None:
        self._real = real
        self._error = error
        self.calls = 0

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise self._error
        return self._real(*args, **named)


UNREADABLE = sqlite3.OperationalError("disk I/O error")


async def test_the_roster_is_loaded_again_after_a_failed_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "STORE_RETRY_MS", 1)
    async with running(tmp_path) as node:
        other = b"o" * 32
        await node.ledger.add_peer(other, None, None, None)
        failing = Once(roster.read_known, UNREADABLE)
        monkeypatch.setattr(roster, "read_known", failing)
        await node.ledger.admission_changed(other)  # as a record of that node would
        await until(lambda: node.gate.admission.admits(other), node, 10)
        assert failing.calls > 1


async def test_dialling_goes_on_after_a_failed_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialer, "DIAL_ROUND_MS", 1)
    async with serving(tmp_path / "a", 1) as (a, _), serving(tmp_path / "b", 2) as (b, at_b):
        failing = Once(a.roster.added, KeyError("a bug"))
        monkeypatch.setattr(a.roster, "added", failing)
        await until(lambda: failing.calls > 0, a, 10)
        await a.ledger.add_peer(b.own.account, at_b, None, None)
        await a.roster.load()
        await until(lambda: linked(a, b), a, 10)


async def test_offers_go_on_after_one_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gossip, "ROUND_MS", 1)
    async with serving(tmp_path / "a", 1) as (a, _), serving(tmp_path / "b", 2) as (b, at_b):
        await a.hub.meet(at_b)
        await until(lambda: linked(a, b), a)
        there = neighbour(a, b)
        assert there is not None
        failing = Once(there.way.settle, KeyError("a bug"))
        monkeypatch.setattr(there.way, "settle", failing)

        def called(times: int) -> bool:
            return failing.calls >= times

        ann = someone(a, 3)
        await join(a, ann)
        for calls in (0, 1):
            there.way.offer_later([bytes(32)], a.runtime.clock.monotonic_ms(), certain=True)
            await publish(a, ann.post(f"after {calls}"))
            await until(partial(called, calls + 1), a, 10)
        await until(lambda: there.way.idle, a, 10)
        assert linked(a, b)


async def test_a_push_is_answered_although_the_store_cannot_say_what_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer the peer would miss the credit for it until the link ends."""
    async with serving(tmp_path / "a", 1) as (a, at_a):
        ann = someone(a, 3)
        await join(a, ann)
        post = ann.post("known here")
        await publish(a, post)
        hostile = Hostile(a, at_a)
        peer = await hostile.link()
        monkeypatch.setattr(a.hub.serve, "truths", Once(a.hub.serve.truths, UNREADABLE))
        for code in (Code.BUSY, Code.STORED):
            peer.session.push([pack_item(post.header_bytes, post.signature, post.payload)])
            told = await peer.until(lambda event: isinstance(event, Ack))
            assert isinstance(told, Ack)
            assert list(told.outcomes) == [Outcome(post.id, code)]
        await hostile.close()
