"""A network between simulated machines: connections that are late, stall, break or fall silent.

A connection keeps the order of its messages, as TCP does: what is lost comes late or breaks it.
Different connections overtake each other. A cut holds messages back until it is healed, one way
or both; whoever waits too long gives up by himself. A machine that loses power says nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ratoon_node.errors import NodeError
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import HANDSHAKE_MS_MAX
from tests.sim.trace import Trace

# Bytes on their way before the sender has to wait, as in a socket's buffers.
WINDOW_BYTES = 256 * 1024
# How long the end of a connection waits for the other side's word.
CLOSE_WAIT_S = 5.0

Accept = Callable[["SimWire"], None]


@dataclass
class Weather:
    """How the network is now. Times are seconds, chances are for one message."""

    delay_s: float = 0.02
    jitter_s: float = 0.02
    late_chance: float = 0.0
    late_s: float = 1.0
    reset_chance: float = 0.0


class Stream:
    """One direction of a connection."""

    def __init__(self, network: Network, way: tuple[str, str]) -> None:
        self.network = network
        self.way = way
        self.inbox: deque[bytes | None] = deque()
        self.held: deque[bytes | None] = deque()
        self.ready = asyncio.Event()
        self.room = asyncio.Event()
        self.waiting_bytes = 0
        self.broken = False
        self.deaf = False  # the reader's machine lost power
        self._last_s = 0.0

    def send(self, message: bytes | None) -> None:
        """Put a message (or None, the end) on its way."""
        loop = self.network.loop
        self.waiting_bytes += len(message or b"")
        # Never two at one time: the loop does not keep the order of equal ones.
        self._last_s = max(self._last_s + 1e-6, loop.time() + self.network.delay_s(message))
        loop.call_at(self._last_s, self._arrive, message)

    def _arrive(self, message: bytes | None) -> None:
        if self.held or self.way in self.network.cuts:
            self.held.append(message)
        else:
            self._deliver(message)

    def release(self) -> None:
        """The way is open again."""
        while self.held:
            self._deliver(self.held.popleft())

    def _deliver(self, message: bytes | None) -> None:
        if self.broken or self.deaf:
            return
        self.network.trace.carried("{}>{}".format(*self.way), message or b"")
        self.inbox.append(message)
        self.ready.set()

    def end(self) -> None:
        """Nothing moves here any more, and whoever waits is told."""
        self.broken = True
        self.held.clear()
        self.inbox.clear()
        self.ready.set()
        self.room.set()


class SimWire:
    """One end of a connection: `ratoon_node.peering.wire.Wire`."""

    def __init__(self, out: Stream, into: Stream) -> None:
        self.out = out
        self.into = into
        self.over = False
        self._ended_s: float | None = None

    async def send(self, message: bytes) -> None:
        """Write one message; waits while too much is under way."""
        while self.out.waiting_bytes > WINDOW_BYTES and not self.out.broken and not self.over:
            self.out.room.clear()
            await self.out.room.wait()
        if self.out.broken or self.over:
            raise ConnectionResetError("the connection is over")
        if self.out.network.breaks():
            self.out.network.reset(self)
            raise ConnectionResetError("reset by the network")
        self.out.send(message)

    async def receive(self) -> bytes | None:
        """The next message, or None at the end."""
        into = self.into
        while not into.inbox and not into.broken and not self.over:
            into.ready.clear()
            await into.ready.wait()
        if self.over or into.broken:
            return None
        message = into.inbox.popleft()
        if message is None:
            self.over = True
            return None
        into.waiting_bytes -= len(message)
        into.room.set()
        return message

    async def close(self) -> None:
        """Say the end, and wait a little for the other side to do so too."""
        if self.over or self.out.broken:
            self.over = True
            self.out.network.forget(self)
            return
        self.over = True
        self.out.send(None)
        self.out.room.set()
        self.into.ready.set()
        try:
            async with asyncio.timeout(CLOSE_WAIT_S):
                while not self.into.broken and None not in self.into.inbox:
                    self.into.ready.clear()
                    await self.into.ready.wait()
        except TimeoutError:
            pass
        self.out.network.forget(self)


class SimTransport:
    """A machine's way out: `ratoon_node.peering.wire.Transport`."""

    def __init__(self, network: Network, machine: str) -> None:
        self._network = network
        self._machine = machine

    async def dial(self, address: str) -> SimWire:
        """A wire to the machine at `address`. Raises `NodeError` when there is none in time."""
        return await self._network.dial(self._machine, address)

    async def close(self) -> None:
        """Nothing is held here."""


class Network:
    """All connections of a world."""

    def __init__(self, loop: asyncio.AbstractEventLoop, rng: random.Random, trace: Trace) -> None:
        self.loop = loop
        self.trace = trace
        self.weather = Weather()
        #: Ways (from, to) on which nothing arrives.
        self.cuts: dict[tuple[str, str], None] = {}
        self._rng = rng
        self._places: dict[str, str] = {}  # address → machine
        self._listening: dict[str, Accept] = {}
        self._wires: dict[SimWire, str] = {}  # each end with its machine

    # --- machines ------------------------------------------------------------------------

    def transport(self, machine: str) -> SimTransport:
        """What the node of a machine dials with."""
        return SimTransport(self, machine)

    def listen(self, machine: str, address: str, accept: Accept) -> None:
        """The machine is up; what old connections still send to it breaks them."""
        self._places[address] = machine
        self._listening[machine] = accept
        for wire in [wire for wire, at in self._wires.items() if wire.into.deaf and at == machine]:
            self.reset(wire)

    def lose(self, machine: str, silent: bool) -> None:
        """The machine is down. `silent`: without a word to those it is connected to."""
        self._listening.pop(machine, None)
        for wire in [wire for wire, at in self._wires.items() if at == machine]:
            wire.over = True
            wire.into.deaf = True
            wire.out.held.clear()
            if not silent:
                self.reset(wire)

    def delay_s(self, message: bytes | None) -> float:
        """How long a message takes now."""
        weather, rng = self.weather, self._rng
        delay_s = weather.delay_s + rng.random() * weather.jitter_s + len(message or b"") / 10e6
        while rng.random() < weather.late_chance:  # lost, and sent again
            delay_s += rng.uniform(0.2, 1.0) * weather.late_s
        return delay_s

    def breaks(self) -> bool:
        """Whether the connection breaks with this message."""
        return self._rng.random() < self.weather.reset_chance

    # --- connections ---------------------------------------------------------------------

    async def dial(self, machine: str, address: str) -> SimWire:
        """See `SimTransport.dial`."""
        until_s = self.loop.time() + HANDSHAKE_MS_MAX / 1000
        while True:
            await asyncio.sleep(2 * self.delay_s(None))
            there = self._places.get(address, "")
            ways = ((machine, there), (there, machine))
            if there in self._listening and not any(way in self.cuts for way in ways):
                return self._connect(machine, there)
            if self.loop.time() >= until_s:
                raise NodeError(Code.TIMEOUT, detail="dial: no answer")
            await asyncio.sleep(1)

    def _connect(self, machine: str, there: str) -> SimWire:
        forth, back = Stream(self, (machine, there)), Stream(self, (there, machine))
        near, far = SimWire(forth, back), SimWire(back, forth)
        self._wires[near] = machine
        self._wires[far] = there
        self._listening[there](far)
        return near

    def reset(self, wire: SimWire) -> None:
        """Both ends find the connection gone."""
        wire.out.end()
        wire.into.end()
        for end in [w for w in self._wires if w.out is wire.out or w.out is wire.into]:
            del self._wires[end]

    def forget(self, wire: SimWire) -> None:
        """This end is closed; when both are, nothing is left."""
        self._wires.pop(wire, None)

    # --- the state of the ways -----------------------------------------------------------

    def cut(self, ways: Iterable[tuple[str, str]]) -> None:
        """Nothing arrives on these ways from now on."""
        self.cuts.update(dict.fromkeys(ways))

    def heal(self) -> None:
        """Every way is open; what was held arrives, some of it to broken connections."""
        self.cuts.clear()
        for wire in list(self._wires):
            wire.out.release()

    @property
    def open_ends(self) -> int:
        """Ends of connections that somebody has not closed yet."""
        return len(self._wires)
