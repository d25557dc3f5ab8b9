"""Nodes full of a made-up network: seeded once, kept, and copied for each run."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ratoon_node.operate.seed.fill import State
from ratoon_node.operate.seed.stream import VERSION
from ratoon_node.store.schema import MIGRATIONS
from tests.bench.nodes import NodeChild, node_child
from tests.bench.work import Work
from tests.tidy.source import ROOT

KEPT = ROOT / "bench-results" / "stores"
TINY, SMALL, LARGE = 10_000, 100_000, 1_000_000
# When their last record is written: the same records on every day, compared on every day.
UNTIL = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Seeded:
    """A store with a made-up network in it: the folder of its node, and who is in it."""

    folder: Path
    state: State

    @property
    def size(self) -> str:
        """How its figures are called."""
        return size_name(self.state.records)


def size_name(count: int) -> str:
    """10k, 100k, 1M."""
    return f"{count // LARGE}M" if count >= LARGE else f"{count // 1000}k"


def tables() -> str:
    """What stands for the tables of this version: stores with others are of no use."""
    return hashlib.sha256("".join(MIGRATIONS).encode()).hexdigest()[:8]


async def seeded(records: int) -> Seeded:
    """The kept store of that size, made now if there is none or its tables have changed."""
    folder = KEPT / f"{records}-{VERSION}-{tables()}"
    state = State.load(folder)
    if state is None or not state.digest:
        print(f"seeding {records} records", file=sys.stderr)
        told = ["--records", str(records), "--data-dir", str(folder), "--json"]
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ratoon_node",
            "seed",
            *told,
            "--until",
            UNTIL.strftime("%Y-%m-%dT%H:%M:%S"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await child.communicate()
        if child.returncode:
            raise RuntimeError(f"no store of {records} records: {json.loads(out)}")
        state = State.load(folder)
        assert state is not None, "it was just written"
    return Seeded(folder, state)


async def stores(work: Work) -> list[Seeded]:
    """Those that a run measures: the large one only where it was asked for."""
    sizes = [TINY] * work.growth + [SMALL] + [LARGE] * work.large
    return [await seeded(size) for size in sizes]


@asynccontextmanager
async def serving(work: Work, store: Seeded, settled: bool = True) -> AsyncIterator[NodeChild]:
    """A node on a copy of the store, at the time at which its last record was written; once it is
    settled, or as soon as it answers.
    """
    folder = work.folder / f"node-{store.size}"
    if not folder.exists():
        await asyncio.to_thread(shutil.copytree, store.folder, folder)
        await asyncio.to_thread(os.sync)  # or the disk still writes it while commits are measured
    async with node_child(folder, now_ms=store.state.until_ms) as node:
        if settled:
            await node.ask("settled")
        yield node
