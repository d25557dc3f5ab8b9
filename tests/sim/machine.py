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
from ratoon_node.operate.keys import Keys, make_keys
from ratoon_node.policy.engine import Policy
from ratoon_node.runtime import Runtime, Spawner
from ratoon_node.store.db import Read
from tests.node.powercut.disk import Disk, Survivors, write_out
from tests.node.powercut.vfs import Powercut
from tests.sim.disk import SimDb, empty_store
from tests.sim.loop import BEGIN_MS, InlineExecutor, SimClock
from tests.sim.network import Network, SimWire
from tests.sim.trace import Trace

T = TypeVar("T")

# How long a machine is off when nobody said how long.
OFF_S = 2.0
# How long an operator needs to see that a store cannot be opened, and to begin anew.
REBUILD_S = 10.0


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


STORE = "ratoon.sqlite"


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

    @property
    def store(self) -> Path:
        """The file of the database."""
        return self.folder / STORE


@dataclass(frozen=True)
class Outage:
    """How a machine is off. `meanwhile` is told the folder with what the disk still has."""

    silent: bool = False
    off_s: float = OFF_S
    meanwhile: Callable[[Path], None] | None = None


class Machine:
    """One machine. `watch` must run as long as it may lose its power.

    With `copy_of` it has the keys of another one.
    """

    def __init__(
        self,
        site: Site,
        seed: int,
        folder: Path,
        network: Network,
        trace: Trace,
        copy_of: Machine | None = None,
    ) -> None:
        self.site = site
        self.name = site.name
        self.clock = SimClock(network.loop, site.skew_ms)
        self.destroyed = False
        self.life: Life | None = None
        #: Set when the power went, until `watch` has cleared the mess.
        self.lost = asyncio.Event()
        #: How it is off next time.
        self.outage = Outage()
        #: Told when the store could not be opened and was begun anew.
        self.rebuilt: Callable[[], None] = lambda: None
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
        fresh = make_keys(self._settings.network_bytes, entropy, rng, BEGIN_MS)
        self.keys: Keys = copy_of.keys if copy_of is not None else fresh
        self.account = self.keys.account
        #: What its operator wants now.
        self.policy = Policy.parse(b"")

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

    @property
    def disk(self) -> Path:
        """Where the next life finds what the disk holds; only while it is off."""
        return self._folder / f"{self.name}-{self._lives + 1}"

    def start(self) -> None:
        """Switch on with what the disk holds; `booted` is set once the node is up.

        Raises `sqlite3.DatabaseError` if the store cannot be opened; the machine is off then.
        """
        assert self.life is None, "only a machine that is off is started"
        assert not self.destroyed, "what is destroyed stays so"
        self.lost.clear()
        self.clock.skew_ms = self.site.skew_ms  # as machines do at boot
        folder, number = self.disk, self._lives + 1
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / STORE).write_bytes(empty_store())
        rng = self._rng(f"life {number}")
        power = Powercut()
        try:
            db = SimDb(folder / STORE, power, random.Random(rng.random()), self.lost.set)
        except sqlite3.DatabaseError:
            power.close()
            raise
        self._lives = number
        spawner = Spawner(self._crashed)
        runtime = Runtime(self.clock, random.Random(rng.random()), spawner, InlineExecutor())
        transport = self._network.transport(self.name)
        node = assemble(self._settings, runtime, db, self.keys, self.policy, transport)
        self.life = Life(number, folder, power, db, node, spawner)
        spawner.spawn(self._boot(self.life), "machine.boot")

    async def _boot(self, life: Life) -> None:
        try:
            await life.node.start()
        except (NodeError, sqlite3.Error) as error:  # whoever runs it starts it again
            self._trace.say(f"{self.name} does not start: {error}")
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

    def lose_power(self, outage: Outage) -> None:
        """The power goes now; `watch` does the rest."""
        self.outage = outage
        self.lost.set()

    async def watch(self) -> None:
        """Whenever the power went: clear the mess, and switch on again in time. For ever."""
        while True:
            await self.lost.wait()
            outage, self.outage = self.outage, Outage()
            self.lost.clear()
            await self.crash(outage.silent)
            await asyncio.sleep(outage.off_s)
            if self.destroyed:
                return
            if outage.meanwhile is not None:
                outage.meanwhile(self.disk)
            await self._start_or_rebuild()

    async def is_up(self) -> None:
        """Return once it runs and is not about to lose its power."""
        while self.lost.is_set() or not self.booted.is_set():
            await self.booted.wait()
            await asyncio.sleep(0)

    async def _start_or_rebuild(self) -> None:
        try:
            self.start()
        except sqlite3.DatabaseError as error:
            self._trace.say(f"{self.name} cannot open its store: {error}")
            await asyncio.sleep(REBUILD_S)
            if not self.destroyed:
                shutil.rmtree(self.disk)
                self.rebuilt()
                self.start()

    def backup(self) -> Survivors:
        """A copy of the disk as it would be if the power went now. Raises `MachineDown`."""
        if self.life is None or self.life.power.survivors is not None:
            raise MachineDown(self.name)
        return self.life.power.cut(self._rng(f"backup {self.life.power.operations}"))

    async def crash(self, silent: bool) -> None:
        """The power is gone, as of now or as of the middle of a write."""
        life = self.life
        if life is None:
            return
        self.life = None
        self.booted.clear()
        survivors = life.power.survivors
        if survivors is None:
            survivors = life.power.cut(self._rng(f"crash {life.number}"))
        self._trace.say(f"{self.name} down{', silently' if silent else ''}")
        self._network.lose(self.name, silent)
        await self._end(life)
        if not self.destroyed:
            write_out(survivors, self.disk)

    async def _end(self, life: Life) -> None:
        """Clear the mess in this process: nothing of it reaches the surviving disk."""
        await life.spawner.cancel_all()
        life.power.survivors = None
        await life.db.close()
        life.put_away()
        shutil.rmtree(life.folder)

    async def destroy(self) -> None:
        """The provider takes the machine away, disk and all."""
        self.destroyed = True
        await self.crash(silent=True)
        shutil.rmtree(self.disk, ignore_errors=True)

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
        task = life.spawner.spawn(_answer(request, life.node, answer), "machine.request")
        task.add_done_callback(lambda _: _hang_up(answer, self.name))
        return await answer

    def peek(self, fn: Read[T]) -> T:
        """What is stored now, for checkers. Raises `MachineDown`."""
        if self.life is None:
            raise MachineDown(self.name)
        return self.life.db.peek(fn)


async def _answer(
    request: Callable[[Node], Coroutine[Any, Any, T]], node: Node, answer: asyncio.Future[T]
) -> None:
    try:
        result = await request(node)
    except Exception as error:
        if not answer.done():
            answer.set_exception(error)
    else:
        if not answer.done():
            answer.set_result(result)


def _hang_up(answer: asyncio.Future[Any], name: str) -> None:
    if not answer.done():
        answer.set_exception(MachineDown(name))
