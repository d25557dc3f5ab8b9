"""One world: machines at providers, people on them, things going wrong, and then quiet.

(1) Nodes meet as their operators add each other. (2) People live there while the faults of a
script are carried out. (3) Everything left is mended; within `QUIET_S_MAX` of simulated time all
nodes must be equal. (4) The checks.

Whom it has, what they say and when, and what goes wrong are drawn from the seed, from sources of
their own: a world with fewer faults is otherwise the same.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ratoon_node.app import Node
from ratoon_node.errors import NodeError
from ratoon_node.policy.lists import ListEntry
from tests.sim import checks, checks_bounds, faults, hostile_checks
from tests.sim.hostile import Rogue
from tests.sim.loop import SimClock, SimLoop
from tests.sim.machine import Machine, MachineDown, Site
from tests.sim.network import Network
from tests.sim.notes import Broken, Notes
from tests.sim.people import Person, Town, thieves
from tests.sim.plan import Done, Outcome, Plan
from tests.sim.script import Place, Shape, draw
from tests.sim.trace import Trace

# Simulated time from the last fault until all nodes must be equal: a dialer's longest pause,
# and two rounds of comparing, with room.
QUIET_S_MAX = 600
# How often it is looked whether they are.
QUIET_LOOK_S = 10
# Clocks of machines and people are wrong by up to this.
SKEW_MS_MAX = 30_000
# How many machines there are, and people (below the second): small worlds find as much as large
# ones, and sooner.
COUNTS = (3, 3, 3, 4, 4, 5)
PEOPLE = (3, 7)


class World:
    """See the module. It is the `Stage` of its faults."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop), "a world has a clock of its own"
        self.plan = plan
        self.loop = loop
        self.trace = Trace(loop)
        self.notes = Notes()
        self._folder = folder
        self._rng = random.Random(f"world {plan.seed}")
        self.network = Network(loop, random.Random(f"network {plan.seed}"), self.trace)
        count = plan.nodes or self._rng.choice(COUNTS)
        self.machines = [self._machine(at, folder) for at in range(count)]
        late = count > 3 and self._rng.random() < 0.4
        #: Machines that are there from the beginning; the last may come later.
        self.early = self.machines[:-1] if late else self.machines
        #: Machines that run beside those that are checked: copies.
        self.others: list[Machine] = []
        #: Machines that mean no good.
        self.rogues: list[Rogue] = []
        self.town = Town(self.machines[0].keys.network, self.machines, self.notes, self.trace)
        self.shape = self._shape()
        self.faults = self._draw_faults()
        self._tasks: list[asyncio.Task[Any]] = []
        self._over = asyncio.Event()
        #: Whom the machine that came late met.
        self._friend: Machine | None = None

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
        machine = Machine(site, self.plan.seed, folder, self.network, self.trace)
        machine.rebuilt = lambda: self._forgets(machine)
        return machine

    def _forgets(self, machine: Machine) -> None:
        self.notes.lost_since(machine.name, 0)
        self.trace.say(f"{machine.name} begins anew with its old keys")

    def _shape(self) -> Shape:
        count = self.plan.people or self._rng.randrange(*PEOPLE)
        return Shape(
            places=tuple(Place(one.name, one.site.provider) for one in self.machines),
            people=tuple(f"p{at}" for at in range(count)),
            seconds=self.plan.minutes * 60,
            unlucky=self._rng.choice(self.machines).site.provider,
        )

    def _draw_faults(self) -> faults.Faults:
        plan = self.plan
        script = plan.script
        if script is None:
            script = tuple(draw(random.Random(f"faults {plan.seed}"), self.shape, faults.ALL))
        return faults.Faults(self, plan.seed, faults.chosen(script, plan.only))

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
            self._begin(machine.watch(), "world.watch")
        self._begin(checks_bounds.watch_links(self.network), "world.bounds")
        people = await self._settle()
        lives = [self._begin(person.live(), "world.person") for person in people]
        lives += [self._begin(person.be_heard(), "world.voice") for person in people]
        thieving = thieves(self.town, random.Random(self._rng.random()), SimClock(self.loop))
        lives.append(self._begin(thieving, "world.thieves"))
        await self._trouble(people)
        await self._mend()
        await self._come_to_rest(people, lives)
        await self._wait_until_equal()
        checks.check_all(self.machines, self.notes)
        hostile_checks.check_forged(self.machines, self.rogues)
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
        await self._befriend(late)

    async def _befriend(self, late: Machine) -> None:
        """Meet one of the others, or another one if that was lost before it told of the rest."""
        friends = [machine for machine in self.early if not machine.destroyed]
        self._rng.shuffle(friends)
        for friend in friends:
            await self._meet([late, friend])
            self._friend = friend
            if late.destroyed or not friend.destroyed:
                break

    async def _settle(self) -> list[Person]:
        """People come, each to one home or two."""
        for name in self.shape.people:
            rng = random.Random(self._rng.random())
            clock = SimClock(self.loop, rng.randrange(-SKEW_MS_MAX, SKEW_MS_MAX))
            homes = rng.sample(self.early, rng.choice((1, 1, 2)))
            person = Person(name, self.town, rng, clock, homes)
            self.town.everybody.append(person)
            await person.settle()
        return self.town.everybody

    async def _trouble(self, people: list[Person]) -> None:
        """Things go wrong; half-way the last machine comes, or somebody moves."""
        total_s = self.plan.minutes * 60
        mover, home = self._rng.choice(people), self._rng.randrange(1000)
        self._begin(self.faults.run(), "world.faults")
        await asyncio.sleep(total_s / 2)
        if self.early is not self.machines:
            self._begin(self._come_late(), "world.move")
        elif not mover.gone and not all(one.destroyed for one in mover.homes):
            left = [machine for machine in self.machines if not machine.destroyed]
            self._begin(mover.move([left[home % len(left)]]), "world.move")
        await asyncio.sleep(total_s / 2)

    async def _mend(self) -> None:
        self.trace.say("all is mended")
        self._over.set()
        for task in self._tasks:
            if task.get_name() == "world.faults":
                await self._within(task, "a fault does not end")
        for machine in self.machines:
            if machine.life is not None:
                machine.life.power.work()
        for machine in self.machines:
            if not machine.destroyed:
                await self._within(machine.is_up(), f"{machine.name} is not up")
        late = self.machines[-1]
        if self._friend is not None and self._friend.destroyed and not late.destroyed:
            await self._within(self._befriend(late), f"{late.name} meets nobody")
        for name in sorted(self.notes.forgetful):
            await self._within(self._set_anew(self.machine(name)), f"{name} takes no policy")

    async def _set_anew(self, machine: Machine) -> None:
        """An operator whose store forgot what was blocked says it again, and whose peers are."""
        if machine.destroyed:
            return
        wanted = self.notes.blocked.get(machine.name, {})
        for entry in {one for entries in self.notes.blocked.values() for one in entries}:
            await self.set_policy(machine, entry, blocked=entry in wanted)
        for other in self.machines:
            if other is not machine and not other.destroyed:
                await self._add_peer(machine, other)
        for rogue in self.rogues:
            await self._add_rogue(machine, rogue)

    # --- what faults use: see `script.Stage` ----------------------------------------------

    @property
    def over(self) -> bool:
        """See `Stage.over`."""
        return self._over.is_set()

    async def lasts(self, seconds: float) -> None:
        """See `Stage.lasts`."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return

    def machine(self, name: str) -> Machine:
        """See `Stage.machine`."""
        return next(machine for machine in self.machines if machine.name == name)

    def person(self, name: str) -> Person:
        """See `Stage.person`."""
        return next(person for person in self.town.everybody if person.name == name)

    def copy_of(self, machine: Machine, number: int) -> Machine:
        """See `Stage.copy_of`."""
        site = replace(machine.site, name=f"{machine.name}-copy-{number}")
        seed = self.plan.seed
        twin = Machine(site, seed, self._folder, self.network, self.trace, copy_of=machine)
        self.others.append(twin)
        return twin

    def let_in(self, rogue: Rogue) -> None:
        """See `Stage.let_in`."""
        if not self.rogues:
            script = [mark.fault.kind for mark in self.faults.marks]
            honest = all(kind.startswith("hostile") for kind in script)
            watch = hostile_checks.watch(self.machines, self.rogues, honest)
            self._begin(watch, "world.bounds")
        self.rogues.append(rogue)
        rogue.begin()
        for machine in self.machines:
            self._begin(self._add_rogue(machine, rogue), "world.move")

    async def _add_rogue(self, machine: Machine, rogue: Rogue) -> None:
        """An operator takes it for a friend's node, and knows not where it stands."""

        async def add(node: Node) -> None:
            await node.ledger.add_peer(rogue.account, rogue.address, None, None)
            await node.peers_changed()

        while not machine.destroyed:
            try:
                await machine.call(add)
                break
            except (MachineDown, NodeError, sqlite3.Error):
                await asyncio.sleep(1)

    async def found_out(self, machine: Machine) -> None:
        """See `Stage.found_out`."""
        while not machine.destroyed:
            try:
                await machine.call(lambda node: node.peers_changed())
                break
            except (MachineDown, NodeError, sqlite3.Error):
                await asyncio.sleep(1)

    async def lose_provider(self, provider: str) -> None:
        """See `Stage.lose_provider`."""
        self.trace.say(f"provider {provider} is gone")
        for machine in self.machines:
            if machine.site.provider == provider:
                await machine.destroy()
        left = [machine for machine in self.machines if not machine.destroyed]
        for at, person in enumerate(self.town.everybody):
            if not person.gone and all(home.destroyed for home in person.homes):
                self._begin(person.move([left[at % len(left)]]), "world.move")

    async def set_policy(self, machine: Machine, entry: ListEntry, blocked: bool) -> bool:
        """See `Stage.set_policy`."""

        async def change(node: Node) -> None:
            if blocked:
                await node.ledger.block(entry)
            else:
                await node.ledger.unblock(entry.subject, entry.entity)
            await node.roster.load()
            await node.gate.review()

        wanted = self.notes.blocked.setdefault(machine.name, {})
        while not machine.destroyed:
            try:
                await machine.call(change)
            except (MachineDown, NodeError, sqlite3.Error):
                await asyncio.sleep(1)
                continue
            self.notes.blocking.add(machine.name)
            if blocked:
                wanted[entry] = None
            else:
                wanted.pop(entry, None)
            said = f"{entry.subject} {entry.entity[:12]}"
            self.trace.say(f"{machine.name} {'blocks' if blocked else 'unblocks'} {said}")
            return True
        return False

    # --- the end ----------------------------------------------------------------------------

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
            raise Broken(f"{what} {QUIET_S_MAX} s after the last fault") from None

    async def _wait_until_equal(self) -> None:
        began_s = self.loop.time()
        while True:
            difference = checks.difference(self.machines, self.notes)
            if not difference:
                break
            if self.loop.time() - began_s > QUIET_S_MAX:
                raise Broken(f"not equal {QUIET_S_MAX} s after the last fault: {difference}")
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
            steps=self.loop.steps,
            faults=tuple(
                Done(mark.fault.kind, mark.carried, mark.mattered) for mark in self.faults.marks
            ),
            answered_ms=tuple(self.notes.answered_ms),
        )

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        for rogue in self.rogues:
            await rogue.stop()
        for machine in self.machines:
            await machine.stop()

    def abandon(self) -> None:
        """Let go of the disks of a world that broke down."""
        for machine in (*self.machines, *self.others):
            machine.abandon()
