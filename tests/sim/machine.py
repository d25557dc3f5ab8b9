"""A machine with one node on it: it starts, loses power at any moment, starts again, is destroyed.

What survives is the key file and what the disk had synced. Everything that runs on a machine is a
task of its node's spawner, the requests of clients too, so that all of it ends with the power.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ratoon_node.app import Node, assemble
from ratoon_node.config import Settings
from ratoon_node.errors import NodeError
from ratoon_node.operate.own import make_keys
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import Runtime, Spawner
from ratoon_node.store.db import Read
from tests.node.powercut.disk import Disk, write_out
from tests.node.powercut.vfs import Powercut
from tests.sim.disk import SimDb
from tests.sim.loop import BEGIN_MS, InlineExecutor, SimClock
from tests.sim.network import Network, SimWire
from tests.sim.trace import Trace

T = TypeVar("T")

# More disk operations than any world has.
NEVER = 2**62


class MachineDown(Exception):
    """The machine is off, or went off during the request: nobody knows what became of it."""


@dataclass(frozen=True)
class Site:
    """Where a machine stands, and how its node is set."""

    name: str
    provider: str
    country: str
    skew_ms: int
    push_links: int
    queue_bytes_max: int

    @property
    def address(self) -> str:
        """Where other nodes dial."""
        return f"http://{self.name}.example"


@dataclass
class Life:
    """A machine from one start to the next loss of power."""

    number: int
    folder: Path
    power: Powercut
    db: SimDb
    node: Node
    spawner: Spawner

    def put_away(self) -> None:
        """Take the disk out; SQLite keeps pointers to its shim, so only the content can go."""
        self.power.close()
        self.power.disk = Disk()

    def calm(self) -> None:
        """The disk is fast, and no fault lies in wait for it any more."""
        self.db.slowness = 1
        self.power.fail(0, nth=NEVER)
        self.power.cut_after(NEVER, random.Random(0))


class Machine:
    """One machine. `tell` hears of every loss of power that came in the middle of a write."""

    def __init__(self, site: Site, seed: int, folder: Path, network: Network, trace: Trace) -> None:
        self.site = site
        self.name = site.name
        self.clock = SimClock(network.loop, site.skew_ms)
        self.destroyed = False
        self.life: Life | None = None
        #: Set when the power went in the middle of a write, until somebody clears the mess.
        self.lost = asyncio.Event()
        self.booted = asyncio.Event()
        self._seed = seed
        self._folder = folder
        self._network = network
        self._trace = trace
        self._lives = 0
        rng = self._rng("keys")
        self._settings = Settings(
            data_dir=folder,
            name=site.name,
            provider=site.provider,
            country=site.country,
            public_addresses=(site.address,),
            push_links=site.push_links,
            link_queue_bytes_max=site.queue_bytes_max,
            signature_threads=1,
        )
        entropy = rng.randbytes(32)
        self.keys = make_keys(self._settings.network_bytes, entropy, rng, BEGIN_MS)
        self.account = self.keys.account

    @property
    def up(self) -> bool:
        """Whether requests have a chance."""
        return self.life is not None and self.booted.is_set()

    @property
    def node(self) -> Node:
        """The node that runs now. Raises `MachineDown`."""
        if self.life is None:
            raise MachineDown(self.name)
        return self.life.node

    def _rng(self, what: str) -> random.Random:
        return random.Random(f"{self._seed} {self.name} {what}")

    # --- power ---------------------------------------------------------------------------

    def start(self) -> None:
        """Switch on with what the disk holds; `booted` is set once the node is up."""
        assert self.life is None, "only a machine that is off is started"
        assert not self.destroyed, "what is destroyed stays so"
        self._lives += 1
        self.lost.clear()
        number = self._lives
        folder = self._folder / f"{self.name}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        rng = self._rng(f"life {number}")
        power = Powercut()
        db = SimDb(folder / "ratoon.sqlite", power, random.Random(rng.random()), self.lost.set)
        spawner = Spawner(self._crashed)
        runtime = Runtime(self.clock, random.Random(rng.random()), spawner, InlineExecutor())
        transport = self._network.transport(self.name)
        policy = Policy.parse(b"")
        node = assemble(self._settings, runtime, db, self.keys, policy, transport)
        self.life = Life(number, folder, power, db, node, spawner)
        spawner.spawn(self._boot(self.life), "machine.boot")

    async def _boot(self, life: Life) -> None:
        try:
            await life.node.start()
        except (NodeError, sqlite3.Error) as error:  # whoever runs it starts it again
            self._trace.say(f"{self.name} does not start: {type(error).__name__}")
            self.lost.set()
            return
        self._network.listen(self.name, self.site.address, self._accept)
        self._trace.say(f"{self.name} up, life {life.number}")
        self.booted.set()

    def _accept(self, wire: SimWire) -> None:
        life = self.life
        if life is None:
            return
        life.spawner.spawn(self._take(life.node, wire), "machine.accept")

    async def _take(self, node: Node, wire: SimWire) -> None:
        try:
            await node.hub.accept(wire)
        except NodeError:
            await wire.close()

    def _crashed(self, name: str, error: BaseException) -> None:
        """A task that ends in an exception ends the world: production would only log it."""
        if self.life is None or self.lost.is_set():
            return
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": f"{self.name}: {name}", "exception": error})

    async def crash(self, rng: random.Random, silent: bool) -> None:
        """The power goes, now or as it did in the middle of a write."""
        life = self.life
        if life is None:
            return
        self.life = None
        self.booted.clear()
        survivors = life.power.survivors
        if survivors is None:
            survivors = life.power.cut(rng)
        self._trace.say(f"{self.name} down{', silently' if silent else ''}")
        self._network.lose(self.name, silent)
        await self._end(life)
        if not self.destroyed:
            write_out(survivors, self._folder / f"{self.name}-{self._lives + 1}")

    async def _end(self, life: Life) -> None:
        """Clear the mess in this process: nothing of it reaches the surviving disk."""
        await life.spawner.cancel_all()
        life.power.survivors = None
        await life.db.close()
        life.put_away()
        shutil.rmtree(life.folder)

    async def destroy(self, rng: random.Random) -> None:
        """The provider takes the machine away, disk and all."""
        self.destroyed = True
        await self.crash(rng, silent=True)
        shutil.rmtree(self._folder / f"{self.name}-{self._lives + 1}", ignore_errors=True)

    async def stop(self) -> None:
        """The end of the world, in order."""
        life, self.life = self.life, None
        if life is not None:
            self._network.lose(self.name, silent=False)
            await life.node.close()
            life.put_away()

    def abandon(self) -> None:
        """Let go of the disk of a world that broke down."""
        if self.life is not None:
            self.life.power.survivors = None
            self.life.db.shut()
            self.life.put_away()
            self.life = None

    # --- use -----------------------------------------------------------------------------

    async def call(self, request: Callable[[Node], Coroutine[Any, Any, T]]) -> T:
        """What a client asks of the node. Raises `MachineDown`, or what the request raises."""
        life = self.life
        if life is None or not self.booted.is_set():
            raise MachineDown(self.name)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        task = life.spawner.spawn(_answer(request(life.node), answer), "machine.request")
        task.add_done_callback(lambda _: _hang_up(answer, self.name))
        return await answer

    def peek(self, fn: Read[T]) -> T:
        """What is stored now, for checkers. Raises `MachineDown`."""
        if self.life is None:
            raise MachineDown(self.name)
        return self.life.db.peek(fn)


async def _answer(work: Coroutine[Any, Any, T], answer: asyncio.Future[T]) -> None:
    try:
        result = await work
    except Exception as error:
        if not answer.done():
            answer.set_exception(error)
    else:
        if not answer.done():
            answer.set_result(result)


def _hang_up(answer: asyncio.Future[Any], name: str) -> None:
    if not answer.done():
        answer.set_exception(MachineDown(name))
