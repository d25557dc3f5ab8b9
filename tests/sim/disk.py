"""A node's store on a disk whose power can go: `ratoon_node.store.db.Db` in simulated time.

The functions are production's; each takes a moment, and a write another one behind, so that time
passes between a commit and its acknowledgement; others run between a read and the use of what it
found. Writes keep their order and reads overtake them, as with one writer's thread and several
readers'.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from ratoon_node.store.db import InlineDb, Read, Undone
from tests.node.powercut.vfs import Powercut

T = TypeVar("T")

# A disk that is not busy: most answers within this, and a sync about as long again.
ACCESS_S = 0.002


@cache
def empty_store() -> bytes:
    """The file of a store that was made and never used: the same for every machine."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty"
        made = InlineDb(path)
        made._fold.fold(made._db)
        made._db.close()
        made._fold.close()
        return path.read_bytes()


class SimDb:
    """The store of one life of a machine. `lost`: called once when the power went mid-write."""

    def __init__(
        self, path: Path, power: Powercut, rng: random.Random, lost: Callable[[], None]
    ) -> None:
        self._db = InlineDb(path, vfs=power.vfs)
        self._power = power
        self._rng = rng
        self._lost = lost
        self._turn = asyncio.Lock()
        #: How many times slower than usual the disk is.
        self.slowness = 1.0

    async def _moment(self) -> None:
        await asyncio.sleep(self._rng.random() * ACCESS_S * self.slowness)

    async def write(self, fn: Read[T], undone: Undone | None = None) -> T:
        """See `Db.write`."""
        async with self._turn:
            await self._moment()
            try:
                result = await self._db.write(fn, undone)
            except sqlite3.OperationalError:
                await self._check_power()
                raise
            await self._check_power()
            await self._moment()
            return result

    async def read(self, fn: Read[T]) -> T:
        """See `Db.read`."""
        await self._moment()
        result = await self._db.read(fn)
        await asyncio.sleep(0)
        return result

    async def checkpoint(self) -> bool:
        """See `Db.checkpoint`."""
        async with self._turn:
            await self._moment()
            try:
                done = await self._db.checkpoint()
            except sqlite3.OperationalError:
                await self._check_power()
                raise
            await self._check_power()
            return done

    async def _check_power(self) -> None:
        """Without power nothing ever comes back from here."""
        if self._power.survivors is not None:
            self._lost()
            await asyncio.Event().wait()

    async def close(self) -> None:
        """See `Db.close`."""
        await self._db.close()

    def shut(self) -> None:
        """Close at once: a world that broke down has no time for more."""
        self._db._db.close()
        self._db._fold.close()

    def peek(self, fn: Read[T]) -> T:
        """For checkers: what is stored now, without time passing."""
        return fn(self._db._db)
