"""Wires that count what goes over them, so that a bench can tell what a comparison costs."""

from __future__ import annotations

from dataclasses import dataclass

from ratoon_node.peering.wire import Transport, Wire


@dataclass
class Counts:
    """Bytes and messages over all links of a node, as they go into the socket."""

    sent_bytes: int = 0
    heard_bytes: int = 0
    sent: int = 0
    heard: int = 0


class CountedWire:
    """A wire that counts."""

    def __init__(self, wire: Wire, counts: Counts) -> None:
        self._wire = wire
        self._counts = counts

    async def send(self, message: bytes) -> None:
        """See `Wire.send`."""
        self._counts.sent += 1
        self._counts.sent_bytes += len(message)
        await self._wire.send(message)

    async def receive(self) -> bytes | None:
        """See `Wire.receive`."""
        message = await self._wire.receive()
        if message is not None:
            self._counts.heard += 1
            self._counts.heard_bytes += len(message)
        return message

    async def close(self) -> None:
        """See `Wire.close`."""
        await self._wire.close()


class CountedTransport:
    """Dials counted wires."""

    def __init__(self, transport: Transport, counts: Counts) -> None:
        self._transport = transport
        self._counts = counts

    async def dial(self, address: str) -> Wire:
        """See `Transport.dial`."""
        return CountedWire(await self._transport.dial(address), self._counts)

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._transport.close()
