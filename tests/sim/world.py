"""One world: machines at providers, people on them, things going wrong, and then quiet.

    outcome = simulate(Plan(seed=7), folder)      raises with a trace when a promise is broken

(1) Nodes meet as their operators add each other. (2) People live there while things go wrong; a
provider may be destroyed. (3) Everything left is mended; within `QUIET_S_MAX` of simulated time
all nodes must be equal. (4) The checks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from tests.sim import checks
from tests.sim.faults import Faults
from tests.sim.loop import SimClock, run
from tests.sim.machine import Machine, MachineDown, Site
from tests.sim.network import Network, Weather
from tests.sim.notes import Notes
from tests.sim.people import Person, Town, thieves
from tests.sim.trace import Trace

# Simulated time from the last fault until all nodes must be equal: a dialer's longest pause,
# and two rounds of comparing, with room.
QUIET_S_MAX = 600
# How often it is looked whether they are.
QUIET_LOOK_S = 10
# Clocks of machines and people are wrong by up to this.
SKEW_MS_MAX = 30_000


@dataclass(frozen=True)
class Plan:
    """What a seed decides unless somebody says it: 0 and None mean "draw it"."""

    seed: int
    nodes: int = 0
    minutes: float = 1.5
    people: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a world came to."""

    seed: int
    trace_hash: str
    nodes: int
    records: int
    promises: int
    seconds: float
    steps: int

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.nodes} nodes, {self.promises} promises,"
            f" {self.records} records, {self.seconds:.0f} simulated seconds,"
            f" {self.steps} steps, trace {self.trace_hash}"
        )


class World:
    """See the module."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.trace = Trace(self.loop)
        self.notes = Notes()
        self._rng = random.Random(f"world {plan.seed}")
        network_rng = random.Random(self._rng.random())
        self.network = Network(self.loop, network_rng, self.trace)
        count = plan.nodes or self._rng.randrange(3, 6)
        self.machines = [self._machine(at, folder) for at in range(count)]
        late = count > 3 and self._rng.random() < 0.4
        #: Machines that are there from the beginning; the last may come later.
        self.early = self.machines[:-1] if late else self.machines
        self.faults = Faults(
            random.Random(self._rng.random()), self.network, self.machines, self.trace
        )
        self.town = Town(self.machines[0].keys.network, self.machines, self.notes, self.trace)
        self._tasks: list[asyncio.Task[Any]] = []

    def _machine(self, at: int, folder: Path) -> Machine:
        rng = self._rng
        provider = at if at < 2 else rng.randrange(3)  # two at least
        site = Site(
            name=f"n{at}",
            provider="PQR"[provider],
            country=rng.choice(("DE", "FR", "CH")),
            skew_ms=rng.randrange(-SKEW_MS_MAX, SKEW_MS_MAX),
            push_links=rng.choice((1, 2, 8)),
            queue_bytes_max=rng.choice((256 * 1024, 4 * 1024 * 1024)),
        )
        return Machine(site, self.plan.seed, folder, self.network, self.trace)

    def _begin(self, work: Any, name: str) -> asyncio.Task[Any]:
        task = self.loop.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """What goes wrong beside the course of things ends the world too."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler({"message": task.get_name(), "exception": error})

    # --- the course of things ------------------------------------------------------------

    async def run(self) -> Outcome:
        """All of it. Raises what a check raises."""
        for machine in self.early:
            machine.start()
        for machine in self.early:
            await machine.booted.wait()
        await self._meet(self.early)
        await self._within(self._admit_all(), "nodes do not admit each other")
        for machine in self.machines:
            self._begin(self.faults.watch(machine), "world.watch")
        self._begin(checks.watch_bounds(self.machines), "world.bounds")
        people = await self._settle()
        lives = [self._begin(person.live(), "world.person") for person in people]
        thief_clock = SimClock(self.loop)
        thieving = thieves(self.town, random.Random(self._rng.random()), thief_clock)
        lives.append(self._begin(thieving, "world.thieves"))
        await self._trouble(people)
        await self._mend()
        await self._come_to_rest(people, lives)
        await self._wait_until_equal()
        checks.check_all(self.machines, self.notes)
        outcome = self._outcome()
        await self._end()
        return outcome

    async def _meet(self, machines: Sequence[Machine]) -> None:
        """Operators add each other's nodes, all of them or along a line.

        Nobody vouches for whom he only heard of: who comes late must meet somebody who added all.
        """
        mesh = self._rng.random() < 0.7 or self.early is not self.machines
        for at, one in enumerate(machines):
            for other in machines[at + 1 :] if mesh else machines[at + 1 : at + 2]:
                await self._add_peer(one, other)
                await self._add_peer(other, one)

    async def _admit_all(self) -> None:
        for machine in self.early:
            subscription = machine.node.fanout.subscribe()
            while len(machine.node.gate.admission.nodes) < len(self.early):
                await subscription.next()
            machine.node.fanout.unsubscribe(subscription)

    async def _add_peer(self, one: Machine, other: Machine) -> None:
        """What an operator does, again and again until it works."""

        async def add(node: Node) -> None:
            site = other.site
            account = await node.hub.meet(site.address)
            await node.ledger.add_peer(account, site.address, site.provider, site.country)
            await node.peers_changed()

        while not (one.destroyed or other.destroyed):
            try:
                await one.call(add)
                break
            except (MachineDown, NodeError):
                await asyncio.sleep(1)

    async def _come_late(self) -> None:
        """The last machine is switched on, empty, and meets one of the others."""
        late = self.machines[-1]
        if late.destroyed:
            return
        late.start()
        await late.booted.wait()
        left = [machine for machine in self.early if not machine.destroyed]
        await self._meet([late, self._rng.choice(left)])

    async def _settle(self) -> list[Person]:
        """People come, each to one home or two."""
        for at in range(self.plan.people or self._rng.randrange(4, 9)):
            rng = random.Random(self._rng.random())
            clock = SimClock(self.loop, rng.randrange(-SKEW_MS_MAX, SKEW_MS_MAX))
            homes = rng.sample(self.early, rng.choice((1, 1, 2)))
            person = Person(f"p{at}", self.town, rng, clock, homes)
            self.town.everybody.append(person)
            await person.settle()
        return self.town.everybody

    async def _trouble(self, people: list[Person]) -> None:
        total_s = self.plan.minutes * 60
        breaking = self._begin(self.faults.run(), "world.faults")
        await asyncio.sleep(total_s / 2)
        if self._rng.random() < 0.5:
            await self._lose_provider(people)
        if self.early is not self.machines:
            self._begin(self._come_late(), "world.move")
        else:
            mover = self._rng.choice(people)
            left = [machine for machine in self.machines if not machine.destroyed]
            if not mover.gone:
                self._begin(mover.move([self._rng.choice(left)]), "world.move")
        await asyncio.sleep(total_s / 2)
        breaking.cancel()

    async def _lose_provider(self, people: list[Person]) -> None:
        provider = self._rng.choice(self.machines).site.provider
        await self.faults.destroy(provider)
        left = [machine for machine in self.machines if not machine.destroyed]
        for person in people:
            if not person.gone and all(home.destroyed for home in person.homes):
                self._begin(person.move([self._rng.choice(left)]), "world.move")

    async def _mend(self) -> None:
        self.trace.say("all is mended")
        self.network.weather = Weather()
        self.network.heal()
        for machine in self.machines:
            if machine.life is not None:
                machine.life.calm()
        for machine in self.machines:
            if not machine.destroyed:
                await self._within(machine.booted.wait(), f"{machine.name} is not up")

    async def _come_to_rest(self, people: list[Person], lives: list[asyncio.Task[Any]]) -> None:
        """Nobody says anything new; what was said and waits goes out."""
        for task in self._tasks:
            if task.get_name() == "world.move":
                await self._within(task, "somebody still moves")
        for task in lives:
            task.cancel()
        for person in people:
            await self._within(person.send_waiting(), f"{person.name} is not heard")
        self.trace.say("nobody says anything")

    async def _within(self, work: Awaitable[Any], what: str) -> None:
        try:
            async with asyncio.timeout(QUIET_S_MAX):
                await work
        except TimeoutError:
            raise checks.Broken(f"{what} {QUIET_S_MAX} s after the last fault") from None

    async def _wait_until_equal(self) -> None:
        began_s = self.loop.time()
        while True:
            difference = checks.difference(self.machines)
            if not difference:
                break
            if self.loop.time() - began_s > QUIET_S_MAX:
                raise checks.Broken(f"not equal {QUIET_S_MAX} s after the last fault: {difference}")
            await asyncio.sleep(QUIET_LOOK_S)
        self.trace.say("all equal")
        await asyncio.sleep(QUIET_LOOK_S)

    def _outcome(self) -> Outcome:
        machine = next(machine for machine in self.machines if machine.up)
        (records,) = machine.peek(lambda db: db.execute("SELECT count(*) FROM record").fetchone())
        self.trace.say(f"{records} records, {len(self.notes.promises)} promises")
        return Outcome(
            seed=self.plan.seed,
            trace_hash=self.trace.hash,
            nodes=len(self.machines),
            records=records,
            promises=len(self.notes.promises),
            seconds=self.loop.time(),
            steps=self.loop.steps,  # type: ignore[attr-defined]
        )

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        for machine in self.machines:
            await machine.stop()


class Failed(AssertionError):
    """A world broke a promise, or broke down; how to see it again."""


@contextmanager
def _listening(errors: list[str]) -> Iterator[None]:
    """Errors that production would only log are kept."""
    before = structlog.get_config()

    def keep(logger: Any, level: str, event: Any) -> Any:
        if level == "exception" or event.get("exc_info"):
            said = structlog.processors.format_exc_info(logger, level, event)
            errors.append(f"{said.get('event')}: {said.get('exception')}")
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    try:
        yield
    finally:
        structlog.configure(**before)


def simulate(plan: Plan, folder: Path, listener: Any = None) -> Outcome:
    """Run the world of a plan. Raises `Failed`, which says how to see it again."""
    errors: list[str] = []
    worlds: list[World] = []

    async def live() -> Outcome:
        world = World(plan, folder)
        worlds.append(world)
        world.trace.listener = listener
        outcome = await world.run()
        if errors:
            raise checks.Broken(f"a node met errors it did not expect:\n{errors[0]}")
        return outcome

    with _listening(errors):
        try:
            return run(live(), plan.seed)
        except Exception as error:
            for machine in worlds[0].machines if worlds else ():
                machine.abandon()
            lines = "\n".join(worlds[0].trace.lines) if worlds else ""
            again = f"python -m tests.sim --seed {plan.seed} --minutes {plan.minutes}"
            if plan.nodes:
                again += f" --nodes {plan.nodes}"
            raise Failed(
                f"{lines}\n{errors[0] if errors else ''}\n"
                f"seed {plan.seed}: {type(error).__name__}: {error}\nagain: {again}"
            ) from error
