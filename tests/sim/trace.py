"""What happened in a world, in order, as one hash; the last of it in words for a failure."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

# Lines shown with a failure.
LINES_KEPT = 60


class Trace:
    """Everything the world does is told here. Nothing random may be: not addresses, not paths."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._hash = hashlib.sha256()
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        #: Called with every line, for somebody who wants to read along.
        self.listener: Callable[[str], None] | None = None

    @property
    def now_s(self) -> float:
        """The world's time."""
        return self._loop.time()

    def say(self, what: str) -> None:
        """Something a person would want to know."""
        line = f"{self._loop.time():10.3f} {what}"
        self.lines.append(line)
        self._hash.update(line.encode() + b"\n")
        if self.listener is not None:
            self.listener(line)

    def carried(self, way: str, message: bytes) -> None:
        """A message that arrived: in the hash only."""
        self._hash.update(f"{self._loop.time():.6f} {way} ".encode() + message)

    @property
    def hash(self) -> str:
        """Hexadecimal hash of everything so far."""
        return self._hash.hexdigest()
