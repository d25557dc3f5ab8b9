"""What a simulated world is made from, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass

from tests.sim.script import Fault

# Minutes of trouble in a world.
MINUTES = 0.5


@dataclass(frozen=True)
class Plan:
    """What a seed decides unless somebody says it: 0 and None mean "draw it".

    `only`: numbers of the faults that are carried out. `script`: these faults and no others.
    """

    seed: int
    nodes: int = 0
    minutes: float = MINUTES
    people: int = 0
    only: frozenset[int] | None = None
    script: tuple[Fault, ...] | None = None

    @property
    def words(self) -> str:
        """The options of `python -m tests.sim` that make this world again."""
        found = f"--seed {self.seed}"
        if self.minutes != MINUTES:
            found += f" --minutes {self.minutes}"
        if self.nodes:
            found += f" --nodes {self.nodes}"
        if self.only is not None:
            found += f" --only {','.join(map(str, sorted(self.only))) or 'none'}"
        return found


@dataclass(frozen=True)
class Done:
    """What became of one fault."""

    kind: str
    carried: bool
    mattered: bool


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
    faults: tuple[Done, ...]
    #: How long people waited for the answer to what they published, each time.
    answered_ms: tuple[int, ...]

    def __str__(self) -> str:
        mattered = sum(fault.mattered for fault in self.faults)
        return (
            f"seed {self.seed}: {self.nodes} nodes, {mattered} of {len(self.faults)} faults"
            f" mattered, {self.promises} promises, {self.records} records,"
            f" {self.seconds:.0f} simulated seconds, {self.steps} steps, trace {self.trace_hash}"
        )
