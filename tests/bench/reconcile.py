"""Reconciliation of two large sets that differ a little, or not; what a set takes to be made."""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
from typing import NamedTuple

from ratoon_protocol.limits import RECONCILE_FRAME_BYTES_MAX
from ratoon_protocol.reconcile import Index, Reconciler
from tests.bench.figures import Figure
from tests.bench.work import Work

DIFFERENCES = (0, 10, 100, 10_000)
# What is promised for so many differences in a million: bytes, rounds, CPU of either side in ms.
TARGETS: dict[int, tuple[float | None, float | None, float]] = {
    0: (1000, 1, 5),
    100: (200_000, 6, 200),
    10_000: (None, None, 4000),
}
# For the index of a million.
BUILD_SECONDS_TARGET = 3
BYTES_A_RECORD_TARGET = 64
# Records a second in the sets: those of a busy network.
RECORDS_PER_SECOND = 10

Items = list[tuple[int, bytes]]


class Compared(NamedTuple):
    """What one session cost; CPU of client and server."""

    bytes: int
    rounds: int
    cpu_ms: tuple[float, float]
    found: int


async def reconcile(work: Work) -> list[Figure]:
    """A set against an equal one, then one that lacks and has a few; indexes warm."""
    size = 100_000 if work.quick else 1_000_000
    rng = random.Random(1)
    print(f"reconciling {size} records", file=sys.stderr)
    items = [(at // RECORDS_PER_SECOND, rng.randbytes(32)) for at in range(size)]
    one = Index(items)
    found, other = _making(items)
    for differences in DIFFERENCES:
        changed = rng.sample(items, differences)
        _toggle(one, changed[::2], False)
        _toggle(other, changed[1::2], False)
        one.digest(), other.digest()
        took = _compare(one, other)
        assert took.found == differences, "every difference is found"
        found += _figures(took, differences, size)
        _toggle(one, changed[::2], True)
        _toggle(other, changed[1::2], True)
    return found


def _making(items: Items) -> tuple[list[Figure], Index]:
    """What it takes to make an index of records in the order in which they were written."""
    started = time.process_time()
    made = Index(items)
    seconds = time.process_time() - started
    part = items[: len(items) // 10]
    tracemalloc.start()
    sample = Index(part)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    name, size = f"{len(items) // 1000}k: ", len(sample)
    return [
        Figure("reconcile", name + "index made", seconds, "s", None, BUILD_SECONDS_TARGET, True),
        Figure(
            "reconcile",
            name + "memory a record",
            taken / size,
            "B",
            None,
            BYTES_A_RECORD_TARGET,
            True,
        ),
    ], made


def _toggle(index: Index, items: Items, present: bool) -> None:
    for timestamp_s, record_id in items:
        (index.insert if present else index.erase)(timestamp_s, record_id)


def _compare(one: Index, other: Index) -> Compared:
    client = Reconciler(one, RECONCILE_FRAME_BYTES_MAX)
    spent = [0.0, 0.0]
    size = rounds = 0
    known: set[bytes] = set()
    started = time.process_time()
    message: bytes | None = client.initiate()
    spent[0] += time.process_time() - started
    while message is not None:
        size += len(message)
        rounds += 1
        started = time.process_time()
        answer = Reconciler(other, RECONCILE_FRAME_BYTES_MAX).respond(message)
        spent[1] += time.process_time() - started
        size += len(answer)
        started = time.process_time()
        step = client.proceed(answer)
        spent[0] += time.process_time() - started
        known.update(step.have, step.need)
        message = step.reply
    return Compared(size, rounds, (spent[0] * 1000, spent[1] * 1000), len(known))


def _figures(took: Compared, differences: int, size: int) -> list[Figure]:
    promised = TARGETS.get(differences) if size == 1_000_000 else None
    size_max, rounds_max, cpu_ms_max = promised or (None, None, None)
    name = f"{size // 1000}k, {differences} differences"

    def figure(what: str, value: float, unit: str, target: float | None) -> Figure:
        return Figure("reconcile", f"{name}: {what}", value, unit, None, target, True)

    return [
        figure("bytes", took.bytes, "B", size_max),
        figure("rounds", took.rounds, "", rounds_max),
        figure("CPU, client", took.cpu_ms[0], "ms", cpu_ms_max),
        figure("CPU, server", took.cpu_ms[1], "ms", cpu_ms_max),
    ]
