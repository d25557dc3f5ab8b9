"""Many worlds at once, one process a core, and what they came to together."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import coverage

from tests.sim import faults
from tests.sim.plan import Outcome, Plan
from tests.sim.shrink import Shrinker
from tests.sim.simulation import Failed, simulate

# Worlds of one process: each leaves a little behind in SQLite's list of virtual file systems.
WORLDS_A_PROCESS = 40
# A folder in memory, where there is one: nothing here needs a real disk.
MEMORY = Path("/dev/shm")
# With coverage, one world in so many is run again and measured, about three times slower.
MEASURED_ONE_IN = 10
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Report:
    """What a process says of one seed: an outcome, or how it failed, in words and smallest."""

    plan: Plan
    outcome: Outcome | None
    failure: str
    cpu_s: float


@dataclass
class Tally:
    """How often each kind of fault was planned, carried out, and mattered."""

    planned: Counter[str] = field(default_factory=Counter)
    carried: Counter[str] = field(default_factory=Counter)
    mattered: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count the faults of a world."""
        for fault in outcome.faults:
            self.planned[fault.kind] += 1
            self.carried[fault.kind] += fault.carried
            self.mattered[fault.kind] += fault.mattered

    def lines(self) -> Iterator[str]:
        """A table, a line each kind of fault there is."""
        yield f"{'fault':24} {'planned':>8} {'happened':>9} {'mattered':>9}"
        for kind in sorted(faults.KINDS):
            counts = self.planned[kind], self.carried[kind], self.mattered[kind]
            yield f"{kind:24} {counts[0]:8} {counts[1]:9} {counts[2]:9}"


def folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for a world, in memory if there is room for it."""
    return tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)


def run_one(plan: Plan, listen: bool = False) -> Outcome:
    """One world in a folder of its own. Raises `Failed`."""
    with folder() as place:
        return simulate(plan, Path(place), print if listen else None)


def smallest_failure(failed: Failed) -> str:
    """What to print of a failure: the fewest faults that do it, and how to see it again."""
    shrinker = Shrinker(failed, run_one)
    found = shrinker.shrink()
    left = f"{len(found.script)} of {len(failed.script)} faults do it ({shrinker.trials} tried)"
    return f"{found.story}\n{left}\n{found.again}\nat commit {commit()}"


def commit() -> str:
    """The commit of this program, for whoever wants to see the same."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _work(plan: Plan) -> Report:
    """Runs in a process of its own."""
    began_s = time.process_time()
    outcome, failure = None, ""
    try:
        outcome = run_one(plan)
    except Failed as failed:
        failure = smallest_failure(failed)
    return Report(plan, outcome, failure, time.process_time() - began_s)


def _measure(plan: Plan, place: Path) -> None:
    """The same world once more, in a program of which every line is watched from its start."""
    file = f"--data-file={place / f'coverage.{plan.seed}'}"
    watch = [file, "--rcfile=/dev/null", "--source=ratoon_node,ratoon_protocol"]
    words = [sys.executable, "-m", "coverage", "run", *watch, "-m", "tests.sim", "--whole"]
    paths = os.pathsep.join(str(ROOT / part) for part in ("", "protocol", "node"))
    environment = os.environ | {"PYTHONPATH": paths}
    command = [*words, *plan.words.split()]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)


class Fleet:
    """Runs plans and tells of it."""

    def __init__(self, processes: int, measure: bool) -> None:
        self.tally = Tally()
        self.failures = 0
        self._processes = processes
        self._measure = measure
        self._done = 0
        self._cpu_s = 0.0

    def run(self, plans: list[Plan]) -> int:
        """All of them; how many failed."""
        began_s = time.monotonic()
        wave = self._processes * WORLDS_A_PROCESS
        for at in range(0, len(plans), wave):
            with self._pool() as pool:
                for done in as_completed([pool.submit(_work, it) for it in plans[at : at + wave]]):
                    self._take(done.result(), len(plans))
        _clear_line()
        wall_s = time.monotonic() - began_s
        print(
            f"{self._done} worlds, {self.failures} failed, {wall_s:.0f} s,"
            f" {self._cpu_s:.0f} CPU s ({self._cpu_s / max(1, self._done):.2f} a world)"
        )
        print("\n".join(self.tally.lines()))
        if self._measure:
            print("\n".join(self._covered(plans[::MEASURED_ONE_IN])))
        return self.failures

    def _pool(self) -> ProcessPoolExecutor:
        """Used for one wave: Python 3.11 can wait for ever where processes end by a count."""
        return ProcessPoolExecutor(self._processes, get_context("spawn"))

    def _covered(self, sample: list[Plan]) -> Iterator[str]:
        yield f"lines that {len(sample)} of the worlds run"
        with tempfile.TemporaryDirectory() as place:
            with self._pool() as pool:
                for done in [pool.submit(_measure, plan, Path(place)) for plan in sample]:
                    done.result()
            yield from covered(Path(place))

    def _take(self, report: Report, of: int) -> None:
        self._done += 1
        self._cpu_s += report.cpu_s
        if report.outcome is not None:
            self.tally.add(report.outcome)
        else:
            self.failures += 1
            _clear_line()
            print(report.failure, flush=True)
        if sys.stderr.isatty() or self._done % 25 == 0 or self._done == of:
            said = f"{self._done} of {of} worlds, {self.failures} failed"
            end = "\r" if sys.stderr.isatty() else "\n"
            print(said, end=end, file=sys.stderr, flush=True)


def _clear_line() -> None:
    if sys.stderr.isatty():
        print("\x1b[2K\r", end="", file=sys.stderr, flush=True)


def covered(place: Path) -> Iterator[str]:
    """Which share of the lines of each package the measured worlds ran."""
    cover = coverage.Coverage(data_file=str(place / "coverage"), config_file=False)
    cover.combine([str(place)])
    ran: Counter[str] = Counter()
    all_: Counter[str] = Counter()
    for top in ("node/ratoon_node", "protocol/ratoon_protocol"):
        for path in sorted((ROOT / top).rglob("*.py")):
            package = ".".join(path.relative_to(ROOT).parent.parts[1:3])
            _, statements, _, missing, _ = cover.analysis2(str(path))
            all_[package] += len(statements)
            ran[package] += len(statements) - len(missing)
    for package, lines in sorted(all_.items()):
        if lines:
            share = 100 * ran[package] / lines
            yield f"{package:28} {ran[package]:6} of {lines:6} {share:5.1f} %"
