"""Brings a made-up network into a node's store, through the gate like everything else.

It goes on where it stopped: the stream is made again from the start, and what was taken in the
last time is passed over.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import msgpack

from ratoon_node.ingest.gate import Gate
from ratoon_node.ingest.ledger import Ledger
from ratoon_node.ingest.submission import Origin, Outcome, Way
from ratoon_node.operate.disk import write_private
from ratoon_node.operate.keys import Keys
from ratoon_node.operate.own import SELF
from ratoon_node.operate.seed.people import NODES, Plan
from ratoon_node.operate.seed.stream import BATCH, Batch, Cast, End, Guest, produce
from ratoon_node.store import read
from ratoon_node.store.db import Db
from ratoon_protocol import kinds
from ratoon_protocol.author import Author, Chain
from ratoon_protocol.errors import Code, RatoonError
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.kinds import Lane
from ratoon_protocol.limits import SALT_BYTES

STATE = "seed.json"
# Batches in the gate at once: one that is written, one whose signatures are checked, one to come.
UNDER_WAY = 4
# Batches after which it is noted how far it came.
NOTED_EVERY = 10
# What became of a record that was taken in: another value may have its place.
_TAKEN = frozenset({Code.STORED, Code.DUPLICATE, Code.SUPERSEDED, Code.DROPPED})


class SeedError(RatoonError):
    """The store cannot be filled; the message says why."""


@dataclass
class State:
    """What is filled in, kept beside the store. `done`: records of the stream that are stored.

    `version` is that of the stream: another one makes other records from the same words.
    """

    version: int
    network: str
    seed: str
    records: int
    accounts: int
    days: int
    until_ms: int
    done: int = 0
    usual: str = ""
    many: str = ""
    thread: str = ""
    digest: str = ""

    @property
    def plan(self) -> Plan:
        """What decides the records."""
        return Plan(
            bytes.fromhex(self.network),
            self.seed,
            self.records,
            self.accounts,
            self.days,
            self.until_ms,
        )

    def save(self, folder: Path) -> None:
        """Write it down."""
        write_private(folder / STATE, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> State | None:
        """What was written down; None if nothing was. Raises `SeedError`."""
        try:
            return cls(**json.loads((folder / STATE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise SeedError(f"{folder / STATE} cannot be read: {error}") from error


class Parts(Protocol):
    """What of a node is needed."""

    gate: Gate
    ledger: Ledger
    db: Db


class Filling:
    """One run. `admitted` tells the node that the operator added others."""

    def __init__(
        self,
        node: Parts,
        keys: Keys,
        state: State,
        folder: Path,
        admitted: Callable[[], Awaitable[None]],
    ) -> None:
        self._gate = node.gate
        self._ledger = node.ledger
        self._db = node.db
        self._keys = keys
        self._state = state
        self._folder = folder
        self._admitted = admitted

    async def run(self, advance: Callable[[int], None]) -> None:
        """Fill the store; `advance` is told how many records more are in it.

        Raises `SeedError` if the gate refuses a record.
        """
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(
            target=produce, args=(theirs, self._state.plan, self._keys.account), daemon=True
        )
        await asyncio.to_thread(child.start)
        theirs.close()
        try:
            await self._take(mine, advance)
        finally:
            mine.close()
            await asyncio.to_thread(child.join)

    async def _take(self, pipe: Connection, advance: Callable[[int], None]) -> None:
        cast = Cast(*await _received(pipe))
        guests = [Guest(*guest) for guest in cast.guests]
        self._state.usual, self._state.many = cast.usual.hex(), cast.many.hex()
        await self._submit([self._keys.genesis], SELF)
        for node, (_, provider, country) in zip(cast.nodes, NODES, strict=True):
            await self._ledger.add_peer(node, None, provider, country)
        await self._admitted()
        await self._host(guests, advance)
        end = await self._feed(pipe, advance)
        self._state.thread, self._state.digest = end.thread.hex(), end.digest.hex()
        self._state.save(self._folder)

    async def _host(self, guests: Sequence[Guest], advance: Callable[[int], None]) -> None:
        """Say whom this node is a home of, each from the day on which they came."""
        own = self._keys.account

        def known(db: sqlite3.Connection) -> tuple[dict[Lane, Chain], set[bytes]]:
            account = read.account(db, own)
            heads = read.heads(db, account.n) if account else []
            device = SigningKey.from_seed(self._keys.device_seed).public
            chains = {
                Lane(head.lane): Chain(head.seq, head.id, head.created_ms)
                for head in heads
                if head.key == device
            }
            return chains, {guest.account for guest in guests if own in read.hosts(db, guest[0])}

        chains, hosted = await self._db.read(known)
        advance(len(hosted))
        author = Author(
            self._keys.network,
            own,
            SigningKey.from_seed(self._keys.device_seed),
            self._keys.slot_key,
            chains,
        )
        new = [guest for guest in guests if guest.account not in hosted]
        for at in range(0, len(new), BATCH):
            signed = [
                author.sign(
                    kinds.HOSTING,
                    {"state": 1},
                    guest.joined_ms,
                    _salt(self._state.seed, guest.account),
                    guest.account,
                ).encode()
                for guest in new[at : at + BATCH]
            ]
            await self._submit(signed, SELF)
            advance(len(signed))

    async def _feed(self, pipe: Connection, advance: Callable[[int], None]) -> End:
        """Everything else, a few batches at a time and in order."""
        under_way: deque[tuple[int, asyncio.Task[None]]] = deque()
        passed = batches = 0

        async def finish() -> None:
            nonlocal batches
            count, task = under_way.popleft()
            await task
            self._state.done += count
            batches += 1
            if batches % NOTED_EVERY == 0:
                self._state.save(self._folder)
            advance(count)

        done_before = self._state.done
        try:
            while isinstance(batch := _part(await _received(pipe)), Batch):
                if passed + len(batch.records) <= done_before:
                    passed += len(batch.records)
                    advance(len(batch.records))
                    continue
                task = asyncio.create_task(self._store(batch))
                under_way.append((len(batch.records), task))
                if len(under_way) >= UNDER_WAY:
                    await finish()
            while under_way:
                await finish()
        finally:
            for _, task in under_way:
                task.cancel()
            self._state.save(self._folder)
        return batch

    async def _store(self, batch: Batch) -> None:
        """Guests publish here; of the others this node learns as from a bundle."""
        both = list(zip(batch.records, batch.here, strict=True))
        await asyncio.gather(
            self._submit([one for one, here in both if here], Origin(Way.API)),
            self._submit([one for one, here in both if not here], Origin(Way.BUNDLE)),
        )

    async def _submit(self, records: Sequence[bytes], origin: Origin) -> None:
        for outcome in await self._gate.submit(records, origin):
            if outcome.code not in _TAKEN:
                raise SeedError(_refused(outcome))


def _salt(seed: str, account: bytes) -> bytes:
    """The same for the same guest, however often a run was cut short."""
    return hashlib.sha256(seed.encode() + account).digest()[:SALT_BYTES]


def _part(found: list[Any]) -> Batch | End:
    """One message of the stream: lists make a batch, single values the end."""
    return Batch(*found) if isinstance(found[0], list) else End(*found)


def _refused(outcome: Outcome) -> str:
    which = outcome.id.hex() if outcome.id else "a record"
    return f"the node refuses {which}: {outcome.code.value} {outcome.detail}".rstrip()


async def _received(pipe: Connection) -> list[Any]:
    """The next message of the process that signs. Raises `SeedError` if that has ended."""
    try:
        found: list[Any] = msgpack.unpackb(await asyncio.to_thread(pipe.recv_bytes))
    except EOFError:
        raise SeedError("the process that makes the records has ended") from None
    return found
