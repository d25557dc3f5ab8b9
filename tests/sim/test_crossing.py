"""Two nodes that dial each other at the same moment end with one link, the same on both sides."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.sim.loop import run
from tests.sim.machine import Machine, Site
from tests.sim.network import Network, Weather
from tests.sim.trace import Trace


async def crossing(seed: int, folder: Path) -> tuple[list[str], list[int]]:
    """The sides of the links that both nodes keep, and how many links each has."""
    loop = asyncio.get_running_loop()
    trace = Trace(loop)
    network = Network(loop, random.Random(seed), trace)
    network.weather = Weather(delay_s=0.02, jitter_s=0.2)
    machines = [
        Machine(Site(name, provider, "CH", 0, 2, 1 << 20), seed, folder, network, trace)
        for name, provider in (("a", "P"), ("b", "Q"))
    ]
    for machine in machines:
        machine.start()
    for machine in machines:
        await machine.booted.wait()
    for one, other in (machines, machines[::-1]):
        await one.node.ledger.add_peer(other.account, other.site.address, None, None)
    await asyncio.gather(*(machine.node.peers_changed() for machine in machines))
    await asyncio.sleep(60)
    kept = [n for machine in machines for n in machine.node.hub.neighbours.values()]
    sides = sorted(neighbour.link.session.side.name for neighbour in kept)
    counts = [machine.node.hub._links for machine in machines]
    for machine in machines:
        await machine.stop()
    return sides, counts


@pytest.mark.parametrize("seed", range(8))
def test_one_link_is_kept_the_same_on_both_sides(tmp_path: Path, seed: int) -> None:
    assert run(crossing(seed, tmp_path), seed) == (["ACCEPTOR", "DIALER"], [1, 1])
