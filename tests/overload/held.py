"""A node whose disk stands still: what is taken in waits until the test lets it be written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from ratoon_node.app import Node
from ratoon_node.ingest.submission import Origin, Outcome, Submission
from ratoon_node.store import read
from ratoon_protocol.record import Record

T = TypeVar("T")
Function = Callable[[sqlite3.Connection], Any]


class Held:
    """Writes of a node wait for `go`; what was submitted meanwhile is in `tasks`."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.go = asyncio.Event()
        self.tasks: list[asyncio.Task[list[Outcome]]] = []

    async def submit(self, items: Sequence[Submission], origin: Origin) -> None:
        """Submit, and return once that was taken in; raises what `Gate.submit` refuses it with."""
        task = asyncio.ensure_future(self.node.gate.submit(items, origin))
        await asyncio.sleep(0)  # it runs until it waits to be written, or is refused
        if task.done():
            await task
        self.tasks.append(task)

    async def release(self) -> list[Outcome]:
        """Let everything be written; what became of all that was submitted."""
        self.go.set()
        return [outcome for part in await asyncio.gather(*self.tasks) for outcome in part]


@contextmanager
def held(node: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Nothing is written until it says so, or until the end."""
    found = Held(node)
    write = node.db.write

    async def wait(fn: Function, undone: Callable[[], None] | None = None) -> Any:
        await found.go.wait()
        return await write(fn, undone)

    with monkeypatch.context() as patch:
        patch.setattr(node.db, "write", wait)
        try:
            yield found
        finally:
            found.go.set()


async def stored(node: Node, records: Sequence[Record]) -> int:
    """How many of them are on disk."""
    ids = [one.id for one in records]
    return len(await node.db.read(lambda db: read.known(db, ids)))
