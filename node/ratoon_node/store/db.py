"""Whole functions on a SQLite connection: one writer that also checkpoints, several readers.

aiosqlite hops to its thread at every call, so a batch is handed over as one function and pays
one hop. The simulation runs the same functions inline.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

import aiosqlite

from ratoon_node.store import fold, schema
from ratoon_node.store.failing import Outage
from ratoon_node.store.fold import Fold

T = TypeVar("T")
Read = Callable[[sqlite3.Connection], T]
Undone = Callable[[], None]

# Pages kept by the writer: the hot inner pages of five indexes at a million records.
WRITER_CACHE_KIB = 32 * 1024
# Pages kept by each reader; the operating system's cache does the rest.
READER_CACHE_KIB = 8 * 1024
# Compiled statements kept a connection: more than the program has.
STATEMENTS_MAX = 256

# Commits on end after which a store that failed is said to work again: a disk that is nearly full
# takes small ones between large ones.
WRITES_CALM = 50


class Replayable(Generic[T]):
    """A function whose transaction follows from what is on the disk: it may get there with the next
    one that does not, which syncs the whole log. What a power cut takes of it is made again.
    """

    def __init__(self, fn: Read[T]) -> None:
        self._fn = fn
        functools.update_wrapper(self, fn)  # in logs it has its name

    def __call__(self, db: sqlite3.Connection) -> T:
        """Run it."""
        return self._fn(db)


class Db(Protocol):
    """Where functions run. `write` is one transaction: all of it or nothing."""

    async def write(self, fn: Read[T], undone: Undone | None = None) -> T:
        """Run `fn` in a transaction; returns after the commit reached the disk, unless it is
        `Replayable`.

        `undone` is called in the writer's own thread if the transaction did not commit, before
        anything else is written: whoever remembers what `fn` did forgets it there.
        """
        ...

    async def read(self, fn: Read[T]) -> T:
        """Run `fn` on a connection that cannot write."""
        ...

    async def checkpoint(self) -> bool:
        """Fold the log back and cut it to nothing, so that what was erased is in no file (see
        `fold`); False if a reader still needs it.
        """
        ...

    async def close(self) -> None:
        """Finish what runs and close every connection."""
        ...


def _uri(path: Path, vfs: str | None, read_only: bool) -> str:
    options = ["mode=ro"] if read_only else []
    if vfs is not None:
        options.append(f"vfs={vfs}")
    return f"{path.absolute().as_uri()}?{'&'.join(options)}"


def _prepare_writer(db: sqlite3.Connection) -> None:
    fold.prepare(db)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
    schema.migrate(db)


def _prepare_reader(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA query_only = ON")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")


def transaction(db: sqlite3.Connection, fn: Read[T], undone: Undone | None = None) -> T:
    """`fn` between BEGIN and COMMIT; any exception undoes all of it."""
    try:
        db.execute("BEGIN IMMEDIATE")
        result = fn(db)
        db.execute("COMMIT")
    except BaseException:
        if undone is not None:
            undone()
        if db.in_transaction:  # a full disk may have rolled back by itself
            db.execute("ROLLBACK")
        raise
    return result


def _sync_next(db: sqlite3.Connection, fn: Read[T], before: bool) -> bool:
    """Have the commit of `fn` wait for the disk, or not, as the one before did; whether it does."""
    synced = not isinstance(fn, Replayable)
    if synced is not before:
        db.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
    return synced


class AioDb:
    """The production engine: aiosqlite's threads, one a connection."""

    def __init__(self, writer: aiosqlite.Connection, fold_: Fold) -> None:
        self._writer = writer
        self._fold = fold_
        self._readers: list[aiosqlite.Connection] = []
        self._outage = Outage("store_cannot_write", WRITES_CALM)
        #: Whether a commit waits for the disk.
        self._synced = True
        #: Functions that wait for each reader, or run on it.
        self._reading = Counter[int]()

    @classmethod
    async def open(cls, path: Path, readers: int = 2, vfs: str | None = None) -> AioDb:
        """Open (or make) the database at `path`, bring its schema up to date, start readers."""
        writer = await aiosqlite.connect(
            _uri(path, vfs, read_only=False),
            uri=True,
            isolation_level=None,
            cached_statements=STATEMENTS_MAX,
        )
        opened = cls(writer, Fold(path))
        try:
            await _run(writer, _prepare_writer)
            await _run(writer, opened._fold.begin)
            for _ in range(readers):
                reader = await aiosqlite.connect(
                    _uri(path, vfs, read_only=True),
                    uri=True,
                    isolation_level=None,
                    cached_statements=STATEMENTS_MAX,
                )
                opened._readers.append(reader)
                await _run(reader, _prepare_reader)
        except BaseException:
            await opened.close()  # or its threads keep the process from ending
            raise
        return opened

    async def write(self, fn: Read[T], undone: Undone | None = None) -> T:
        """See `Db.write`."""

        def run(db: sqlite3.Connection) -> T:
            try:
                self._synced = _sync_next(db, fn, self._synced)
                result = transaction(db, fn, undone)
            except sqlite3.Error as error:
                self._outage.failed(error)
                raise
            self._outage.over()
            self._fold.committed(db)
            return result

        return await _run(self._writer, run)

    async def read(self, fn: Read[T]) -> T:
        """See `Db.read`; on the reader with the least to do, so that none waits for a long one."""
        reader = min(range(len(self._readers)), key=self._reading.__getitem__)
        self._reading[reader] += 1
        try:
            return await _run(self._readers[reader], fn)
        finally:
            self._reading[reader] -= 1

    async def checkpoint(self) -> bool:
        """See `Db.checkpoint`."""
        return await _run(self._writer, self._fold.fold)

    async def close(self) -> None:
        """Finish what runs, fold the log, close. The last connection to close folds what is left
        in SQLite's way, unless it cannot write; so where the disk fails, a reader is the last.
        """
        for reader in self._readers:
            await _run(reader, _finish)
        folded = False
        with contextlib.suppress(sqlite3.Error):  # the next start does it
            folded = await _run(self._writer, self._fold.fold)
        readers, writer = self._readers, self._writer
        for connection in [*readers, writer] if folded else [writer, *readers]:
            await connection.close()
        self._fold.close()


def _finish(_: sqlite3.Connection) -> None:
    """Runs on a connection after all that was asked of it before."""


async def _run(connection: aiosqlite.Connection, fn: Read[T]) -> T:
    # aiosqlite offers one call a statement in public; `_execute` is what those are made of and
    # takes any function, which is what makes a batch cost one hop and not hundreds.
    execute = cast("Callable[[Read[T], sqlite3.Connection], Awaitable[T]]", connection._execute)
    return await execute(fn, connection._conn)


class InlineDb:
    """The simulation's engine: the same functions, at once, on one connection."""

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        self._db = sqlite3.connect(
            _uri(path, vfs, read_only=False),
            uri=True,
            isolation_level=None,
            cached_statements=STATEMENTS_MAX,
        )
        self._fold = Fold(path)
        self._synced = True
        try:
            _prepare_writer(self._db)
            self._fold.begin(self._db)
        except BaseException:
            self._db.close()
            self._fold.close()
            raise

    async def write(self, fn: Read[T], undone: Undone | None = None) -> T:
        """See `Db.write`."""
        self._synced = _sync_next(self._db, fn, self._synced)
        result = transaction(self._db, fn, undone)
        self._fold.committed(self._db)
        return result

    async def read(self, fn: Read[T]) -> T:
        """See `Db.read`."""
        return fn(self._db)

    async def checkpoint(self) -> bool:
        """See `Db.checkpoint`."""
        return self._fold.fold(self._db)

    async def close(self) -> None:
        """Close the one connection."""
        with contextlib.suppress(sqlite3.Error):
            self._fold.fold(self._db)
        self._db.close()
        self._fold.close()
