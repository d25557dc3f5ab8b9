"""Publishing over some connections, and what it costs whom."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.bench.client import publish
from tests.bench.figures import Figure
from tests.bench.nodes import NodeChild

# Everything derived (timelines, counts, words, notices) is made this soon after the last answer.
CAUGHT_UP_SECONDS = 1
# A record of 280 bytes of text.
WRITTEN_BYTES = 5000


class Ingested(NamedTuple):
    """What it took to publish some records: seconds of time and of processors, bytes of disk."""

    records: int
    connections: int
    seconds: float
    caught_up: float
    node: float
    verifier: float
    client: float
    written: float

    @property
    def rate(self) -> float:
        """Records a second, each of them on disk and answered."""
        return self.records / self.seconds


async def ingest(node: NodeChild, records: Sequence[bytes], connections: int) -> Ingested:
    """Publish everything from this process; wait until all that is derived is made."""
    before, client = await node.ask("usage"), time.process_time()
    print(f"ingest of {len(records)} over {connections}", file=sys.stderr)
    seconds = await publish(node.url, records, connections)
    client, ended = time.process_time() - client, time.perf_counter()
    await node.ask("digest")
    caught_up, after = time.perf_counter() - ended, await node.ask("usage")
    return Ingested(
        len(records),
        connections,
        seconds,
        caught_up,
        after["cpu"] - before["cpu"],
        after["cpu_verifier"] - before["cpu_verifier"],
        client,
        after["written"] - before["written"],
    )


def figures(
    bench: str, where: str, took: Ingested, limit: float | None, target: float | None
) -> list[Figure]:
    """`where`: onto what they went, as `name: ` or nothing."""
    many = f"{took.connections} connection{'s'[: took.connections > 1]}"

    def each(of: str, seconds: float) -> Figure:
        name = f"{where}{many}: CPU a record, {of}"
        return Figure(bench, name, seconds / took.records * 1e6, "µs")

    return [
        Figure(bench, f"{where}{many}", took.rate, "1/s", limit, target),
        Figure(
            bench,
            f"{where}{many}: everything derived caught up after",
            took.caught_up,
            "s",
            None,
            CAUGHT_UP_SECONDS,
            True,
        ),
        each("node", took.node),
        each("its verifier", took.verifier),
        each("the client (apart)", took.client),
        Figure(
            bench,
            f"{where}{many}: bytes written to disk a record",
            took.written / took.records,
            "B",
            None,
            WRITTEN_BYTES,
            True,
        ),
    ]
