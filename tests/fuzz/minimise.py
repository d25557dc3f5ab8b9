"""Which inputs are worth keeping: few and small ones that reach each line any of them reaches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.target import ROOT, Target

#: What is kept of one target; all together stay below half a megabyte.
FILES_MIN, FILES_MAX = 20, 60
TARGET_BYTES_MAX = 27_000
_LOOKED_AT = (str(ROOT / "protocol"), str(ROOT / "node"))

Step = tuple[str, int, int]


def reached(target: Target, data: bytes) -> set[Step]:
    """The steps from line to line that an input takes in the code under test."""
    steps: set[Step] = set()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(_LOOKED_AT):
            return None
        last = frame.f_lineno

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            steps.add((name, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    sys.settrace(enter)
    try:
        with suppress(Exception):
            target.run(data)
    finally:
        sys.settrace(None)
    return steps


def smallest(target: Target, known: Iterable[bytes]) -> list[bytes]:
    """The one that reaches most that is new, and again, until none does; some others besides."""
    steps = {data: reached(target, data) for data in {one[: target.bytes_max] for one in known}}
    kept: list[bytes] = []
    every: set[Step] = set()
    while steps and len(kept) < FILES_MAX:
        best = max(steps, key=lambda data: (len(steps[data] - every), -len(data), data))
        new = steps.pop(best) - every
        if not new:
            break
        if sum(map(len, kept)) + len(best) <= TARGET_BYTES_MAX:
            kept.append(best)
            every |= new
    # Lines are not all: what took the same lines in another order is worth something to change.
    others = sorted(steps, key=lambda data: sha256(data).digest())
    for data in others[: max(0, FILES_MIN - len(kept))]:
        if sum(map(len, kept)) + len(data) <= TARGET_BYTES_MAX:
            kept.append(data)
    return kept


def write(folder: Path, kept: Sequence[bytes]) -> None:
    """The files of a corpus, each named by what is in it; finds (`find-…`) stay for ever."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {sha256(data).hexdigest()[:16]: data for data in kept}
    for path in folder.iterdir():
        if path.name not in names and not path.name.startswith("find-"):
            path.unlink()
    for name, data in names.items():
        (folder / name).write_bytes(data)
