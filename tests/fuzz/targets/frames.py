"""One frame of a link: read, written again, read the same (R-73)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ratoon_protocol import framing
from ratoon_protocol.errors import LinkError
from ratoon_protocol.frames import Ack, Bye, Frame, Outcome, Push, Reconciled
from tests.fuzz.mutation import valuewise
from tests.fuzz.target import Target, ask, vectors
from tests.protocol.vectors_frames import unpacked


def run(data: bytes) -> None:
    """A frame that is taken can be sent on, and means the same there."""
    try:
        frame = framing.decode(data)
    except LinkError:
        return
    again = framing.encode(frame)
    if not isinstance(frame, Push | Ack | Bye | Reconciled):  # these hold codes, maybe unknown ones
        ask(again == data, "encoded otherwise")
    ask(_sorted(framing.decode(again)) == _sorted(frame), "reads otherwise the second time")


def _sorted(frame: Frame) -> Frame:
    """Outcomes are grouped by code when they are written."""
    changed: dict[str, Any] = {
        name: sorted(value, key=lambda one: (one.code, one.id))
        for name, value in zip(frame._fields, frame, strict=True)
        if type(value) is tuple and value and type(value[0]) is Outcome
    }
    return frame._replace(**changed)


def seeds() -> Iterator[bytes]:
    """The vectors that are not padded to a limit."""
    cases = vectors("frames")
    for case in (*cases["valid"], *cases["invalid"]):
        data = unpacked(case["parts"])
        if len(data) <= TARGET.bytes_max:
            yield data


TARGET = Target("frames", run, seeds, bytes_max=4096, mutate=valuewise)
