"""One production node in a world of many: a store in memory, a virtual clock, no threads."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ratoon_node.app import Node, assemble
from ratoon_node.config import Settings
from ratoon_node.errors import NodeError
from ratoon_node.fanout import Committed
from ratoon_node.operate.keys import Keys
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import Runtime, Spawner
from ratoon_node.store import schema
from ratoon_node.store.db import Read, Undone, transaction
from tests.sim.loop import InlineExecutor, SimClock
from tests.sim.scale.lines import Lines, Wire

T = TypeVar("T")

# A commit with its sync on a disk that is not busy.
COMMIT_S = 0.002
# Compiled statements kept: a thousand nodes share this machine's memory.
STATEMENTS_MAX = 64
# What SQLite keeps beside the image, which is in memory already.
CACHE_KIB = 128

#: Told of every commit of a node, with its number.
Heard = Callable[[int, Committed], None]


class MemoryDb:
    """The store of one node: `ratoon_node.store.db.Db`; `image` is what it begins with."""

    def __init__(self, image: bytes = b"") -> None:
        self.db = sqlite3.connect(
            ":memory:", isolation_level=None, cached_statements=STATEMENTS_MAX
        )
        if image:
            self.db.deserialize(image)
        self.db.execute("PRAGMA secure_delete = ON")
        self.db.execute("PRAGMA temp_store = MEMORY")
        self.db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        schema.migrate(self.db)
        self._turn = asyncio.Lock()

    async def write(self, fn: Read[T], undone: Undone | None = None) -> T:
        """See `Db.write`."""
        async with self._turn:
            await asyncio.sleep(COMMIT_S)
            return transaction(self.db, fn, undone)

    async def read(self, fn: Read[T]) -> T:
        """See `Db.read`."""
        await asyncio.sleep(0)
        return fn(self.db)

    async def checkpoint(self) -> bool:
        """See `Db.checkpoint`: there is no log."""
        return True

    async def close(self) -> None:
        """See `Db.close`."""
        self.db.close()


def settings(name: str, provider: str, links_max: int, push_links: int) -> Settings:
    """What its operator sets; what is not named here is as the program has it."""
    return Settings(
        data_dir=Path("nowhere"),
        name=name,
        provider=provider,
        country="DE",
        public_addresses=(f"http://{name}.example",),
        links_max=links_max,
        push_links=push_links,
        signature_threads=1,
    )


class Host:
    """A machine with a node. `heard` is told of every commit."""

    def __init__(
        self, number: int, chosen: Settings, keys: Keys, image: bytes, lines: Lines, heard: Heard
    ) -> None:
        self.number = number
        self.name = chosen.name
        self.provider = chosen.provider
        self.account = keys.account
        self.alive = True
        self.db = MemoryDb(image)
        self._lines = lines
        self._spawner = Spawner(self._crashed)
        rng = random.Random(f"{lines.seed} {chosen.name}")
        clock = SimClock(lines.loop)
        runtime = Runtime(clock, rng, self._spawner, InlineExecutor())
        transport = lines.transport(chosen.name, chosen.provider)
        self.node: Node = assemble(chosen, runtime, self.db, keys, Policy.parse(b""), transport)
        publish = self.node.fanout.publish

        def published(commit: Committed) -> None:
            heard(number, commit)
            publish(commit)

        self.node.fanout.publish = published

    @property
    def links(self) -> int:
        """Open links of the node now."""
        return len(self.node.hub.neighbours)

    async def start(self) -> None:
        """Bring the node up and let others link with it."""
        await self.node.start()
        self._lines.listen(self.name, self._accept)

    def _accept(self, wire: Wire) -> None:
        self._spawner.spawn(self._take(wire), "host.accept")

    async def _take(self, wire: Wire) -> None:
        try:
            await self.node.hub.accept(wire)
        except NodeError:
            await wire.close()

    def _crashed(self, name: str, error: BaseException) -> None:
        """A task that ends in an exception ends the world: production would only log it."""
        if self.alive:
            self._lines.loop.call_exception_handler({"message": name, "exception": error})

    async def destroy(self) -> None:
        """The machine is gone with its disk, without a word to anybody."""
        self.alive = False
        self._lines.destroy(self.name)
        await self._spawner.cancel_all()
        await self.db.close()
