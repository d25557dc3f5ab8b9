"""What must stay so while a world runs, looked at again and again (see also `hostile_checks`)."""

from __future__ import annotations

import asyncio

from tests.sim.network import Network
from tests.sim.notes import Broken

# How often it is looked.
BOUNDS_LOOK_S = 1

# Tasks of a node with no link: its loops, dials under way, requests of people.
TASKS_MAX = 40
# Tasks of one link: its pump, its loops, what it takes in and asks for at once.
TASKS_PER_LINK_MAX = 24
# How soon a link ends over which a message came twice or changed: closing takes a goodbye.
POISONED_S_MAX = 10


async def watch_links(network: Network) -> None:
    """Look at what was tampered with, for ever. Raises `Broken`."""
    while True:
        await asyncio.sleep(BOUNDS_LOOK_S)
        check_links(network)


def check_links(network: Network) -> None:
    """Whoever read a message that came twice or changed has hung up. Raises `Broken`."""
    now_s = network.loop.time()
    for wire, read_s in list(network.poisoned.items()):
        if wire.over or wire.into.broken:
            del network.poisoned[wire]
        elif now_s - read_s > POISONED_S_MAX:
            raise Broken(f"a message came twice or changed, and the link goes on: {wire.into.way}")
