"""Ingest, sync, equal sets, memory and restart: real nodes, each in a process of its own."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ratoon_node.operate.folder import KEYS
from tests.bench import corpus
from tests.bench.figures import Figure
from tests.bench.ingest import figures, ingest
from tests.bench.nodes import NodeChild, node_child
from tests.bench.stores import LARGE, Seeded, seeded
from tests.bench.work import Work

# What is promised: shares of the bare limit of signature checks, by connections.
INGEST_SHARES: dict[int, float | None] = {1: 0.25, 4: None, 16: 0.3}
SYNC_SHARE = 0.3
START_SECONDS = 3
RSS_MIB = 250
MIB = 1 << 20
# Of comparing two equal nodes: bytes, rounds and CPU of either side, for each set.
EQUAL_BYTES, EQUAL_ROUNDS, EQUAL_CPU_MS = 1000, 1, 5
# What everybody may have is in so many sets: logs, states, and the window of posts.
SETS = 3
COMPARISONS = 20
# Equal after so many comparisons, or something is wrong.
TRIES = 20
# Of the records, those that go in over one connection; the rest over the others.
FIRST_SHARE = 0.5


async def replication(work: Work) -> list[Figure]:
    """Fill a node over 1, 4 and 16 connections, copy it to an empty one, start it again."""
    posts = 8000 if work.quick else 100_000
    path, now_ms = work.folder / "authors", time.time_ns() // 1_000_000
    print(f"signing {posts} records", file=sys.stderr)
    signed = corpus.make(path, int.from_bytes(os.urandom(6)), posts, now_ms)
    source = work.folder / "source"
    found: list[Figure] = []
    async with node_child(source) as node:
        await node.ask("host", path=str(path))
        found += await _ingest(work, node, signed.records)
        found += await _space(node)
    async with node_child(source) as node:
        found += await _restart(node)
        found += await _sync(work, node)
    return found + (await _equal_large(work) if work.large else [])


async def _ingest(work: Work, node: NodeChild, records: list[bytes]) -> list[Figure]:
    found, at = [], 0
    rest, limit = (1 - FIRST_SHARE) / (len(INGEST_SHARES) - 1), work.limits.get("signatures")
    for connections, goal in INGEST_SHARES.items():
        share = FIRST_SHARE if connections == 1 else rest
        part = records[at : at + int(len(records) * share)]
        at += len(part)
        took = await ingest(node, part, connections)
        target = limit * goal if limit and goal else None
        found += figures("ingest", "", took, limit, target)
    return found


async def _space(node: NodeChild) -> list[Figure]:
    usage = await node.ask("usage")
    return [Figure("space", "records", usage["records"], ""), *_memory("space", "ingest", usage)]


def _memory(bench: str, after: str, usage: dict[str, Any]) -> list[Figure]:
    """Of the node's process and of its verifier together, and of the latter."""
    whole, part = usage["rss"] / MIB, usage["rss_verifier"] / MIB
    return [
        Figure(bench, f"RSS after {after}, verifier included", whole, "MiB", None, RSS_MIB, True),
        Figure(bench, f"RSS after {after}, verifier alone", part, "MiB"),
    ]


async def _restart(node: NodeChild) -> list[Figure]:
    """What a node that was ended and started again shows; its log is folded back now."""
    usage, seconds = await node.ask("usage"), node.start_seconds
    return [
        Figure("space", "bytes on disk a record", usage["disk"] / usage["records"], "B"),
        *_memory("space", "restart", usage),
        Figure("start", "process to serving", seconds, "s", None, START_SECONDS, True),
    ]


async def _sync(work: Work, source: NodeChild) -> list[Figure]:
    before = await source.ask("usage")
    print(f"sync of {before['posts']} posts", file=sys.stderr)
    async with node_child(work.folder / "empty") as node:
        took = await node.ask("sync", address=source.url, posts=before["posts"])
        after, mine = await source.ask("usage"), await node.ask("usage")
        equal = await _equal(f"{before['posts'] // 1000}k", source, node)
    records, limit = mine["records"], work.limits.get("signatures")
    rate = records / took["seconds"]

    def each(of: str, seconds: float) -> Figure:
        return Figure("sync", f"CPU a record, {of}", seconds / records * 1e6, "µs")

    return [
        Figure(
            "sync", "records into an empty node", rate, "1/s", limit, limit and limit * SYNC_SHARE
        ),
        each("receiving", took["cpu"]),
        each("receiving, its verifier", took["cpu_verifier"]),
        each("sending", after["cpu"] - before["cpu"]),
        *_memory("sync", "receiving", mine),
        *_memory("sync", "sending", after),
        *equal,
    ]


# --- equal sets ----------------------------------------------------------------------------


async def _equal(size: str, one: NodeChild, other: NodeChild) -> list[Figure]:
    """Comparing two linked nodes again that have the same, over their real link."""
    for _ in range(TRIES):
        if not (await other.ask("compare", times=1))["found"]:
            break
    else:
        raise RuntimeError("two nodes do not become equal")
    before = (await one.ask("cpu"))["cpu"]
    took = await other.ask("compare", times=COMPARISONS)
    answering = ((await one.ask("cpu"))["cpu"] - before) / COMPARISONS
    goal = (EQUAL_BYTES, EQUAL_ROUNDS, EQUAL_CPU_MS) if size == "1M" else (None, None, None)

    def figure(what: str, value: float, unit: str, target: float | None) -> Figure:
        name = f"{size}, equal sets compared on a link: {what}"
        return Figure("sync", name, value, unit, None, target, True)

    return [
        figure(f"bytes, all {SETS} sets", took["bytes"], "B", goal[0]),
        figure("rounds a set", took["answers"] / SETS, "", goal[1]),
        figure(f"CPU of who asks, all {SETS} sets", took["cpu"] * 1000, "ms", goal[2]),
        figure(f"CPU of who answers, all {SETS} sets", answering * 1000, "ms", goal[2]),
    ]


async def _equal_large(work: Work) -> list[Figure]:
    """Two nodes on copies of the same large store, each with keys of its own."""
    store = await seeded(LARGE)
    print("comparing two nodes with a million records each", file=sys.stderr)
    folders = [work.folder / "equal-one", work.folder / "equal-other"]
    for folder in folders:
        shutil.copytree(store.folder, folder)
    (folders[1] / KEYS).unlink()
    # They know each other before they meet: sets that change while they are compared differ.
    async with _both(folders, store) as (one, other):
        for node, stranger in ((one, other), (other, one)):
            await node.ask("add", **(await stranger.ask("account")))
    async with _both(folders, store) as (one, other):
        await other.ask("meet", address=one.url, added=False)
        found = await _equal(store.size, one, other)
    for folder in folders:
        shutil.rmtree(folder)
    return found


@asynccontextmanager
async def _both(
    folders: Sequence[Path], store: Seeded
) -> AsyncIterator[tuple[NodeChild, NodeChild]]:
    """Two nodes, once they have read their sets."""
    now_ms = store.state.until_ms
    async with (
        node_child(folders[0], now_ms=now_ms) as one,
        node_child(folders[1], now_ms=now_ms) as other,
    ):
        await one.ask("settled")
        await other.ask("settled")
        yield one, other
