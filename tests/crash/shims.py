"""What is put under the real program before it runs: a clock to move, limits, a moment to die.

shims = Shims(clock=str(path))           MovedClock(path) sets how far its clock is off
shims = Shims(die_in="store/fold.py", die_at=7)   SIGKILL before the seventh such call there
shims = Shims(limits={"NOFILE": 64})     setrlimit(2), which the test may lift with prlimit(2)
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

# Calls after which a file, a name or the store may be another, and the ones around them. What is
# written to a file of Python's waits for its flush.
CHANGING = frozenset(
    {"open", "flush", "fsync", "fdatasync", "close", "fdopen", "rename", "replace"}
    | {"unlink", "truncate", "mkdir", "pwrite", "execute", "link", "flock"}
)


@dataclass(frozen=True)
class Shims:
    """See above; the default is the program as it is."""

    clock: str = ""
    limits: dict[str, int] = field(default_factory=dict)
    die_in: str = ""
    die_at: int = 0
    #: A process whose mounts are seen; 0: those of everybody.
    mounts: int = 0


class MovedClock:
    """How far the clock of a process is off, in a file that both map."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def move(self, seconds: float) -> None:
        """From now on it is so far ahead (below zero: behind)."""
        struct.pack_into("<q", self._map, 0, round(seconds * 1e9))


def put_in_place(shims: Shims) -> None:
    """For a process that is about to run the program, and has one thread."""
    if shims.mounts:
        _enter(shims.mounts)
    for name, most in shims.limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(number, (most, resource.getrlimit(number)[1]))
    if shims.clock:
        _move_clock(Path(shims.clock))
    if shims.die_in:
        _die(shims.die_in, shims.die_at)


def _enter(pid: int) -> None:
    """See the mounts of another process; who is not root becomes it, where they are.

    Raises `OSError`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for kinds in (("mnt",), ("user", "mnt")):
        entered = True
        for kind in kinds:
            descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
            entered = entered and libc.setns(descriptor, 0) == 0
            os.close(descriptor)
        if entered:
            return
    raise OSError(ctypes.get_errno(), "cannot enter the namespace")


def _move_clock(path: Path) -> None:
    """The time of day, moved; time that only goes forward is left alone, as a kernel leaves it."""
    with path.open("rb") as file:
        offset = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    now_ns = time.time_ns

    def moved_ns() -> int:
        return now_ns() + int(struct.unpack_from("<q", offset)[0])

    time.time_ns = moved_ns
    time.time = lambda: moved_ns() / 1e9


def _die(where: str, at: int) -> None:
    """SIGKILL right before the `at`-th changing call that functions of files with `where` make."""
    left = at

    def watch(frame: FrameType, event: str, called: Any) -> None:
        nonlocal left
        if event != "c_call" or called.__name__ not in CHANGING:
            return
        if _made_in(frame, where):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    _watch_calls(watch)


def _made_in(frame: FrameType | None, where: str) -> bool:
    """Whether the call is made in such a file, itself or through the standard library."""
    for _ in range(4):
        if frame is None:
            return False
        if where in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _watch_calls(watch: Callable[[FrameType, str, Any], None]) -> None:
    threading.setprofile(watch)
    sys.setprofile(watch)
