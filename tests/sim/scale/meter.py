"""What goes over links, by what it is for, and how often a record's bytes come.

Counts are taken where a node hands a frame to the secure stream, in plain; the difference to what
the lines carry is Noise (tags and handshakes) and the lengths before frames. WebSocket, TCP and
IP headers are in neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

import msgpack

from ratoon_protocol.frames import FrameType
from ratoon_protocol.stream import SecureStream


class Use(StrEnum):
    """What a frame is for."""

    RECORDS = "records"  # whole records
    HEADERS = "headers"  # records without their bytes, and the reason
    GOSSIP = "gossip"  # offers, questions for records, answers to them (receipts)
    COMPARING = "comparing"
    MEETING = "meeting"  # introductions, who is admitted, where nodes are
    ALIVE = "signs of life"  # pings, challenges


_USES = {
    FrameType.INTRO: Use.MEETING,
    FrameType.HELLO: Use.MEETING,
    FrameType.ADMITTED: Use.MEETING,
    FrameType.BYE: Use.MEETING,
    FrameType.PEERS: Use.MEETING,
    FrameType.PING: Use.ALIVE,
    FrameType.PONG: Use.ALIVE,
    FrameType.CHALLENGE: Use.ALIVE,
    FrameType.ANSWER: Use.ALIVE,
    FrameType.RECEIPT: Use.ALIVE,
    FrameType.RECONCILE: Use.COMPARING,
    FrameType.RECONCILED: Use.COMPARING,
}


class Counts(NamedTuple):
    """All that was counted until some moment."""

    bytes_by_use: Counter[Use]
    frames_by_use: Counter[Use]
    #: By the signature of a record: how often it was sent whole, unasked and all in all.
    pushed: Counter[bytes]
    copies: Counter[bytes]
    #: Signature → bytes of one copy.
    sizes: dict[bytes, int]


def _nothing() -> Counts:
    return Counts(Counter(), Counter(), Counter(), Counter(), {})


class Meter:
    """Counts every frame of every node in this process."""

    def __init__(self) -> None:
        self.counts = _nothing()

    def restart(self) -> Counts:
        """Begin at 0 again; what was counted so far."""
        before, self.counts = self.counts, _nothing()
        return before

    def note(self, frame: bytes) -> None:
        """A frame goes out. Its type is the second byte: a short array, a small number."""
        type_ = FrameType(frame[1])
        if type_ is FrameType.PUSH:
            self._note_push(frame)
            return
        use = _USES.get(type_, Use.GOSSIP)
        self.counts.bytes_by_use[use] += len(frame)
        self.counts.frames_by_use[use] += 1

    def _note_push(self, frame: bytes) -> None:
        counts, left = self.counts, len(frame)
        by_use = counts.bytes_by_use
        _, request, _, items, _ = msgpack.unpackb(frame, use_list=True)
        for header, signature, payload, _ in items:
            size = len(header) + len(signature) + len(payload or b"")
            left -= size
            by_use[Use.HEADERS if payload is None else Use.RECORDS] += size
            if payload is not None:
                counts.copies[signature] += 1
                counts.pushed[signature] += request == 0
                counts.sizes[signature] = size
        by_use[Use.GOSSIP] += left
        self.counts.frames_by_use[Use.RECORDS] += 1

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count from here on."""
        queue = SecureStream.queue

        def counted(stream: SecureStream, frame: bytes) -> None:
            self.note(frame)
            queue(stream, frame)

        SecureStream.queue = counted  # type: ignore[assignment]
        try:
            yield
        finally:
            SecureStream.queue = queue
