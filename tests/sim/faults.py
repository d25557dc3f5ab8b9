"""What goes wrong in a world, and when: drawn from its seed, told to nobody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.sim.machine import Machine
from tests.sim.network import Network, Weather
from tests.sim.trace import Trace

FULL_DISK = 13  # SQLITE_FULL

Fault = Callable[[], Coroutine[Any, Any, None]]


class Faults:
    """Breaks things, one after the other or several at once, and mends them again."""

    def __init__(
        self, rng: random.Random, network: Network, machines: Sequence[Machine], trace: Trace
    ) -> None:
        self._rng = rng
        self._network = network
        self._machines = machines
        self._trace = trace

    async def run(self) -> None:
        """Go on until cancelled."""
        kinds: list[tuple[Fault, int]] = [
            (self._crash, 5),
            (self._cut_power_mid_write, 5),
            (self._partition, 3),
            (self._partition_provider, 3),
            (self._one_way, 3),
            (self._bad_weather, 4),
            (self._fine_weather, 3),
            (self._heal, 6),
            (self._slow_disk, 2),
            (self._full_disk, 2),
            (self._clock_jump, 2),
        ]
        faults, weights = zip(*kinds, strict=True)
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / 6))
            await self._rng.choices(faults, weights)[0]()

    async def watch(self, machine: Machine) -> None:
        """Power that went in the middle of a write: clear the mess, switch on again later."""
        while True:
            await machine.lost.wait()
            await self._off_and_on(machine, self._rng.random() < 0.5)

    async def _off_and_on(self, machine: Machine, silent: bool) -> None:
        await machine.crash(self._rng, silent)
        await asyncio.sleep(self._rng.choice((0.1, 2, 10, 30)))
        if not machine.destroyed:
            machine.start()

    def _some(self) -> Machine | None:
        up = [machine for machine in self._machines if machine.life and not machine.lost.is_set()]
        return self._rng.choice(up) if up else None

    # --- machines ------------------------------------------------------------------------

    async def _crash(self) -> None:
        machine = self._some()
        if machine is not None:
            machine.lost.set()

    async def _cut_power_mid_write(self) -> None:
        machine = self._some()
        if machine is not None and machine.life is not None:
            machine.life.power.cut_after(self._rng.randrange(40), self._rng)

    async def _full_disk(self) -> None:
        machine = self._some()
        if machine is not None and machine.life is not None:
            self._trace.say(f"{machine.name} has a full disk")
            machine.life.power.fail(FULL_DISK, nth=self._rng.randrange(1, 20))

    async def _slow_disk(self) -> None:
        machine = self._some()
        if machine is not None and machine.life is not None:
            machine.life.db.slowness = self._rng.choice((1, 10, 100))

    async def _clock_jump(self) -> None:
        machine = self._some()
        if machine is not None:
            machine.clock.skew_ms = self._rng.randrange(-60_000, 60_000)
            self._trace.say(f"{machine.name} clock jumps to {machine.clock.skew_ms}")

    async def destroy(self, provider: str) -> None:
        """A provider takes all its machines away, disks and all."""
        self._trace.say(f"provider {provider} is gone")
        for machine in self._machines:
            if machine.site.provider == provider:
                await machine.destroy(self._rng)

    # --- the network ---------------------------------------------------------------------

    async def _partition(self) -> None:
        names = [machine.name for machine in self._machines]
        self._divide(self._rng.sample(names, self._rng.randrange(1, len(names))))

    async def _partition_provider(self) -> None:
        provider = self._rng.choice(self._machines).site.provider
        self._divide([m.name for m in self._machines if m.site.provider == provider])

    def _divide(self, side: Sequence[str]) -> None:
        others = [machine.name for machine in self._machines if machine.name not in side]
        self._network.cut((a, b) for a in side for b in others)
        self._network.cut((b, a) for a in side for b in others)
        self._trace.say(f"cut between {' '.join(side)} and {' '.join(others)}")

    async def _one_way(self) -> None:
        one, other = self._rng.sample([machine.name for machine in self._machines], 2)
        self._network.cut([(one, other)])
        self._trace.say(f"cut from {one} to {other}")

    async def _heal(self) -> None:
        self._trace.say("cuts healed")
        self._network.heal()

    async def _bad_weather(self) -> None:
        rng = self._rng
        self._network.weather = Weather(
            delay_s=rng.choice((0.005, 0.05, 0.3)),
            jitter_s=rng.choice((0.0, 0.1, 1.0)),
            late_chance=rng.choice((0.0, 0.05, 0.3)),
            late_s=rng.choice((0.2, 1.0, 5.0)),
            reset_chance=rng.choice((0.0, 0.002, 0.02)),
        )
        self._trace.say("bad weather")

    async def _fine_weather(self) -> None:
        self._network.weather = Weather()
