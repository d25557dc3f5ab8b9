"""Nodes as child processes, and clients that publish to them over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.work import python_child

# The longest that a child may work on one thing.
ANSWER_SECONDS_MAX = 300


@dataclass
class NodeChild:
    """A node that serves at `url`; `start_seconds` after it was started it did."""

    process: Process
    url: str
    pid: int
    start_seconds: float

    async def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """Have the child do something (see `child.Commands`)."""
        assert self.process.stdin is not None, "the child has a pipe"
        self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        return await _line(self.process)


async def _line(process: Process) -> dict[str, Any]:
    assert process.stdout is not None, "the child has a pipe"
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the node's process has ended")
    answer: dict[str, Any] = json.loads(line)
    return answer


@asynccontextmanager
async def node_child(folder: Path, **choices: object) -> AsyncIterator[NodeChild]:
    """A node with its store in `folder`, which is the same node again if it exists.

    `choices`: `now_ms` (what its clock shows when it starts, if not the time), `policy` (the rules
    at ingest) and `settings` (see `child`).
    """
    os.makedirs(folder, exist_ok=True)
    started = time.perf_counter()
    told = json.dumps(choices)
    async with python_child("tests.bench.child", str(folder), told) as process:
        said = await _line(process)
        yield NodeChild(process, said["url"], said["pid"], time.perf_counter() - started)
