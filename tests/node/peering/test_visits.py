"""Whom a node comes to know: also those that only a peer tells of, and none that do not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratoon_node.peering import dialer, exchange
from ratoon_node.peering.exchange import HINTS_MAX
from ratoon_protocol.frames import Peers
from tests.node.peering.meeting import linked, neighbour, serving, until
from tests.protocol.linked import node as raw_node


async def test_a_node_that_only_a_peer_tells_of_is_met_and_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a fresh network few are vouched for: nobody met whom neither side had added."""
    monkeypatch.setattr(dialer, "FEW_VISIT_MS", 0)
    async with (
        serving(tmp_path / "a", 1, links_max=4) as (a, at_a),
        serving(tmp_path / "b", 2) as (b, _),
        serving(tmp_path / "c", 3, public_addresses=("http://127.0.0.1:1",)) as (c, at_c),
    ):
        c.settings = c.settings.__class__(**{**vars(c.settings), "public_addresses": (at_c,)})
        await c.own.describe(c.description(c.settings))
        await c.hub.meet(at_a)
        await until(lambda: linked(a, c), a)
        await a.peers_changed()
        assert not b.gate.admission.admits(c.own.account)
        await b.hub.meet(at_a)
        await until(lambda: b.gate.admission.admits(c.own.account), b)
        peer = b.roster.peers[c.own.account]
        assert not peer.added


async def test_what_a_peer_tells_of_others_is_bounded_and_proves_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path / "a", 1) as (a, at_a), serving(tmp_path / "b", 2) as (b, _):
        await b.hub.meet(at_a)
        await until(lambda: linked(a, b), b)
        link = neighbour(b, a)
        assert link is not None
        network = b.settings.network_bytes
        made = [raw_node(f"sybil {at}", network=network) for at in range(HINTS_MAX + 8)]
        for at in range(0, len(made), 8):
            await link.exchange.take_peers(Peers(tuple(one.node for one in made[at : at + 8])))
        assert len(link.exchange.hints) <= HINTS_MAX
        assert not any(b.gate.admission.admits(one.account) for one in made)
        assert exchange._where(b"no record") == (b"", ())
