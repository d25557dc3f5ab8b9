"""Many worlds at once, one process a core, and what they came to together."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
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
# With coverage, one world in so many is measured: it makes them about three times slower.
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


def _work(plan: Plan, measure: Path | None) -> Report:
    """Runs in a process of its own."""
    began_s = time.process_time()
    cover = coverage.Coverage(
        data_file=str(measure / "coverage"),
        data_suffix=f"seed{plan.seed}",
        source=["ratoon_node", "ratoon_protocol"],
    ) if measure else None  # fmt: skip
    if cover is not None:
        cover.start()
    outcome, failure = None, ""
    try:
        outcome = run_one(plan)
    except Failed as failed:
        failure = smallest_failure(failed)
    finally:
        if cover is not None:
            cover.stop()
            cover.save()
    return Report(plan, outcome, failure, time.process_time() - began_s)


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
        with tempfile.TemporaryDirectory() as place:
            into = Path(place) if self._measure else None
            for report in self._reports(plans, into):
                self._take(report, len(plans))
            _clear_line()
            wall_s = time.monotonic() - began_s
            print(
                f"{self._done} worlds, {self.failures} failed, {wall_s:.0f} s,"
                f" {self._cpu_s:.0f} CPU s ({self._cpu_s / max(1, self._done):.2f} a world)"
            )
            print("\n".join(self.tally.lines()))
            if into is not None:
                print("\n".join(covered(into, -(-len(plans) // MEASURED_ONE_IN))))
        return self.failures

    def _reports(self, plans: list[Plan], into: Path | None) -> Iterator[Report]:
        pool = ProcessPoolExecutor(
            self._processes, get_context("spawn"), max_tasks_per_child=WORLDS_A_PROCESS
        )
        with pool:
            waiting: list[Future[Report]] = []
            for at, plan in enumerate(plans):
                measured = into if at % MEASURED_ONE_IN == 0 else None
                waiting.append(pool.submit(_work, plan, measured))
            for future in as_completed(waiting):
                yield future.result()

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


def covered(place: Path, sample: int) -> Iterable[str]:
    """Which share of the lines of each package the measured worlds ran."""
    cover = coverage.Coverage(data_file=str(place / "coverage"))
    cover.combine([str(place)])
    data = cover.get_data()
    ran: Counter[str] = Counter()
    all_: Counter[str] = Counter()
    for path in sorted((ROOT / "node" / "ratoon_node").rglob("*.py")) + sorted(
        (ROOT / "protocol" / "ratoon_protocol").rglob("*.py")
    ):
        package = ".".join(path.relative_to(ROOT).parent.parts[1:3])
        _, statements, _, missing, _ = cover.analysis2(str(path))
        all_[package] += len(statements)
        if str(path) in data.measured_files():
            ran[package] += len(statements) - len(missing)
    yield f"lines run by {sample} of the worlds"
    for package in sorted(all_):
        if all_[package]:
            yield f"{package:28} {ran[package]:6} of {all_[package]:6} {_share(ran, all_, package)}"


def _share(ran: Counter[str], all_: Counter[str], package: str) -> str:
    return f"{100 * ran[package] / all_[package]:5.1f} %"
