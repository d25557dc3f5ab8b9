"""One network from its seed: it comes up, people talk, its largest provider goes, it mends itself.

    found = measure(Scale(nodes=100))

The phases, in the time of the world: nodes start one after the other and link as they choose;
people post at a stated rate, and what goes over links is counted; then every machine of the
largest provider falls silent for good, disks and all, while people elsewhere go on; then quiet.
When a record came to a node is noted at the node's own commit, so nothing is polled.
"""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import structlog

from ratoon_node.fanout import Committed
from ratoon_node.ingest.submission import Origin, Way
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from tests.sim.loop import run
from tests.sim.scale.host import Host, settings
from tests.sim.scale.lines import Lines
from tests.sim.scale.meter import Counts, Meter
from tests.sim.scale.past import Past, introduce, make_past
from tests.sim.scale.sharing import sharing
from tests.sim.scale.town import ADDED, Plan, draw

API = Origin(Way.API)
# Letters of a post: as people write, around 120.
LETTERS = (40, 200)


# The collector goes over young objects only: millions live as long as the world.
COLLECTED = (50_000, 50, 1_000_000)
# Posts in the last moment before the loss, so that there is something under way.
BURST = 40
BURST_S = 0.05


class Phase(Enum):
    """When something was said."""

    TALK = "talk"
    BURST = "burst"
    AFTER = "after"


@dataclass(frozen=True)
class Scale:
    """What is simulated. Times are seconds of the world."""

    nodes: int
    seed: int = 1
    people: int = 100
    posts_per_s: float = 0.5
    start_s: float = 20.0
    warm_s: float = 30.0
    talk_s: float = 60.0
    after_s: float = 10.0
    quiet_s: float = 130.0
    links_max: int = 32
    #: Whether all nodes have met before; else they know those that their operators added.
    met: bool = True
    #: Nodes that the operator of a new node adds.
    added: int = ADDED
    push_links: int = 6


@dataclass
class Said:
    """A record that somebody published: when its home had it, and who had it then."""

    id: bytes
    signature: bytes
    author: int
    home: int
    at_s: float
    acked_s: float
    phase: Phase


@dataclass
class Found:
    """What was measured."""

    scale: Scale
    plan: Plan
    past_records: int
    said: list[Said]
    #: Record → node → when it was committed there, its bytes with it.
    arrivals: dict[bytes, dict[int, float]]
    #: Counted while people talked, and from the loss to the end.
    talk: Counts
    repair: Counts
    wire_bytes: int
    dials: int
    idle_dials: int
    links: list[int]
    admitted: list[int]
    lost_at_s: float
    lost: list[int]
    #: (time after the loss, links a node).
    relinked: list[tuple[float, float]]
    cpu_s: float
    rss_mib: float


class World:
    """See the module."""

    def __init__(self, scale: Scale, meter: Meter) -> None:
        self.scale = scale
        self.plan = draw(scale.seed, scale.nodes, scale.people, scale.added)
        self.loop = asyncio.get_running_loop()
        self.lines = Lines(self.loop, scale.seed)
        self.hosts: list[Host] = []
        self.said: list[Said] = []
        self.arrivals: dict[bytes, dict[int, float]] = {}
        self._meter = meter
        self._talks = [one.talk for one in self.plan.residents]
        self._rng = random.Random(f"{scale.seed} talk")
        self._sending: list[asyncio.Task[None]] = []
        self._past: Past

    # --- the course of things ------------------------------------------------------------

    async def run(self) -> Found:
        """All of it."""
        scale, began_s = self.scale, time.process_time()
        await self._come_up()
        await asyncio.sleep(scale.warm_s)
        idle_dials = self.lines.dials
        self._meter.restart()
        wire_bytes, dials = self._wire_bytes(), self.lines.dials
        await self._talk(scale.talk_s, Phase.TALK)
        links = [host.links for host in self.hosts]
        admitted = [len(host.node.gate.admission.nodes) for host in self.hosts]
        talk = self._meter.restart()
        wire_bytes, dials = self._wire_bytes() - wire_bytes, self.lines.dials - dials
        for _ in range(BURST):
            self._say(Phase.BURST)
        await asyncio.sleep(BURST_S)
        lost_at_s = self.loop.time()
        lost = await self._lose_largest()
        relinking = self.loop.create_task(self._watch_links(lost_at_s))
        await self._talk(scale.after_s, Phase.AFTER)
        await asyncio.sleep(scale.quiet_s)
        relinking.cancel()
        for task in self._sending:
            await task
        found = Found(
            scale, self.plan, self._past.records, self.said, self.arrivals, talk,
            self._meter.restart(), wire_bytes, dials, idle_dials, links, admitted, lost_at_s,
            lost, self._relinked, time.process_time() - began_s, _rss_mib(),
        )  # fmt: skip
        await self._end()
        return found

    async def _come_up(self) -> None:
        scale = self.scale
        chosen = [
            settings(site.name, site.provider, scale.links_max, scale.push_links)
            for site in self.plan.sites
        ]
        self._past = await make_past(self.plan, chosen, self.lines)
        for number, one in enumerate(chosen):
            keys = self._past.keys[number]
            host = Host(number, one, keys, self._past.image, self.lines, self._heard)
            introduce(host, self.plan, self._past.keys, scale.met)
            self.hosts.append(host)
        for host in self.hosts:
            await host.start()
            await asyncio.sleep(scale.start_s / len(self.hosts))

    async def _talk(self, seconds: float, phase: Phase) -> None:
        """People post, at the stated rate."""
        until_s = self.loop.time() + seconds
        while True:
            await asyncio.sleep(self._rng.expovariate(self.scale.posts_per_s))
            if self.loop.time() >= until_s:
                return
            self._say(phase)

    def _say(self, phase: Phase) -> None:
        """Somebody posts, who does so as often as that; without a home one has to be silent."""
        (one,) = self._rng.choices(self.plan.residents, self._talks)
        homes = [home for home in one.homes if self.hosts[home].alive]
        if homes:
            work = self._post(one.number, homes[0], phase)
            self._sending.append(self.loop.create_task(work, name="world.post"))

    async def _post(self, author: int, home: int, phase: Phase) -> None:
        who = self._past.people[author]
        text = self._rng.randbytes(self._rng.randrange(*LETTERS) // 2).hex()
        signed = who.sign(kinds.POST, {"text": text})
        self.arrivals[signed.id] = {}
        at_s = self.loop.time()
        outcomes = await self.hosts[home].node.gate.submit([signed.encode()], API)
        if outcomes[0].code is not Code.STORED:
            raise AssertionError(f"a home does not take a post: {outcomes[0]}")
        acked_s = self.loop.time()
        self.said.append(Said(signed.id, signed.signature, author, home, at_s, acked_s, phase))

    async def _lose_largest(self) -> list[int]:
        gone = [host for host in self.hosts if host.provider == self.plan.largest_provider()]
        for host in gone:
            await host.destroy()
        return [host.number for host in gone]

    async def _watch_links(self, lost_at_s: float) -> None:
        left = [host for host in self.hosts if host.alive]
        accounts = {host.account for host in left}
        self._relinked: list[tuple[float, float]] = []
        while True:
            links = sum(len(accounts & host.node.hub.neighbours.keys()) for host in left)
            self._relinked.append((self.loop.time() - lost_at_s, links / len(left)))
            await asyncio.sleep(5)

    async def _end(self) -> None:
        for host in self.hosts:
            if host.alive:
                await host.destroy()

    # --- looking -------------------------------------------------------------------------

    def _heard(self, number: int, commit: Committed) -> None:
        """A node committed something; what came without its bytes has not come."""
        for id_ in commit.records:
            when = self.arrivals.get(id_)
            if when is not None:
                when.setdefault(number, self.loop.time())

    def _wire_bytes(self) -> int:
        return sum(place.bytes_sent for place in self.lines.places.values())


def _rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def _listening(errors: list[str]) -> Iterator[None]:
    """Errors that production would only log are kept; nothing else is."""
    before = structlog.get_config()

    def keep(_: Any, level: str, event: Any) -> Any:
        if level in ("error", "exception"):
            errors.append(repr(event))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    try:
        yield
    finally:
        structlog.configure(**before)


def measure(scale: Scale) -> Found:
    """Simulate a network. Raises `AssertionError` if a node met what it did not expect."""
    errors: list[str] = []
    meter = Meter()

    async def live() -> Found:
        return await World(scale, meter).run()

    thresholds = gc.get_threshold()
    gc.set_threshold(*COLLECTED)
    try:
        with _listening(errors), sharing(), meter.watching():
            found = run(live(), scale.seed, shuffle=False)
    finally:
        gc.set_threshold(*thresholds)
    if errors:
        raise AssertionError(f"{len(errors)} errors, the first: {errors[0]}")
    return found
