"""What a byte of a hostile peer costs its victims: each kind of the simulation's hostile machines.

They are played against production code on a simulated network, because a real one would be the
same code with the noise of a real clock; the disk is a simulated one too, and dearer than a real
one. See `tests.sim.hostile_figures`, which prints the same act by act.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import structlog

from tests.bench.figures import Figure
from tests.bench.work import Work
from tests.sim.hostile_figures import cost_s, idle_cpu_s, measure
from tests.sim.hostile_kinds import KINDS
from tests.sim.hostile_stage import Seen

# Of a quick run: one of each that is cheap to play.
QUICK = ("forge", "flood")


def _hush() -> None:
    """What the victims say of it is no news."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))


def _played(kind: str) -> list[tuple[str, Seen]]:
    return [(act.__name__, measure(act.__name__, act)) for act in KINDS[kind]]


async def hostile(work: Work) -> list[Figure]:
    """Processor time of all victims, and bytes that they send, for each byte that it sends."""
    loop, found = asyncio.get_running_loop(), []
    with ProcessPoolExecutor(1, get_context("spawn"), _hush) as pool:
        idle_s = await loop.run_in_executor(pool, idle_cpu_s)
        for kind in QUICK if work.quick else KINDS:
            print(f"hostile: {kind}", file=sys.stderr)
            acts = await loop.run_in_executor(pool, _played, kind)
            found += _figures(kind, acts, idle_s)
    return found


def _figures(kind: str, acts: list[tuple[str, Seen]], idle_s: float) -> list[Figure]:
    sent = sum(seen.sent_bytes for _, seen in acts)
    cpu_s = sum(cost_s(seen, idle_s) for _, seen in acts)
    back = sum(seen.heard_bytes + seen.among_nodes_bytes for _, seen in acts)
    worst_s, worst = max((cost_s(seen, idle_s) / seen.sent_bytes, name) for name, seen in acts)
    return [
        Figure("hostile", f"{kind}: CPU a byte it sends", cpu_s / sent * 1e6, "µs"),
        Figure("hostile", f"{kind}: CPU a byte, worst act ({worst})", worst_s * 1e6, "µs"),
        Figure("hostile", f"{kind}: bytes sent for each of its bytes", back / sent, ""),
    ]
