"""A node's core on a real store, and people who write to it: what many tests begin with."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ratoon_node.app import Node, assemble
from ratoon_node.config import Settings
from ratoon_node.operate.keys import make_keys
from ratoon_node.peering.wire import SocketTransport
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import Clock as AnyClock
from ratoon_node.runtime import Runtime, Spawner, SystemClock, ThreadExecutor
from ratoon_node.store import listed
from ratoon_node.store.db import AioDb
from ratoon_node.store.listed import Listed
from ratoon_protocol import kinds, phrase
from ratoon_protocol.author import Author, Chain, Draft, capability_set, device_row, new_account
from ratoon_protocol.keys import AgreementKey, SigningKey
from ratoon_protocol.kinds import Capability, Lane
from ratoon_protocol.record import Record

EVERYTHING = capability_set(
    [
        Capability.WRITE,
        Capability.PROFILE,
        Capability.ERASE,
        Capability.PRIVATE,
        Capability.MODERATE,
    ]
)


class Clock(SystemClock):
    """The machine's clock, moved by hand where a test says so."""

    def __init__(self) -> None:
        self.offset_ms = 0
        self._stopped_ms: int | None = None
        self._standing_ms: int | None = None

    def stop(self) -> None:
        """From now on time passes by `offset_ms` alone, for what holds within one second; and
        durations are 0, for what a moment more would change.
        """
        self._stopped_ms = super().now_ms()
        self._standing_ms = super().monotonic_ms()

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() if self._standing_ms is None else self._standing_ms

    def now_ms(self) -> int:
        base_ms = super().now_ms() if self._stopped_ms is None else self._stopped_ms
        return base_ms + self.offset_ms


@dataclass
class Person:
    """An account with one device, and the keys on its paper."""

    account: bytes
    genesis: Record
    paper: SigningKey
    author: Author
    rng: random.Random
    clock: Clock

    def sign(self, kind: int, body: dict, target: bytes | None = None) -> Record:
        return self.author.sign(kind, body, self.clock.now_ms(), self.rng.randbytes(16), target)

    def post(self, text: str, **more: object) -> Record:
        return self.sign(kinds.POST, {"text": text, **more})

    def paper_author(self) -> Author:
        chain = Chain(1, self.genesis.id, self.genesis.header.created_ms)
        return Author(self.author.network, self.account, self.paper, None, {Lane.LOG: chain})


def movable(clock: AnyClock) -> Clock:
    """A node's clock, as the one that tests move."""
    assert isinstance(clock, Clock)
    return clock


def person(
    network: bytes, rng: random.Random, clock: AnyClock, homes: Sequence[bytes] = ()
) -> Person:
    entropy = rng.randbytes(32)
    paper = phrase.account_key(entropy)
    device = SigningKey.from_seed(rng.randbytes(32))
    agreement = AgreementKey(rng.randbytes(32))
    row = device_row(network, paper.public, device, agreement.public, EVERYTHING)
    account, genesis = new_account(
        network, paper, Draft(devices=[row], homes=[*homes]), clock.now_ms(), rng.randbytes(16)
    )
    author = Author(network, account, device, phrase.slot_key(entropy))
    return Person(account, genesis, paper, author, rng, movable(clock))


def runtime(clock: Clock, rng: random.Random) -> Runtime:
    return Runtime(
        clock=clock,
        random=rng,
        spawner=Spawner(),
        threads=ThreadExecutor(2, "workers"),
    )


@asynccontextmanager
async def running(
    folder: Path,
    seed: int = 1,
    policy: str = "",
    *,
    now_ms: int | None = None,
    vfs: str | None = None,
    **settings: object,
) -> AsyncIterator[Node]:
    """A node with its store in `folder`; the same folder and seed are the same node again.

    `now_ms`: when it lives, if not now; `vfs`: the disk under its store.
    """
    rng = random.Random(seed)
    clock = Clock()
    if now_ms is not None:
        clock.offset_ms = now_ms - clock.now_ms()
    chosen = Settings(data_dir=folder, **settings)  # type: ignore[arg-type]
    keys = make_keys(chosen.network_bytes, rng.randbytes(32), rng, 1_700_000_000_000)
    db = await AioDb.open(folder / "ratoon.sqlite", vfs=vfs)
    transport = SocketTransport(private=True)
    node = assemble(chosen, runtime(clock, rng), db, keys, Policy.parse(policy.encode()), transport)
    await node.start()
    await node.sets.loaded.wait()
    try:
        yield node
    finally:
        await node.close()


async def listed_newest(node: Node, limit: int = 10) -> list[Listed]:
    """What timelines may list, the newest first."""

    def look(db: sqlite3.Connection) -> list[Listed]:
        numbers = [place.n for place in listed.places_before(db, 2**53, limit)]
        found = {one.row.n: one for one in listed.listed_numbers(db, numbers)}
        return [found[n] for n in numbers]

    return await node.db.read(look)


async def join(node: Node, who: Person) -> None:
    """Make the node a home of an account."""
    from ratoon_node.ingest.submission import Origin, Way

    await node.own.host(who.account)
    outcomes = await node.gate.submit([who.genesis.encode()], Origin(Way.API))
    assert outcomes[0].code == "stored", outcomes
