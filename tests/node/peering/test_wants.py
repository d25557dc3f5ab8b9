"""Bytes that are missing are asked of every peer, also of one that was slow to answer (R-62)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Parts
from ratoon_node.peering import wants
from ratoon_protocol.errors import Code
from ratoon_protocol.events import Event
from ratoon_protocol.frames import Get, Outcome, Packed
from ratoon_protocol.framing import pack_item
from ratoon_protocol.record import Record
from tests.node.ingest.replay import LINK
from tests.node.peering.meeting import code, serving, someone, until
from tests.node.peering.test_misconduct import Hostile, RawPeer
from tests.node.world import join


def asks_for(one: Record, event: Event) -> bool:
    return isinstance(event, Get) and one.id in event.ids


async def asked(peer: RawPeer, one: Record) -> int:
    """The number of the request in which a peer is asked for a record."""
    event = await peer.until(partial(asks_for, one))
    assert isinstance(event, Get)
    return event.request


async def is_here(node: Node, one: Record) -> bool:
    return await code(node, one.id) is Code.STORED


def packed(one: Record) -> list[Packed]:
    return [pack_item(one.header_bytes, one.signature, one.payload)]


async def test_a_peer_that_was_busy_is_asked_for_what_others_were_asked_for_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wants, "WANTED_ROUND_MS", 20)
    async with serving(tmp_path / "a", 1) as (a, at_a):
        ann = someone(a, 3)
        await join(a, ann)
        first, second = ann.post("the first"), ann.post("the second")
        hostile = Hostile(a, at_a)
        slow = await hostile.link("slow")
        await a.gate.submit([Parts(first.header_bytes, first.signature, None)], LINK)
        owed = await asked(slow, first)
        quick = await hostile.link("quick")
        quick.session.reply(await asked(quick, first), packed(first))
        await quick.flush()
        await until(lambda: is_here(a, first), a)
        await a.gate.submit([Parts(second.header_bytes, second.signature, None)], LINK)
        quick.session.reply(await asked(quick, second), (), [Outcome(second.id, Code.NOT_FOUND)])
        await quick.flush()
        slow.session.reply(owed, packed(first))
        slow.session.reply(await asked(slow, second), packed(second))
        await slow.flush()
        await until(lambda: is_here(a, second), a)
        await hostile.close()
