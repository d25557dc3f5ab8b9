"""Ten times what a node can take, for minutes: what it admits, refuses, keeps and still serves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ratoon_node.config import Settings
from tests.bench import corpus
from tests.bench.asking import ask, get
from tests.bench.crowd import READS, Answered, Watch, dull, p99_ms, watching
from tests.bench.figures import Figure
from tests.bench.nodes import NodeChild, node_child
from tests.bench.processes import taken
from tests.bench.stores import SMALL, Seeded, seeded, serving
from tests.bench.work import Work, python_child

MIB = 1 << 20
# What is demanded.
TIMES, ADMITTED_SHARE, READ_P99_MS, NORMAL_SECONDS = 10, 0.9, 250, 10
REFUSED_P99_MS, TAKEN_P99_MS = 250, 1000
DULL, DULL_KB = 100, 192
# How long: calm before it, the peak, the flood; the same in a quick run.
CALM_SECONDS, PEAK_SECONDS, FLOOD_SECONDS = (10, 5), (20, 6), (600, 30)
# Records that say how many must be signed beforehand; so many more than that; and at most.
FIRST_RECORDS, SPARE, FLOOD_RECORDS_MAX = 20_000, 1.3, 4_000_000
# What the flood's connections hold at once, waiting for an answer or to be offered again.
UNDER_WAY_RECORDS = 100_000
# Authors of what is published one by one: a node takes in no more than 5,000 new people a day.
FEW_AUTHORS = 100
# Subscribers that are no use to anybody, and posts while they are there.
KINDS = ("prompt", "never", "slow", "silent")
WORDS = {
    "": "none",
    "prompt": "reading",
    "never": "never reading",
    "slow": "reading once a second",
    "silent": "asking for nothing",
}
SUBSCRIBED_POSTS = (20_000, 5_000)
# The slow peer runs for this part of each turn.
PEER_SECONDS, PEER_SHARE = 2.0, 0.1
# After the flood: looked at for so long, and what counts as normal again in a window of it.
AFTER_SECONDS, WINDOW_SECONDS = 20, 2
NORMAL_TIMES, NORMAL_MS = 2, 50
# Order of the flood's process: other processes go before it.
NICE = 10
_NEWEST = "/v1/timelines/network?limit=1"
_GENTLE = {"rate": None, "streams": 4, "batches": 0, "singles": 0}
_PEAK = {"rate": None, "streams": 6, "batches": 0, "singles": 4}
_FLOOD = {"streams": 64, "batches": 64, "singles": 32}


@dataclass
class Case:
    """One run."""

    work: Work
    store: Seeded
    node: NodeChild
    flood: Process
    until_ms: int
    begun: float

    @property
    def now_ms(self) -> int:
        """What the node's clock shows."""
        return self.until_ms + int((time.perf_counter() - self.begun) * 1000)

    async def end(self) -> int:
        """Where the network's timeline ends."""
        newest = await ask(self.node.url, [get(self.node.url, _NEWEST)], 1, 1)
        return int(json.loads(newest.body)["end"])

    def of(self, pair: tuple[int, int]) -> int:
        return pair[1] if self.work.quick else pair[0]

    async def stock(self, name: str, count: int, authors: int = corpus.AUTHORS) -> Path:
        """Sign records by authors of their own, who are at home here from now on."""
        print(f"signing {count} records", file=sys.stderr)
        folder = self.work.folder / f"stock-{name}"
        folder.mkdir()
        seed = int.from_bytes(os.urandom(6))
        count += count % corpus.SIGNERS
        begin_ms = corpus.start_ms(count, self.now_ms)
        order = corpus.Order(seed, authors, count, begin_ms)
        await asyncio.to_thread(corpus.make_files, folder, order)
        await self.node.ask("host", path=str(folder / "authors"))
        return folder

    async def publish(self, path: Path, seconds: float, **words: object) -> dict[str, Any]:
        """Have the flood's process publish; what became of it."""
        assert self.flood.stdin is not None, "a child has pipes"
        assert self.flood.stdout is not None, "a child has pipes"
        order = {"path": str(path), "url": self.node.url, "seconds": seconds, **words}
        self.flood.stdin.write(json.dumps(order).encode() + b"\n")
        report: dict[str, Any] = json.loads(await self.flood.stdout.readline())
        print(f"flood: {json.dumps(report | {'each_second': None})}", file=sys.stderr)
        return report


async def overload(work: Work) -> list[Figure]:
    """See the module."""
    store = await seeded(SMALL)
    begun = time.perf_counter()
    async with (
        serving(work, store) as node,
        python_child("tests.bench.flood") as flood,
    ):
        os.setpriority(os.PRIO_PROCESS, flood.pid, NICE)
        case = Case(work, store, node, flood, store.state.until_ms, begun)
        found = await _dull_ones(case)
        return found + await _flooded(case)


# --- memory ----------------------------------------------------------------------------------


def rss(pid: int) -> int:
    """Bytes of memory of a node and of those that check signatures for it."""
    now = taken(pid)
    return now.rss + now.children_rss


def rss_bound(records: int, streams: int, requests: int, links: int) -> int:
    """What a node and the process that checks signatures may take together, in bytes, with so many
    records stored, streams and links open and requests under way (see node/ARCHITECTURE.md,
    "What memory is bounded by").
    """
    chosen = Settings()
    program = 170 * MIB
    kept = 96 * records + (32 + 8 * chosen.readers + 40 + 16) * MIB
    intake = 4 * chosen.intake_bytes_max + 6000 * chosen.intake_records_max
    asked = 64 * MIB + 128 * 1024 * requests
    told = (64 + 32) * MIB + 192 * 1024 * streams
    linked = links * (chosen.link_queue_bytes_max + (24 + 8 + 4 + 4) * MIB)
    return program + kept + intake + asked + told + linked


@contextlib.asynccontextmanager
async def _memory(pid: int) -> AsyncIterator[list[int]]:
    """What the node takes, again and again."""
    found: list[int] = []

    async def look() -> None:
        while True:
            found.append(rss(pid))
            await asyncio.sleep(0.25)

    task = asyncio.create_task(look())
    try:
        yield found
    finally:
        task.cancel()


# --- subscribers that do not read ------------------------------------------------------------


async def _dull_ones(case: Case) -> list[Figure]:
    """What a hundred of each kind cost: bytes each, and others' time to publish."""
    count = case.of(SUBSCRIBED_POSTS)
    stock = await case.stock("subscribed", count * (1 + len(KINDS)))
    posts = corpus.read_files(await case.stock("subscribed-singly", 5000, FEW_AUTHORS))
    found: list[Figure] = []
    grown: dict[str, int] = {}
    for how in ("", *KINDS):
        many = {how: DULL} if how else {}
        at_first = rss(case.node.pid)
        async with dull(case.node.url, await case.end(), **many):
            await case.publish(stock, 600, records=count, **_GENTLE)
            await case.node.ask("digest")
            grown[how] = rss(case.node.pid) - at_first
            async with watching(case.node.url, case.store, posts) as watch:
                await asyncio.sleep(case.of(CALM_SECONDS))
        name = f"publish p99, {DULL} subscribers: {WORDS[how]}"
        found.append(_ms(name, watch.all, "publish"))
        if how:
            each = (grown[how] - grown[""]) / DULL / 1024
            name = f"memory of a subscriber: {WORDS[how]}"
            found.append(Figure("overload", name, max(0, each), "kB", None, DULL_KB, True))
    return found


# --- the flood -------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _slow_peer(case: Case) -> AsyncIterator[None]:
    """Another node that syncs from this one and runs for a tenth of the time."""
    async with node_child(case.work.folder / "slow", now_ms=case.now_ms) as peer:
        await peer.ask("sync", address=case.node.url, posts=0)

        async def halt() -> None:
            while True:
                os.kill(peer.pid, signal.SIGSTOP)
                await asyncio.sleep(PEER_SECONDS * (1 - PEER_SHARE))
                os.kill(peer.pid, signal.SIGCONT)
                await asyncio.sleep(PEER_SECONDS * PEER_SHARE)

        task = asyncio.create_task(halt())
        try:
            yield
        finally:
            task.cancel()
            os.kill(peer.pid, signal.SIGCONT)


async def _flooded(case: Case) -> list[Figure]:
    """The peak, then ten times as much, then what is left of it."""
    seconds = case.work.seconds or case.of(FLOOD_SECONDS)
    first = await case.publish(await case.stock("first", FIRST_RECORDS, FEW_AUTHORS), 600, **_PEAK)
    rate = first["codes"]["stored"] / first["seconds"]
    wanted = int(rate * (seconds + case.of(PEAK_SECONDS)) * SPARE)
    stock = await case.stock("flood", min(wanted, FLOOD_RECORDS_MAX) + UNDER_WAY_RECORDS)
    posts = corpus.read_files(await case.stock("singly", 20 * (seconds + 60), FEW_AUTHORS))
    await case.node.ask("digest")
    async with (
        _slow_peer(case),
        dull(case.node.url, await case.end(), never=DULL // 2, slow=DULL // 2, silent=DULL // 2),
        watching(case.node.url, case.store, posts) as watch,
        _memory(case.node.pid) as memory,
    ):
        marks = [time.perf_counter()]
        await asyncio.sleep(case.of(CALM_SECONDS))
        marks.append(time.perf_counter())
        peak = await case.publish(stock, case.of(PEAK_SECONDS), **_PEAK)
        marks.append(time.perf_counter())
        offered = TIMES * peak["codes"]["stored"] / peak["seconds"]
        before = await case.node.ask("usage")
        flood = await case.publish(stock, seconds, **_FLOOD | {"rate": offered})
        marks.append(time.perf_counter())
        after = await case.node.ask("usage")
        await asyncio.sleep(AFTER_SECONDS)
    cpu = [(after[one] - before[one]) / flood["seconds"] for one in ("cpu", "cpu_verifier")]
    return [
        *_admitted(peak, flood),
        Figure("overload", "CPU of the node in the flood", cpu[0], "cores"),
        Figure("overload", "CPU of the process that checks signatures", cpu[1], "cores"),
        Figure(
            "overload", "CPU of the flood's own process", flood["cpu"] / flood["seconds"], "cores"
        ),
        *_refused(flood),
        *_served(watch, marks),
        *_kept(case, memory, after),
    ]


def _admitted(peak: dict[str, Any], flood: dict[str, Any]) -> list[Figure]:
    rates = [one["codes"].get("stored", 0) / one["seconds"] for one in (peak, flood)]
    minute = flood["each_second"][:60]
    last = flood["each_second"][-60:]
    other = set(flood["codes"]) - {"stored", "busy", "duplicate"}
    return [
        Figure("overload", "seconds of the flood", flood["seconds"], "s"),
        Figure("overload", "peak: records admitted", rates[0], "1/s"),
        Figure("overload", "flood: records offered", flood["offered"] / flood["seconds"], "1/s"),
        Figure("overload", "flood: records admitted", rates[1], "1/s"),
        Figure("overload", "admitted, of the peak", rates[1] / rates[0], "", None, ADMITTED_SHARE),
        Figure("overload", "first minute: admitted", sum(minute) / len(minute), "1/s"),
        Figure("overload", "last minute: admitted", sum(last) / len(last), "1/s"),
        Figure("overload", "neither taken nor busy", len(other), "codes", None, 0, True),
        Figure("overload", "connections that the node closed", flood["lost"], "", None, 0, True),
    ]


def _refused(flood: dict[str, Any]) -> list[Figure]:
    found = [
        Figure("overload", "refusals without a hint", flood["unhinted"], "", None, 0, True),
    ]
    for way, admitted in flood["taken_ms"].items():
        refused = flood["refused_ms"][way]
        name = f"{way}: refused {refused['count']} times: p99"
        found.append(Figure("overload", name, refused["p99"], "ms", None, REFUSED_P99_MS, True))
        name = f"{way}: admitted: p99"
        found.append(Figure("overload", name, admitted["p99"], "ms", None, TAKEN_P99_MS, True))
    return found


def _ms(name: str, answers: Sequence[Answered], *what: str, most: float | None = None) -> Figure:
    """A figure of the 99th percentile of some answers."""
    chosen = [one for one in answers if one.what in what]
    return Figure("overload", name, p99_ms(chosen), "ms", None, most, True)


def _served(watch: Watch, marks: Sequence[float]) -> list[Figure]:
    """Reads throughout, and when all was as before again."""
    calm, peak, flood = pairwise(marks)
    found = []
    for what in (*READS, "publish"):
        for name, time_ in (("calm", calm), ("peak", peak), ("flood", flood)):
            most = READ_P99_MS if what != "publish" and name == "flood" else None
            found.append(_ms(f"{name}: {what} p99", watch.between(*time_, what), what, most=most))
    failed = [one for one in watch.all if one.what != "publish" and one.status != 200]
    found.append(Figure("overload", "reads not answered", len(failed), "", None, 0, True))
    normal = {what: p99_ms(watch.between(*calm, what)) for what in (*READS, "publish")}
    at = 0.0
    while at < AFTER_SECONDS - WINDOW_SECONDS and not _normal(watch, marks[3] + at, normal):
        at += 0.25
    name = "until all is as before again"
    return [*found, Figure("overload", name, at, "s", None, NORMAL_SECONDS, True)]


def _normal(watch: Watch, at: float, normal: dict[str, float]) -> bool:
    """Whether what was asked from a moment on was answered as before the peak, all of it."""
    for what, calm in normal.items():
        answers = watch.between(at, at + WINDOW_SECONDS, what)
        good = all(one.status in (200, 201) for one in answers)
        if not answers or not good or p99_ms(answers) > max(NORMAL_TIMES * calm, NORMAL_MS):
            return False
    return True


def _kept(case: Case, memory: Sequence[int], after: dict[str, Any]) -> list[Figure]:
    bound = rss_bound(after["records"], 2 * DULL + 64, 100, 1)
    return [
        Figure("overload", "records stored at the end", after["records"], ""),
        Figure(
            "overload",
            "RSS at most, node and child",
            max(memory) / MIB,
            "MiB",
            None,
            bound / MIB,
            True,
        ),
        Figure("overload", "RSS at the end", memory[-1] / MIB, "MiB"),
    ]
