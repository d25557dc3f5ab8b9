"""Run the world of a plan, and say how to see it again when it breaks a promise.

outcome = simulate(Plan(seed=7), folder)      raises `Failed` when a promise is broken
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from tests.sim import faults
from tests.sim.cheaper import cheaper
from tests.sim.loop import run
from tests.sim.notes import Broken
from tests.sim.plan import Outcome, Plan
from tests.sim.script import Fault
from tests.sim.world import World

# Frames of the exception that are shown with a failure.
FRAMES_SHOWN = 6


class Failed(AssertionError):
    """A world broke a promise, or broke down.

    `kind` says what sort of failure it is: the same for worlds that fail in the same way.
    `script`: the faults that were carried out.
    """

    def __init__(self, plan: Plan, kind: str, script: list[Fault], story: str) -> None:
        self.plan = plan
        self.kind = kind
        self.script = script
        self.story = story
        super().__init__(f"{story}\n{self.again}")

    @property
    def again(self) -> str:
        """What was carried out, in words, and the command that shows it again."""
        lines = [fault.words(faults.KINDS) for fault in self.script]
        return "\n".join([*lines, f"again: python -m tests.sim {self.plan.words}"])


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


def kind_of(error: BaseException) -> str:
    """What sort of failure an exception is: its type, where it was raised, and of what words."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    words = re.sub(r"'[^']*'|\b[0-9a-f]{6,}\b|\d+|\b[pn]#\S*", "#", str(error).split("\n")[0])
    said = " ".join(words.split()[:4]) if frame.name != "_within" else words
    return f"{type(error).__name__} in {frame.name}: {said}"


def simulate(plan: Plan, folder: Path, listener: Callable[[str], None] | None = None) -> Outcome:
    """Run the world of a plan. Raises `Failed`, which says how to see it again."""
    errors: list[str] = []
    worlds: list[World] = []

    async def live() -> Outcome:
        world = World(plan, folder)
        worlds.append(world)
        world.trace.listener = listener
        outcome = await world.run()
        if errors:
            raise Broken(f"a node met errors it did not expect:\n{errors[0]}")
        return outcome

    with _listening(errors), cheaper():
        try:
            return run(live(), plan.seed)
        except Exception as error:
            trace = "".join(traceback.format_exception(error)[-FRAMES_SHOWN:])
            story = f"{trace}seed {plan.seed}: {type(error).__name__}: {error}"
            script: list[Fault] = []
            for world in worlds:
                world.abandon()
                script = [mark.fault for mark in world.faults.marks]
                story = "\n".join([*world.trace.lines, *errors[:1], story])
            raise Failed(plan, kind_of(error), script, story) from error
