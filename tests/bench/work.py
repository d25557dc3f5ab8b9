"""What benches share in one run: a folder, the bare limits found so far, child processes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.asking import Load

# Time for a child to end by itself before it is killed.
END_SECONDS = 10
# The longest line a child may answer with.
LINE_BYTES_MAX = 1 << 20


@dataclass
class Work:
    """One run."""

    folder: Path
    quick: bool
    #: Whether cases with a million records run, for which a store is seeded for minutes.
    large: bool = False
    #: Whether cases with ten thousand run, too, so that it is seen how figures grow.
    growth: bool = False
    #: How long a node is flooded, if not as long as usual.
    seconds: int | None = None
    limits: dict[str, float] = field(default_factory=dict)
    #: What a bare server gave, by what was asked of it.
    echoes: dict[str, Load] = field(default_factory=dict)


@asynccontextmanager
async def python_child(module: str, *arguments: str) -> AsyncIterator[Process]:
    """A Python process of ours that ends when its input does."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE, limit=LINE_BYTES_MAX
    )
    try:
        yield child
    finally:
        assert child.stdin is not None, "the child has a pipe"
        child.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()
