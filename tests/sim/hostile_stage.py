"""Three honest nodes, somebody who writes there, and one hostile machine that does one act.

    seen = perform(act, folder)      what the nodes did about it, and what it cost

The processor's time is measured outside of the world: it changes nothing in it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ratoon_node.ingest.submission import Origin, Way
from ratoon_node.store import read
from ratoon_protocol import kinds
from ratoon_protocol.errors import Code
from tests.sim import checks, hostile_checks
from tests.sim.hostile import Rogue
from tests.sim.hostile_acts import Act, settle
from tests.sim.hostile_kinds import ACTS
from tests.sim.hostile_line import Line
from tests.sim.loop import BEGIN_MS, SimLoop, run
from tests.sim.machine import Machine, Site
from tests.sim.network import Network
from tests.sim.notes import Broken
from tests.sim.trace import Trace

# What the person writes before, and how much of it is deleted again while the act goes on.
POSTS = 40
DELETED = 5
# How long a polite visit takes to learn everything.
VISIT_S = 3.0
# How long the honest ones may take to be equal again.
EQUAL_S_MAX = 180
#: Outcomes that say nothing was wrong with a record.
_WELCOME = {Code.STORED, Code.DUPLICATE, Code.SUPERSEDED, Code.WANTED}


class MeteredLoop(SimLoop):
    """Knows how much of the processor went to the nodes, and how much to who is hostile."""

    def __init__(self, seed: int, *, shuffle: bool = True) -> None:
        super().__init__(seed, shuffle=shuffle)
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        self._owners: WeakKeyDictionary[asyncio.Task[Any], str] = WeakKeyDictionary()

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **more: Any
    ) -> asyncio.Task[Any]:
        """See `SimLoop`; a task without a name belongs to whoever made it."""
        maker = asyncio.current_task(self) if self.is_running() else None
        task = super().create_task(coro, name=name, context=context, **more)
        if name is not None:
            owner = "hostile" if str(name).startswith("hostile.") else "node"
        else:
            owner = self._owners[maker] if maker is not None else "stage"
        self._owners[task] = owner
        return task

    def _step(self, handle: Any) -> None:
        task = getattr(handle._callback, "__self__", None)
        began_s = time.thread_time()
        super()._step(handle)
        if isinstance(task, asyncio.Task):
            self.cpu_s[self._owners[task]] += time.thread_time() - began_s


class CountingTrace(Trace):
    """Knows how many bytes arrived on every way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.bytes: Counter[str] = Counter()

    def carried(self, way: str, message: bytes) -> None:
        """See `Trace`."""
        super().carried(way, message)
        self.bytes[way] += len(message)


@dataclass(frozen=True)
class Scene:
    """One act and its circumstances.

    `dialled`: a node dials the hostile machine, not it a node; `everywhere`: all nodes are visited,
    one after the other, and the first is looked at.
    """

    act: type[Act]
    stay_s: float = 2.0
    dialled: bool = False
    everywhere: bool = False
    nodes: int = 3
    rounds: int = 5
    crowd: int = 40


@dataclass
class Seen:
    """What came of a scene, at the node that it was played to."""

    code: Code | None
    cut: bool
    shunned: bool
    liar: bool
    refused: dict[str, int]
    ended: dict[str, int]
    #: Records of the hostile machine's accounts that the node holds.
    held: int
    #: Figures: processor time of all nodes in a span of simulated time, and bytes.
    cpu_s: float = 0.0
    sent_bytes: int = 0
    heard_bytes: int = 0
    among_nodes_bytes: int = 0
    span_s: float = 0.0


class Stage:
    """See the module."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        self.scene = scene
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MeteredLoop), "a stage is measured"
        self.loop = loop
        self.trace = CountingTrace(loop)
        self.network = Network(loop, random.Random(1), self.trace)
        self.machines = [
            Machine(Site(name, provider, "CH", 0, 2, 1 << 20), 1, folder, self.network, self.trace)
            for name, provider in list(zip("abc", "PQR", strict=True))[: scene.nodes]
        ]
        kind = ACTS.get(scene.act.__name__, "polite")
        self.rogue = Rogue("h", kind, 1, self.network, self.trace, self.machines, False)
        self.rogue.rounds, self.rogue.crowd = scene.rounds, scene.crowd
        self.posts: list[bytes] = []
        self.gone: list[bytes] = []

    async def play(self) -> Seen:
        """All of it. Raises `Broken`."""
        await self.open()
        for machine in self.machines:  # whoever has not met it does not let it in
            await self.rogue.visit(machine, Act, VISIT_S)
        await self._delete()
        watching = self.loop.create_task(
            hostile_checks.watch(self.machines, [self.rogue], honest=True), name="stage.watch"
        )
        seen = await self._act()
        await self._settle_down()
        if watching.done():
            watching.result()
        watching.cancel()
        seen.held = self._held(self.machines[0])
        await self.close()
        return seen

    async def open(self) -> None:
        """The nodes know each other, and somebody has written."""
        for machine in self.machines:
            machine.start()
        for machine in self.machines:
            await machine.booted.wait()
        for one in self.machines:
            for other in self.machines:
                if one is not other:
                    site = other.site
                    await one.node.ledger.add_peer(
                        other.account, site.address, site.provider, site.country
                    )
        await asyncio.gather(*(machine.node.peers_changed() for machine in self.machines))
        await self._write()
        await asyncio.sleep(5)

    async def _write(self) -> None:
        home = self.machines[0].node
        network, rng = self.machines[0].keys.network, random.Random("somebody")
        self.person = settle(network, rng, BEGIN_MS, [home.own.account])
        await home.own.host(self.person.account)
        posts = [
            self.person.author.sign(kinds.POST, {"text": f"{at}"}, BEGIN_MS + at, rng.randbytes(16))
            for at in range(POSTS)
        ]
        self.posts = [post.id for post in posts]
        await self._publish([self.person.genesis, *posts])

    async def _publish(self, records: list[Any]) -> None:
        submit = self.machines[0].node.gate.submit
        outcomes = await submit([one.encode() for one in records], Origin(Way.API))
        assert {outcome.code for outcome in outcomes} == {Code.STORED}, outcomes

    async def _delete(self) -> None:
        """What was said and read is taken back."""
        self.gone, self.posts = self.posts[:DELETED], self.posts[DELETED:]
        body, now_ms = {"ids": self.gone}, self.rogue.now_ms()
        await self._publish([self.person.author.sign(kinds.DELETE, body, now_ms, bytes(16))])
        await asyncio.sleep(VISIT_S)

    async def _act(self) -> Seen:
        scene, node = self.scene, self.machines[0].node
        before, began_s, cpu_s = self._counts(), self.loop.time(), self.loop.cpu_s["node"]
        carried = Counter(self.trace.bytes)
        line = await (self._dialled() if scene.dialled else self._visited())
        await asyncio.sleep(2)  # both ends hang up, and the end is noted
        refused, ended = (now - then for now, then in zip(self._counts(), before, strict=True))
        carried = self.trace.bytes - carried
        peer = node.roster.peers.get(self.rogue.account)
        return Seen(
            code=line.bye,
            cut=line.cut,
            shunned=node.hub.shuns(self.rogue.account),
            liar=peer is not None and peer.lied,
            refused={code: n for code, n in refused.items() if code not in _WELCOME},
            ended=dict(ended),
            held=0,
            cpu_s=self.loop.cpu_s["node"] - cpu_s,
            sent_bytes=sum(size for way, size in carried.items() if way.startswith("h>")),
            heard_bytes=sum(size for way, size in carried.items() if way.endswith(">h")),
            among_nodes_bytes=sum(size for way, size in carried.items() if "h" not in way),
            span_s=self.loop.time() - began_s,
        )

    async def _visited(self) -> Line:
        line = await self.rogue.visit(self.machines[0], self.scene.act, self.scene.stay_s)
        for machine in self.machines[1:] if self.scene.everywhere else ():
            await self.rogue.visit(machine, self.scene.act, self.scene.stay_s)
        assert line is not None, "the node is up"
        return line

    async def _dialled(self) -> Line:
        """The node meets the hostile machine at its address."""
        self.rogue.welcome = self.scene.act
        self.rogue.listen()
        await self.machines[0].node.hub.meet(self.rogue.address)
        line = self.rogue.lines[-1]
        with suppress(TimeoutError):
            async with asyncio.timeout(self.scene.stay_s):
                await line.ended.wait()
        return line

    def _counts(self) -> tuple[Counter[str], Counter[str]]:
        """Outcomes of what came over links, and ends of links, at the node in question."""
        metrics = self.machines[0].node.metrics
        found: list[Counter[str]] = []
        for counter in (metrics.ingest_records, metrics.links_closed):
            samples = [one for family in counter.collect() for one in family.samples]
            found.append(
                Counter(
                    {
                        one.labels["code"]: int(one.value)
                        for one in samples
                        if one.name.endswith("_total")
                        and one.labels.get("origin") in (None, "link")
                    }
                )
            )
        return found[0], found[1]

    # --- afterwards ----------------------------------------------------------------------

    async def _settle_down(self) -> None:
        self.rogue.quiet = True
        for _ in range(EQUAL_S_MAX):
            difference = self._difference()
            if not difference:
                break
            await asyncio.sleep(1)
        else:
            raise Broken(f"not equal: {difference}")
        hostile_checks.check_forged(self.machines, [self.rogue])
        hostile_checks.check_conduct(self.machines, [self.rogue])
        self._check_posts()
        for machine in self.machines:
            linked = {one.account for one in self.machines} - {machine.account}
            if not linked <= machine.node.hub.neighbours.keys():
                raise Broken(f"{machine.name} lost a link to an honest node")

    def _difference(self) -> str:
        """As the sets of the honest are; above the allowance each may have taken in others."""
        return "" if self.scene.crowd > 500 else checks.difference(self.machines)

    def _check_posts(self) -> None:
        """All that was said and not taken back is here, everywhere, and nothing that was."""
        for machine in self.machines:
            rows = machine.peek(lambda db: read.by_ids(db, [*self.posts, *self.gone]))
            for id_ in self.posts:
                if id_ not in rows or rows[id_].payload is None:
                    raise Broken(f"{machine.name} lost a post")
            for id_ in self.gone:
                if id_ in rows and rows[id_].payload is not None:
                    raise Broken(f"{machine.name} shows a deleted post")

    def _held(self, machine: Machine) -> int:
        honest = {one.account for one in self.machines} | {self.person.account}
        accounts = machine.peek(
            lambda db: db.execute(
                "SELECT account.id FROM record JOIN account ON account.n = record.account"
            ).fetchall()
        )
        return sum(account not in honest for (account,) in accounts)

    async def close(self) -> None:
        """The end, in order."""
        await self.rogue.stop()
        for machine in self.machines:
            await machine.stop()


def perform(scene: Scene, folder: Path) -> Seen:
    """Play one scene. Raises `Broken` where a promise was not kept."""

    async def world() -> Seen:
        return await Stage(folder, scene).play()

    return run(world(), 1, loop_type=MeteredLoop)
