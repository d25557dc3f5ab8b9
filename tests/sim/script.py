"""Faults as data: what goes wrong in a world and when, drawn from its seed before it runs.

    faults = draw(random.Random(7), shape, KINDS)       a list, in order of time, numbered from 1
    wanted = [fault for fault in faults if fault.number in {3, 9}]

A fault brings its own end along (a cut heals after `for_s`), so any part of a script is a script
too. Nothing in a fault depends on what the world does: leaving some out changes no other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ratoon_node.policy.lists import ListEntry
    from tests.sim.hostile import Rogue
    from tests.sim.loop import SimLoop
    from tests.sim.machine import Machine
    from tests.sim.network import Network
    from tests.sim.notes import Notes
    from tests.sim.people import Person
    from tests.sim.trace import Trace

# Mean time between two faults of a script.
PAUSE_S = 2.2


@dataclass(frozen=True)
class Place:
    """A machine as a script knows it."""

    machine: str
    provider: str


@dataclass(frozen=True)
class Shape:
    """What a script may speak of. Only disks at `unlucky` may lose what they held: whoever was
    told "two providers hold it" has lost nothing then.
    """

    places: tuple[Place, ...]
    people: tuple[str, ...]
    seconds: float
    unlucky: str

    @property
    def machines(self) -> list[str]:
        """Names of all machines."""
        return [place.machine for place in self.places]

    def at(self, provider: str) -> list[str]:
        """Names of a provider's machines."""
        return [place.machine for place in self.places if place.provider == provider]


Params = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, `at_s` seconds after people have settled."""

    number: int
    at_s: float
    kind: str
    params: Params

    def words(self, kinds: Mapping[str, Kind]) -> str:
        """The fault for a person."""
        return f"{self.number:3} at {self.at_s:5.1f} s  {kinds[self.kind].say(self.params)}"


class Mark:
    """What became of a fault."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        #: It was carried out (the machine was up, the provider still there).
        self.carried = False
        #: It touched something: a message, a write, a machine in use.
        self.mattered = False


class Stage(Protocol):
    """The world, as those who carry out faults know it."""

    loop: SimLoop
    network: Network
    notes: Notes
    shape: Shape
    trace: Trace
    rogues: list[Rogue]

    @property
    def over(self) -> bool:
        """Whether the time for faults is over."""
        ...

    async def lasts(self, seconds: float) -> None:
        """Wait so long, or until the time for faults is over."""
        ...

    def machine(self, name: str) -> Machine:
        """The machine of a name."""
        ...

    def person(self, name: str) -> Person:
        """The person of a name."""
        ...

    def copy_of(self, machine: Machine, number: int) -> Machine:
        """Another machine with the same keys, off, its disk empty."""
        ...

    def let_in(self, rogue: Rogue) -> None:
        """A hostile machine comes: every operator adds it, and it stays until the end."""
        ...

    async def found_out(self, machine: Machine) -> None:
        """An operator lets a node say anew what it is."""
        ...

    async def lose_provider(self, provider: str) -> None:
        """All its machines are gone, disks and all; who lived there moves."""
        ...

    async def set_policy(self, machine: Machine, entry: ListEntry, blocked: bool) -> bool:
        """An operator puts an entry on the lists or takes it off; False if that did not work."""
        ...


Carry = Callable[[Stage, Mark, random.Random], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Kind:
    """A kind of fault: how it is drawn, said and carried out.

    `draw` gives its params (None: this world has no room for it); `carry` is a coroutine function
    of (stage, mark, rng) that returns when the fault is over; `most` bounds how many a script has.
    """

    name: str
    weight: float
    draw: Callable[[random.Random, Shape], Params | None]
    carry: Carry
    words: str
    most: int = 1_000

    def say(self, params: Params) -> str:
        """What happens, for a person."""
        shown = {
            name: " ".join(value) if isinstance(value, list) else value
            for name, value in params.items()
        }
        return self.words.format(**shown)


def draw(rng: random.Random, shape: Shape, kinds: Sequence[Kind]) -> list[Fault]:
    """The faults of one world."""
    faults: list[Fault] = []
    drawn: dict[str, int] = {}
    at_s = 0.0
    while True:
        at_s += rng.expovariate(1 / PAUSE_S)
        if at_s >= shape.seconds:
            return faults
        kind = rng.choices(kinds, [kind.weight for kind in kinds])[0]
        params = kind.draw(random.Random(rng.random()), shape)
        if params is not None and drawn.get(kind.name, 0) < kind.most:
            drawn[kind.name] = drawn.get(kind.name, 0) + 1
            faults.append(Fault(len(faults) + 1, round(at_s, 3), kind.name, params))


def table(kinds: Sequence[Kind]) -> dict[str, Kind]:
    """Kinds by name."""
    found = {kind.name: kind for kind in kinds}
    assert len(found) == len(kinds), "every kind has a name of its own"
    return found
