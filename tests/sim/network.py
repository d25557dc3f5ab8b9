"""A network between simulated machines: connections that are late, stall, break or fall silent.

A connection keeps the order of its messages, as TCP does: what is lost comes late or breaks it.
Different connections overtake each other. A cut holds messages back until it is healed, one way
or both; whoever waits too long gives up by himself. A machine that loses power says nothing.

Somebody on the way may do what TCP never does: bring a message twice, change it, leave it out, or
dial a second time. Whoever reads a message that was brought twice or changed must end the link.

Every fault has a `Mark`, which is told when it touched a message.
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
from tests.sim.script import Mark
from tests.sim.trace import Trace

# Bytes on their way before the sender has to wait, as in a socket's buffers.
WINDOW_BYTES = 256 * 1024
# How long the end of a connection waits for the other side's word.
CLOSE_WAIT_S = 5.0

Accept = Callable[["SimWire"], None]
Way = tuple[str, str]


@dataclass(frozen=True)
class Weather:
    """How the network is, or what comes on top. Times are seconds, chances are for one message."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    late_chance: float = 0.0
    late_s: float = 1.0
    reset_chance: float = 0.0


#: A quiet day, everywhere.
FINE = Weather(delay_s=0.02, jitter_s=0.02)


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
        #: A second connection on which all that is sent here arrives too.
        self.echo: Stream | None = None
        #: What was brought twice or changed, until it is read.
        self.poison: bytes | None = None
        #: Somebody on the way changed what was sent: what follows proves nothing of its ends.
        self.tampered = False
        self._last_s = 0.0

    def send(self, message: bytes | None) -> None:
        """Put a message (or None, the end) on its way."""
        loop, network = self.network.loop, self.network
        self.waiting_bytes += len(message or b"")
        # Never two at one time: the loop does not keep the order of equal ones.
        start_s = max(self._last_s + 1e-6, loop.time() + network.delay_s(message))
        self._last_s = start_s + network.transfer_s(self.way, message)
        loop.call_at(self._last_s, self._arrive, message)
        if self.echo is not None:
            self.echo.send(message)

    def _arrive(self, message: bytes | None) -> None:
        if self.held or self.network.is_cut(self.way):
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
        for one in self.network.tampered(self, message):
            self.inbox.append(one)
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
        if message is into.poison:
            into.network.poisoned[self] = into.network.loop.time()
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
        #: What there is without any fault.
        self.weather = FINE
        #: Ways (from, to) on which nothing arrives, and because of what.
        self.cuts: dict[Way, list[Mark]] = {}
        #: Ends that read what was brought twice or changed, and when.
        self.poisoned: dict[SimWire, float] = {}
        self._weathers: dict[Mark, Weather] = {}
        self._slow: dict[Mark, tuple[str, int]] = {}
        self._tampers: dict[Mark, tuple[tuple[Way, ...], str]] = {}
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
        rng, usual = self._rng, self.weather
        delay_s = usual.delay_s + rng.random() * usual.jitter_s + len(message or b"") / 10e6
        for mark, weather in self._weathers.items():
            more_s = weather.delay_s + rng.random() * weather.jitter_s
            while rng.random() < weather.late_chance:  # lost, and sent again
                more_s += rng.uniform(0.2, 1.0) * weather.late_s
            mark.mattered |= more_s > 0
            delay_s += more_s
        return delay_s

    def transfer_s(self, way: Way, message: bytes | None) -> float:
        """How long a message keeps its connection busy."""
        busy_s = 0.0
        for mark, (machine, bytes_per_s) in self._slow.items():
            if machine in way:
                mark.mattered = True
                busy_s += len(message or b"") / bytes_per_s
        return busy_s

    def breaks(self) -> bool:
        """Whether the connection breaks with this message."""
        for mark, weather in self._weathers.items():
            if weather.reset_chance and self._rng.random() < weather.reset_chance:
                mark.mattered = True
                return True
        return False

    def is_cut(self, way: Way) -> bool:
        """Whether something holds back what is sent on a way."""
        for mark in self.cuts.get(way, ()):
            mark.mattered = True
        return way in self.cuts

    # --- connections ---------------------------------------------------------------------

    async def dial(self, machine: str, address: str) -> SimWire:
        """See `SimTransport.dial`."""
        until_s = self.loop.time() + HANDSHAKE_MS_MAX / 1000
        while True:
            await asyncio.sleep(2 * self.delay_s(None))
            there = self._places.get(address, "")
            cut = self.is_cut((machine, there)) | self.is_cut((there, machine))
            if there in self._listening and not cut:
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
        if self._takes_tamper((machine, there), "dialled twice"):
            forth.echo = Stream(self, (machine, there))
            ghost = SimWire(Stream(self, (there, machine)), forth.echo)
            self._wires[ghost] = there
            self._listening[there](ghost)
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

    # --- somebody on the way ---------------------------------------------------------------

    def _takes_tamper(self, way: Way, change: str) -> bool:
        for mark, (ways, wanted) in self._tampers.items():
            if wanted == change and way in ways:
                mark.mattered = True
                del self._tampers[mark]
                return True
        return False

    def tampered(self, stream: Stream, message: bytes | None) -> list[bytes | None]:
        """What arrives in the place of a message."""
        if not message or not self._tampers:
            return [message]
        if self._takes_tamper(stream.way, "dropped"):
            stream.tampered = True
            stream.waiting_bytes -= len(message)
            return []
        if self._takes_tamper(stream.way, "garbled"):
            stream.tampered = True
            at = self._rng.randrange(len(message))
            stream.poison = message[:at] + bytes([message[at] ^ 0x10]) + message[at + 1 :]
            return [stream.poison]
        if self._takes_tamper(stream.way, "twice"):
            stream.tampered = True
            stream.poison = bytes(bytearray(message))
            stream.waiting_bytes += len(message)
            return [message, stream.poison]
        return [message]

    # --- what faults do --------------------------------------------------------------------

    def cut(self, ways: Iterable[Way], mark: Mark) -> None:
        """Nothing arrives on these ways from now on."""
        for way in ways:
            self.cuts.setdefault(way, []).append(mark)

    def uncut(self, ways: Iterable[Way], mark: Mark) -> None:
        """Take that back; what was held arrives, some of it to broken connections."""
        for way in ways:
            marks = self.cuts[way]
            marks.remove(mark)
            if not marks:
                del self.cuts[way]
        for wire in list(self._wires):
            if wire.out.way not in self.cuts:
                wire.out.release()

    def begin_weather(self, weather: Weather, mark: Mark) -> None:
        """On top of what there is."""
        self._weathers[mark] = weather

    def end_weather(self, mark: Mark) -> None:
        """Take that back."""
        del self._weathers[mark]

    def slow(self, machine: str, bytes_per_s: int, mark: Mark) -> None:
        """Each connection of a machine carries so much each way."""
        self._slow[mark] = (machine, bytes_per_s)

    def unslow(self, mark: Mark) -> None:
        """Take that back."""
        del self._slow[mark]

    def tamper(self, ways: Iterable[Way], change: str, mark: Mark) -> None:
        """Change the next message (or dial) of one of these ways."""
        self._tampers[mark] = (tuple(ways), change)

    def break_between(self, one: str, other: str) -> None:
        """All connections of two machines break."""
        for wire in list(self._wires):
            if wire.out.way in ((one, other), (other, one)):
                self.reset(wire)

    def leave_alone(self, mark: Mark) -> None:
        """Take that back, if nothing came."""
        self._tampers.pop(mark, None)

    @property
    def open_ends(self) -> int:
        """Ends of connections that somebody has not closed yet."""
        return len(self._wires)
