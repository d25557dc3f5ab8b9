"""From the call that publishes a post to its receipt by the last of a hundred subscribers."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from ratoon_node.api.answers import RECORD_TYPE
from tests.bench import corpus
from tests.bench.asking import ask, get, listen, post
from tests.bench.figures import Figure
from tests.bench.nodes import NodeChild
from tests.bench.stores import Seeded, serving, stores
from tests.bench.work import Work

SUBSCRIBERS = 100
P99_MS = 30
# A post that has not come by then is lost.
SECONDS_MAX = 30


async def fanout(work: Work) -> list[Figure]:
    """One post after the other, each once all have the one before."""
    found: list[Figure] = []
    for store in await stores(work):
        print(f"fan-out at {store.size}", file=sys.stderr)
        async with serving(work, store) as node:
            found += await _measure(work, store, node)
    return found


async def _measure(work: Work, store: Seeded, node: NodeChild) -> list[Figure]:
    count = 50 if work.quick else 300
    path = work.folder / f"authors-{store.size}"
    signed = corpus.make(path, count, count, store.state.until_ms)
    await node.ask("host", path=str(path))
    took = sorted(await _publish(node.url, signed.records))
    name = f"{store.size}, {SUBSCRIBERS} subscribers"
    target = P99_MS if store.size == "1M" else None
    p50, p99 = took[len(took) // 2] * 1000, took[int(len(took) * 0.99)] * 1000
    return [
        Figure("fan-out", f"{name}: p50", p50, "ms"),
        Figure("fan-out", f"{name}: p99", p99, "ms", None, target, True),
    ]


async def _publish(url: str, records: list[bytes]) -> list[float]:
    """The seconds of each."""
    loop = asyncio.get_running_loop()
    last: asyncio.Future[float] = loop.create_future()
    heard = 0

    def one() -> None:
        nonlocal heard
        heard += 1
        if heard == SUBSCRIBERS:
            last.set_result(time.perf_counter())

    newest = json.loads((await ask(url, [get(url, "/v1/timelines/network?limit=1")], 1, 1)).body)
    # With a cursor, so that who joins late hears the first post too: then all have joined.
    first = json.dumps({"subscribe": "network", "since": newest["end"]})
    listeners = [await listen(url, first, one) for _ in range(SUBSCRIBERS)]
    found = []
    for record in records:
        heard, last = 0, loop.create_future()
        started = time.perf_counter()
        await ask(url, [post(url, "/v1/records", RECORD_TYPE, record)], 1, 1)
        async with asyncio.timeout(SECONDS_MAX):
            found.append(await last - started)
    for listener in listeners:
        listener.close()
    return found[1:]
