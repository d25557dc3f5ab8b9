"""Connections between many simulated nodes: each with a delay of its own, and every byte counted.

Like `tests.sim.network`, without weather: what happens here is distance, a bounded bandwidth, and
machines that fall silent for good. Times are seconds of the world. A way has the delay of its two
providers, so that leaving one costs what it costs outside.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ratoon_node.errors import NodeError
from ratoon_protocol.errors import Code
from ratoon_protocol.limits import HANDSHAKE_MS_MAX

# One way inside a provider, and between two of them.
NEAR_S = 0.001
FAR_S = (0.010, 0.080)
JITTER = 0.1
# 100 Mbit/s.
BYTES_PER_S = 12_500_000
# Bytes under way before a sender has to wait, as in a socket's buffers.
WINDOW_BYTES = 256 * 1024

Accept = Callable[["Wire"], None]


class Wire:
    """One end of a connection: `ratoon_node.peering.wire.Wire`."""

    def __init__(self, lines: Lines, here: str, there: str, delay_s: float) -> None:
        self.here = here
        self.other: Wire
        self.dead = False  # its machine is gone, and nobody says so
        self.over = False
        self._lines = lines
        self._delay_s = delay_s
        self._inbox: deque[bytes | None] = deque()
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._under_way = 0
        self._last_s = 0.0
        self._to = there

    async def send(self, message: bytes) -> None:
        """See `Wire.send`."""
        while self._under_way > WINDOW_BYTES and not self.over:
            self._room.clear()
            await self._room.wait()
        if self.over:
            raise ConnectionResetError("the connection is over")
        self._under_way += len(message)
        self._lines.count(self.here, len(message))
        self._put(message)

    def _put(self, message: bytes | None) -> None:
        lines = self._lines
        delay_s = (
            self._delay_s * (1 + JITTER * lines.rng.random()) + len(message or b"") / BYTES_PER_S
        )
        # Never two at one time: the loop does not keep the order of equal ones.
        self._last_s = max(self._last_s + 1e-6, lines.loop.time() + delay_s)
        lines.loop.call_at(self._last_s, self.other.arrive, message)

    def arrive(self, message: bytes | None) -> None:
        """A message of the other end is here; a dead machine takes nothing and says nothing."""
        if not self.dead and not self.over:
            self._inbox.append(message)
            self._ready.set()

    async def receive(self) -> bytes | None:
        """See `Wire.receive`."""
        while not self._inbox and not self.over:
            self._ready.clear()
            await self._ready.wait()
        if self.over:
            return None
        message = self._inbox.popleft()
        if message is None:
            await self.close()
            return None
        self.other.taken(len(message))
        return message

    def taken(self, size: int) -> None:
        """The other end has read so many bytes."""
        self._under_way -= size
        self._room.set()

    async def close(self) -> None:
        """See `Wire.close`."""
        if not self.over:
            self.end()
            self._put(None)

    def end(self) -> None:
        """Nothing moves at this end any more."""
        self.over = True
        self._inbox.clear()
        self._ready.set()
        self._room.set()
        self._lines.forget(self)


@dataclass
class Place:
    """A machine on the lines."""

    provider: str
    accept: Accept | None = None
    wires: dict[Wire, None] = field(default_factory=dict)
    bytes_sent: int = 0


class Transport:
    """A machine's way out: `ratoon_node.peering.wire.Transport`."""

    def __init__(self, lines: Lines, machine: str) -> None:
        self._lines = lines
        self._machine = machine

    async def dial(self, address: str) -> Wire:
        """See `Transport.dial`."""
        return await self._lines.dial(self._machine, address)

    async def close(self) -> None:
        """Nothing is held here."""


class Lines:
    """All connections of a world."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seed: int) -> None:
        self.loop = loop
        self.rng = random.Random(f"{seed} lines")
        self.places: dict[str, Place] = {}
        self.dials = 0
        self.seed = seed

    def transport(self, machine: str, provider: str) -> Transport:
        """What the node of a new machine dials with."""
        self.places[machine] = Place(provider)
        return Transport(self, machine)

    def listen(self, machine: str, accept: Accept) -> None:
        """Others may dial the machine, at `http://{machine}.example`."""
        self.places[machine].accept = accept

    def destroy(self, machine: str) -> None:
        """The machine is gone without a word; what is sent to it is lost."""
        place = self.places[machine]
        place.accept = None
        for wire in list(place.wires):
            wire.dead = True
            wire.end()

    def count(self, machine: str, size: int) -> None:
        """The machine has sent one message of so many bytes."""
        self.places[machine].bytes_sent += size

    async def dial(self, machine: str, address: str) -> Wire:
        """A wire to the machine at `address`. Raises `NodeError` when nobody answers in time."""
        self.dials += 1
        there = address.removeprefix("http://").removesuffix(".example")
        place = self.places.get(there)
        if place is None or place.accept is None:
            await asyncio.sleep(HANDSHAKE_MS_MAX / 1000)
            raise NodeError(Code.TIMEOUT, detail="dial: no answer")
        delay_s = self.delay_s(machine, there)
        await asyncio.sleep(3 * delay_s)  # TCP, and the request to upgrade
        if place.accept is None:
            raise NodeError(Code.TIMEOUT, detail="dial: gone meanwhile")
        near, far = Wire(self, machine, there, delay_s), Wire(self, there, machine, delay_s)
        near.other, far.other = far, near
        self.places[machine].wires[near] = None
        place.wires[far] = None
        place.accept(far)
        return near

    def delay_s(self, one: str, other: str) -> float:
        """One way between two machines; the same each time, in both directions."""
        pair = sorted((self.places[one].provider, self.places[other].provider))
        if pair[0] == pair[1]:
            return NEAR_S
        return random.Random(f"{self.seed} {pair}").uniform(*FAR_S)

    def forget(self, wire: Wire) -> None:
        """This end is closed."""
        self.places[wire.here].wires.pop(wire, None)
