"""Ingest, sync, memory, disk and restart: real nodes, each in a process of its own."""

from __future__ import annotations

import os
import sys
import time

from tests.bench import corpus
from tests.bench.client import publish
from tests.bench.figures import Figure
from tests.bench.nodes import NodeChild, node_child
from tests.bench.work import Work

# What is promised.
INGEST_TARGET = 6000
# Of the bare limit of signature checks.
SYNC_SHARE_TARGET = 0.3
START_SECONDS_TARGET = 3
RSS_MIB_TARGET = 300
MIB = 1 << 20

CONNECTIONS = (1, 4, 16)
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
    return found


async def _ingest(work: Work, node: NodeChild, records: list[bytes]) -> list[Figure]:
    found, at = [], 0
    rest = (1 - FIRST_SHARE) / (len(CONNECTIONS) - 1)
    for connections in CONNECTIONS:
        share = FIRST_SHARE if connections == 1 else rest
        part = records[at : at + int(len(records) * share)]
        at += len(part)
        before = await node.ask("usage")
        print(f"ingest over {connections}", file=sys.stderr)
        seconds = await publish(node.url, part, connections)
        cpu = (await node.ask("usage"))["cpu"] - before["cpu"]
        limit = work.limits.get("signatures")
        target = INGEST_TARGET if connections == 1 else None
        name = f"records over {connections} connection{'s' if connections > 1 else ''}"
        found.append(Figure("ingest", name, len(part) / seconds, "1/s", limit, target))
        found.append(Figure("ingest", "CPU a record", cpu / len(part) * 1e6, "µs"))
    return found


async def _space(node: NodeChild) -> list[Figure]:
    usage = await node.ask("usage")
    records = usage["records"]
    return [
        Figure("space", "records", records, ""),
        Figure("space", "RSS after ingest", usage["rss"] / MIB, "MiB", None, RSS_MIB_TARGET, True),
        Figure("space", "bytes written a record", usage["written"] / records, "B"),
    ]


async def _restart(node: NodeChild) -> list[Figure]:
    """What a node that was ended and started again shows; its log is folded back now."""
    usage, seconds = await node.ask("usage"), node.start_seconds
    return [
        Figure("space", "bytes on disk a record", usage["disk"] / usage["records"], "B"),
        Figure("space", "RSS after restart", usage["rss"] / MIB, "MiB", None, RSS_MIB_TARGET, True),
        Figure("start", "process to serving", seconds, "s", None, START_SECONDS_TARGET, True),
    ]


async def _sync(work: Work, source: NodeChild) -> list[Figure]:
    before = await source.ask("usage")
    print(f"sync of {before['posts']} posts", file=sys.stderr)
    async with node_child(work.folder / "empty") as node:
        took = await node.ask("sync", address=source.url, posts=before["posts"])
        mine = await node.ask("usage")
    after = await source.ask("usage")
    records = mine["records"]
    cpu = after["cpu"] - before["cpu"]
    limit = work.limits.get("signatures")
    rate = records / took["seconds"]
    target = limit and limit * SYNC_SHARE_TARGET
    return [
        Figure("sync", "records into an empty node", rate, "1/s", limit, target),
        Figure("sync", "CPU a record, receiving", took["cpu"] / records * 1e6, "µs"),
        Figure("sync", "CPU a record, sending", cpu / records * 1e6, "µs"),
        Figure("sync", "RSS of the receiver", mine["rss"] / MIB, "MiB", None, RSS_MIB_TARGET, True),
        Figure("sync", "RSS of the sender", after["rss"] / MIB, "MiB", None, RSS_MIB_TARGET, True),
    ]
