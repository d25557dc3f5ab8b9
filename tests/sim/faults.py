"""All kinds of faults, and who carries a script of them out.

A kind is a line of a `KINDS` list: in `faults_network`, `faults_machine`, `faults_people` and
`hostile_fault`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence

from tests.sim import faults_machine, faults_network, faults_people, hostile_fault
from tests.sim.script import Fault, Mark, Stage, table

#: Every kind of fault there is.
ALL = [
    *faults_network.KINDS,
    *faults_machine.KINDS,
    *faults_people.KINDS,
    *hostile_fault.KINDS,
]
KINDS = table(ALL)


def chosen(script: Sequence[Fault], only: Collection[int] | None) -> list[Fault]:
    """The faults with these numbers; None is all of them."""
    return [fault for fault in script if only is None or fault.number in only]


class Faults:
    """Carries out a script. Each fault has its own source of chance, whatever else happens."""

    def __init__(self, stage: Stage, seed: int, script: Sequence[Fault]) -> None:
        self.marks = [Mark(fault) for fault in script]
        self._stage = stage
        self._seed = seed

    async def run(self) -> None:
        """All of it; returns when the last fault is over."""
        await asyncio.gather(*map(self._carry_out, self.marks))

    async def _carry_out(self, mark: Mark) -> None:
        fault = mark.fault
        await self._stage.lasts(fault.at_s)
        if self._stage.over:
            return
        self._stage.trace.say(f"fault {fault.words(KINDS).strip()}")
        rng = random.Random(f"{self._seed} fault {fault.number}")
        await KINDS[fault.kind].carry(self._stage, mark, rng)
