"""A node that is started on a full store: until it serves, its first answer, its memory."""

from __future__ import annotations

import sys

from tests.bench.asking import ask, get
from tests.bench.figures import Figure
from tests.bench.stores import serving, stores
from tests.bench.work import Work

SECONDS = 3
RSS_MIB = 250
MIB = 1 << 20


async def start(work: Work) -> list[Figure]:
    """The second start on each store: the first one writes what the node says of itself."""
    found: list[Figure] = []
    for store in await stores(work):
        print(f"start at {store.size}", file=sys.stderr)
        async with serving(work, store):
            pass
        async with serving(work, store, settled=False) as node:
            path = f"/v1/timelines/home?account={store.state.usual}&limit=20"
            first = await ask(node.url, [get(node.url, path)], 1, 1)
            path = f"/v1/records/{store.state.thread}/thread?limit=1000"
            thread = await ask(node.url, [get(node.url, path)], 1, 1)
            usage = await node.ask("usage")
        promised = store.size == "1M"
        took, rss = node.start_seconds, usage["rss"] / MIB
        size = usage["disk"] / usage["records"]
        found += [
            Figure(
                "start",
                f"{store.size}, process to serving",
                took,
                "s",
                None,
                SECONDS if promised else None,
                most=True,
            ),
            Figure("start", f"{store.size}, the first home timeline", first.each[0] * 1000, "ms"),
            Figure("start", f"{store.size}, the first long thread", thread.each[0] * 1000, "ms"),
            Figure(
                "start",
                f"{store.size}, RSS once it serves",
                rss,
                "MiB",
                None,
                RSS_MIB if promised else None,
                most=True,
            ),
            Figure("start", f"{store.size}, bytes on disk a record", size, "B"),
        ]
    return found
