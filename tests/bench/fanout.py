"""From the call that publishes a post to its receipt by the last subscriber, here or elsewhere."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from ratoon_node.api.answers import RECORD_TYPE
from tests.bench import corpus
from tests.bench.asking import Listener, ask, get, listen, post
from tests.bench.figures import Figure
from tests.bench.nodes import NodeChild, node_child
from tests.bench.stores import serving, stores
from tests.bench.work import Work

SUBSCRIBERS = 100
# Nodes of the small network, each linked to all others.
NODES = 10
HERE_P99_MS, ELSEWHERE_P99_MS, ALL_P99_MS = 15, 50, 500
# A post that has not come by then is lost.
SECONDS_MAX = 30
# Nodes that do not know the same authors by then are not linked.
LEVEL_SECONDS_MAX = 120


class Took(NamedTuple):
    """Seconds from the call that publishes: to its answer, and to the last receipt."""

    answered: float
    heard: float


async def fanout(work: Work) -> list[Figure]:
    """To a hundred subscribers of the same node: each post once all have the one before."""
    found: list[Figure] = []
    for store in await stores(work):
        print(f"fan-out at {store.size}", file=sys.stderr)
        async with serving(work, store) as node:
            urls = [node.url] * SUBSCRIBERS
            took = await _told(work, node, urls, store.state.until_ms, f"authors-{store.size}")
        name = f"{store.size}, {SUBSCRIBERS} subscribers"
        target = HERE_P99_MS if store.size == "1M" else None
        found += _figures("fan-out", name, [one.heard for one in took], target)
    return found


async def spread(work: Work) -> list[Figure]:
    """To a hundred subscribers of another node, and to one at each of ten nodes."""
    found: list[Figure] = []
    for count, listeners in ((2, SUBSCRIBERS), (NODES, 1)):
        print(f"spread over {count} nodes", file=sys.stderr)
        async with AsyncExitStack() as stack:
            folders = [work.folder / f"spread-{count}-{at}" for at in range(count)]
            starts = (stack.enter_async_context(node_child(folder)) for folder in folders)
            nodes = await asyncio.gather(*starts)
            for at, node in enumerate(nodes):
                for other in nodes[:at]:
                    await node.ask("sync", address=other.url, posts=0)
            urls = [node.url for node in nodes[1:] for _ in range(listeners)]
            now_ms = time.time_ns() // 1_000_000
            authors = f"authors-of-{count}"
            took = await _told(work, nodes[0], urls, now_ms, authors, others=nodes[1:])
        if count == NODES:
            name = f"{count} nodes all hold a record"
            found += _figures("spread", name, [one.heard for one in took], ALL_P99_MS)
            continue
        name = f"{listeners} subscribers of another node"
        found += _figures("spread", name, [one.heard for one in took], ELSEWHERE_P99_MS)
        name = "acknowledged to visible on another node"
        found += _figures("spread", name, [max(0, one.heard - one.answered) for one in took], None)
    return found


def _figures(bench: str, name: str, seconds: Sequence[float], target: float | None) -> list[Figure]:
    each = sorted(seconds)
    p50, p99 = each[len(each) // 2] * 1000, each[int(len(each) * 0.99)] * 1000
    return [
        Figure(bench, f"{name}: p50", p50, "ms"),
        Figure(bench, f"{name}: p99", p99, "ms", None, target, True),
    ]


async def _told(
    work: Work,
    node: NodeChild,
    urls: Sequence[str],
    now_ms: int,
    authors: str,
    others: Sequence[NodeChild] = (),
) -> list[Took]:
    """One post after the other by authors at home on a node, to a subscriber at each URL, once
    the other nodes know the authors.
    """
    count = 50 if work.quick else 300
    signed = corpus.make(work.folder / authors, count, count, now_ms)
    await node.ask("host", path=str(work.folder / authors))
    await node.ask("digest")  # of a thousand newcomers at once: nobody's usual second
    for other in others:
        await _level(node, other)
    return await _publish(node.url, signed.records, urls)


async def _level(node: NodeChild, other: NodeChild) -> None:
    """Return once another node holds as many records."""
    async with asyncio.timeout(LEVEL_SECONDS_MAX):
        while (await other.ask("usage"))["records"] < (await node.ask("usage"))["records"]:
            await other.ask("digest")


async def _publish(url: str, records: Sequence[bytes], urls: Sequence[str]) -> list[Took]:
    """What each took but the first, which some wait for that only join."""
    loop = asyncio.get_running_loop()
    last: asyncio.Future[float] = loop.create_future()
    heard = 0

    def one() -> None:
        nonlocal heard
        heard += 1
        if heard == len(urls):
            last.set_result(time.perf_counter())

    listeners = await _join(urls, one)
    found = []
    for record in records:
        heard, last = 0, loop.create_future()
        started = time.perf_counter()
        await ask(url, [post(url, "/v1/records", RECORD_TYPE, record)], 1, 1)
        answered = time.perf_counter() - started
        async with asyncio.timeout(SECONDS_MAX):
            found.append(Took(answered, await last - started))
    for listener in listeners:
        listener.close()
    return found[1:]


async def _join(urls: Sequence[str], heard: Callable[[], None]) -> list[Listener]:
    """Subscribers that have a cursor, so that who joins late hears the first post too."""
    firsts: dict[str, str] = {}
    for url in dict.fromkeys(urls):
        newest = await ask(url, [get(url, "/v1/timelines/network?limit=1")], 1, 1)
        since = json.loads(newest.body)["end"]
        firsts[url] = json.dumps({"subscribe": "network", "since": since})
    return [await listen(url, firsts[url], heard) for url in urls]
