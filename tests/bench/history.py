"""Past runs, kept out of the tree: what was measured, on which machine, and who else was there.

A machine that others use measures them too; so each run notes the load before and after it, and
what share of the processors went to processes that were not its own.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, rows
from tests.bench.goals import judged
from tests.bench.processes import TICKS_PER_SECOND
from tests.tidy.source import ROOT

RUNS = ROOT / "bench-results" / "history"
# From this share on the others are seen in the figures.
OTHERS_SHARE_MAX = 0.1
# Libraries whose speed is measured along.
LIBRARIES = ("aiohttp", "cryptography", "msgpack", "msgspec", "PyNaCl", "uvloop")


@dataclass(frozen=True)
class Busy:
    """Seconds so far: of the clock, of all processors for anybody, of them for this run."""

    clock: float
    all: float
    own: float
    load: tuple[float, float, float]

    @classmethod
    def now(cls) -> Busy:
        """As it is now; children count once they have ended."""
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        user, nice, system, _, _, irq, soft, steal = map(int, fields[:8])
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(
            time.monotonic(),
            (user + nice + system + irq + soft + steal) / TICKS_PER_SECOND,
            sum(one.ru_utime + one.ru_stime for one in own),
            os.getloadavg(),
        )


def others_share(before: Busy, after: Busy) -> float:
    """The part of all processors that went to others meanwhile, 0 to 1."""
    seconds = (after.clock - before.clock) * (os.cpu_count() or 1)
    others = (after.all - before.all) - (after.own - before.own)
    return min(1.0, max(0.0, others / seconds)) if seconds else 0.0


def commit() -> str:
    """The commit that is measured, with a `+` if the tree differs from it; empty without git."""

    def git(*words: str) -> str:
        told = ["git", "-C", str(ROOT), *words]
        done = subprocess.run(told, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    found = git("rev-parse", "--short=12", "HEAD")
    return found + ("+" if found and git("status", "--porcelain", "-uno") else "")


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def run_of(
    figures: Sequence[Figure], arguments: Sequence[str], before: Busy, after: Busy
) -> dict[str, Any]:
    """A whole run as JSON."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "arguments": list(arguments),
        "machine": machine(),
        "load_before": before.load,
        "load_after": after.load,
        "others_share": others_share(before, after),
        "seconds": after.clock - before.clock,
        "figures": rows(figures),
        "goals": [{"goal": one.goal.words, "result": one.word} for one in judged(figures)],
    }


def keep(run: dict[str, Any]) -> Path:
    """Write a run beside the others; where it is."""
    RUNS.mkdir(parents=True, exist_ok=True)
    moment = run["time"][:19].replace("-", "").replace(":", "")
    path = RUNS / f"{moment}Z-{run['commit'] or 'unknown'}.json"
    path.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    return path


def told(run: dict[str, Any]) -> list[str]:
    """What to know before one believes the figures."""
    before, after = run["load_before"][0], run["load_after"][0]
    share = run["others_share"]
    lines = [
        f"{run['machine']['processor']}, {run['machine']['processors']} processors;"
        f" load {before:.1f} before, {after:.1f} after; others took {share:.0%} of the processors"
    ]
    if share > OTHERS_SHARE_MAX:
        lines.append("The machine was busy: figures in time say little; CPU, bytes and disk do.")
    return lines
