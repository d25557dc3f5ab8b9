"""A hostile machine: a member of the network with real keys and links, and bad manners.

    rogue = Rogue("h0", "forge", seed, network, trace, machines)
    rogue.listen()                          other nodes may dial it
    line = await rogue.visit(machine, act)  one link, one act, until it ends or is told to
    await rogue.live()                      one act of its kind after the other, until cancelled

Its tasks are called `hostile.…`, so that what they cost is not mistaken for a node's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from ratoon_node.config import Settings
from ratoon_node.errors import NodeError
from ratoon_node.operate.keys import make_keys
from ratoon_protocol import kinds
from ratoon_protocol.author import Author, Chain
from ratoon_protocol.errors import ProtocolError
from ratoon_protocol.frames import Intro
from ratoon_protocol.introduction import Own, Side
from ratoon_protocol.keys import SigningKey
from ratoon_protocol.kinds import Lane
from ratoon_protocol.record import Record, decode_record
from tests.sim.hostile_acts import Act, Resident, settle
from tests.sim.hostile_kinds import KINDS
from tests.sim.hostile_line import Hoard, Line
from tests.sim.loop import BEGIN_MS
from tests.sim.machine import Machine
from tests.sim.network import Network, SimWire
from tests.sim.trace import Trace

# Longest that it waits for something to steal.
BOOTY_S = 20
# How long it stays on one link, and away from all: short against pauses it is given.
STAY_S = (1, 5, 40)
AWAY_S = (0.5, 3, 10)


class Rogue:
    """One hostile machine of one kind; `targets` are the honest ones.

    `dialled`: its node record tells its address, so that others dial it by themselves.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        seed: int,
        network: Network,
        trace: Trace,
        targets: Sequence[Machine],
        dialled: bool = True,
    ) -> None:
        self.name = name
        self.kind = kind
        self.rng = random.Random(f"{seed} {name} {kind}")
        self.hoard = Hoard()
        self.targets = targets
        #: Ids that must be nowhere, with the act that made them; words that must be on no disk.
        self.forged: dict[bytes, str] = {}
        self.words: list[bytes] = []
        #: Introductions that others showed, by the name of their machine.
        self.intros: dict[str, Intro] = {}
        #: Nothing new of its own any more, so that others can become equal; the rest goes on.
        self.quiet = False
        #: How often an act does what it does, and how many accounts or connections make a crowd.
        self.rounds, self.crowd = 5, 40
        #: The act for who dials this machine; None draws one of its kind.
        self.welcome: type[Act] | None = None
        self.lines: list[Line] = []
        self._dialled = dialled
        self._transport = network.transport(name)
        self._network = network
        self._trace = trace
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._residents: dict[bytes, bytes] = {}  # account → the hosting record
        self._fork: Resident | None = None
        self._last: Resident | None = None
        self._faces: dict[str, Record] = {}
        self._found_keys()

    def _found_keys(self) -> None:
        settings = Settings()
        self.network = settings.network_bytes
        keys = make_keys(self.network, self.rng.randbytes(32), self.rng, BEGIN_MS)
        self.account = keys.account
        self._device = SigningKey.from_seed(keys.device_seed)
        self._slot_key = keys.slot_key
        self._author = Author(self.network, self.account, self._device, keys.slot_key)
        self.hoard.put(decode_record(keys.genesis))
        node = self.say(kinds.NODE, self._description(), b"")
        self.hoard.put(node)
        self.own = Own(self.account, (keys.genesis,), node.encode(), self._device)

    def _description(self, name: str = "") -> dict[str, Any]:
        return {
            "addresses": [self.address] if self._dialled else [],
            "admits": [],
            "country": "XX",
            "home_open": 0,
            "name": name or self.name,
            "network": "",
            "provider": "nowhere",
            "software": "hostile",
        }

    @property
    def address(self) -> str:
        """Where it can be dialled."""
        return f"http://{self.name}.example"

    def now_ms(self) -> int:
        """Its clock is right: a wrong one is no art."""
        return BEGIN_MS + round(self._network.loop.time() * 1000)

    def admitted(self) -> list[bytes]:
        """It lets everybody in."""
        return sorted({self.account, *(target.account for target in self.targets)})

    # --- links ---------------------------------------------------------------------------

    def listen(self) -> None:
        """Take links that others dial."""
        self._network.listen(self.name, self.address, self._accept)

    def _accept(self, wire: SimWire) -> None:
        act = self.welcome or self.rng.choice(KINDS[self.kind])
        peer = wire.out.way[1]
        self._spawn(self._talk(self._line(Side.ACCEPTOR, wire, peer), act), "accept")

    async def visit(self, target: Machine, act: type[Act], stay_s: float = 1e9) -> Line | None:
        """Dial a machine, do an act, and stay while it lasts; None if nobody answers."""
        try:
            wire = await self._transport.dial(target.site.address)
        except NodeError:
            return None
        line = self._line(Side.DIALER, wire, target.name)
        try:
            async with asyncio.timeout(stay_s):
                await self._talk(line, act)
        except TimeoutError:
            pass
        self._trace.say(f"{self.name} {act.__name__} at {target.name} {line.bye or 'no word'}")
        return line

    def _line(self, side: Side, wire: SimWire, peer: str) -> Line:
        line = Line(self.own, self.network, side, wire, self.rng, peer)
        self.lines.append(line)
        return line

    async def _talk(self, line: Line, act_of: type[Act]) -> None:
        act, doing = act_of(self, line), None
        line.introduction = act.introduction
        is_open = False
        try:
            await line.write()
            while (frames := await line.hear()) is not None:
                for frame in frames:
                    if isinstance(frame, Intro):
                        self.intros[line.peer] = frame
                    if is_open:
                        await act.take(frame)
                    elif await line.greet(frame, self.admitted(), self.now_ms()):
                        is_open = True
                        doing = self._spawn(self._do(act), "act")
                await asyncio.sleep(act.pause_s())
        except (OSError, ProtocolError):
            pass  # cut off in the middle
        finally:
            line.ended.set()
            if doing is not None:
                doing.cancel()
            await line.wire.close()

    async def _do(self, act: Act) -> None:
        with suppress(OSError):
            await act.run()

    async def repeat(self, peer: str, messages: Sequence[bytes]) -> None:
        """Say on a new connection what was said on another."""
        target = next((one for one in self.targets if one.name == peer), None)
        if target is None:
            return  # the copy of a machine that dialled this one: nobody has its address
        try:
            wire = await self._transport.dial(target.site.address)
            for message in messages:
                await wire.send(message)
            while await wire.receive() is not None:
                pass
            await wire.close()
        except (NodeError, OSError):
            pass

    async def storm(self, peer: str, count: int) -> None:
        """Many connections at once on which nothing is said."""
        await asyncio.gather(*(self.repeat(peer, ()) for _ in range(count)))

    # --- life ----------------------------------------------------------------------------

    def begin(self) -> None:
        """Live, beside the world."""
        self.listen()
        self._spawn(self.live(), "life")

    async def live(self) -> None:
        """Visit one machine after the other, until cancelled."""
        while True:
            await asyncio.sleep(self.rng.choice(AWAY_S))
            target, act = self.rng.choice(self.targets), self.rng.choice(KINDS[self.kind])
            if target.up:
                await self.visit(target, act, self.rng.choice(STAY_S))

    async def stop(self) -> None:
        """The end of the world."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=f"hostile.{name}")
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": task.get_name(), "exception": error})

    async def moment(self) -> None:
        """Let the wire breathe."""
        await asyncio.sleep(0.01)

    async def booty(self) -> list[bytes]:
        """Posts of others, as soon as there are any."""
        until_s = self._network.loop.time() + BOOTY_S
        while not (found := self.hoard.posts(but=self._residents)):
            if self._network.loop.time() > until_s:
                return []
            await asyncio.sleep(0.2)
        return found

    # --- what it signs -------------------------------------------------------------------

    def say(self, kind: int, body: dict[str, Any], target: bytes) -> Record:
        """A value of its own node account."""
        return self._author.sign(kind, body, self.now_ms(), self.rng.randbytes(16), target)

    def resident(self) -> Resident:
        """A new account that it hosts."""
        if self.quiet and self._last is not None:
            return self._last
        who = self._last = settle(self.network, self.rng, self.now_ms(), [self.account])
        hosting = self.say(kinds.HOSTING, {"state": 1}, who.account)
        self.hoard.put(who.genesis)
        self._residents[who.account] = self.hoard.put(hosting)
        return who

    def papers_of(self, account: bytes) -> list[bytes]:
        """What others must hold before they carry the account."""
        return [self._residents[account]]

    def two_faced(self) -> Resident:
        """The account that has other heads for other nodes."""
        if self._fork is None:
            self._fork = self.resident()
        return self._fork

    def face(self, peer: str) -> Record:
        """Its node record as `peer` gets it: the same place in the chain, other words."""
        if peer not in self._faces:
            chain = Chain(1, self.rng.randbytes(32), BEGIN_MS)
            twin = Author(
                self.network, self.account, self._device, self._slot_key, {Lane.LOG: chain}
            )
            body = self._description(f"{self.name} for {peer}")
            salt = self.rng.randbytes(16)
            self._faces[peer] = twin.sign(kinds.NODE, body, self.now_ms(), salt, b"")
        return self._faces[peer]
