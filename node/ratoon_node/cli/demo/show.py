"""What the demonstration says while it runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# Where nobody watches, a line this often is enough.
LINE_S = 5.0


class Stage:
    """One long piece of work, counted; `advance` may be called from any thread."""

    def __init__(self, name: str, total: int, bars: Progress | None) -> None:
        self._name = name
        self._total = total
        self._bars = bars
        self._task = bars.add_task(name, total=total) if bars else None
        self._lock = threading.Lock()
        self._count = 0
        self._said_s = time.monotonic()

    def advance(self, by: int = 1) -> None:
        """So much more is done."""
        with self._lock:
            self._count += by
            if self._bars is not None and self._task is not None:
                self._bars.update(self._task, completed=self._count)
            elif time.monotonic() - self._said_s > LINE_S:
                self._said_s = time.monotonic()
                say(f"  {self._name}: {self._count} of {self._total}")


class Show:
    """Where stages are shown."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Stage]:
        """Show a stage while the block runs."""
        if not self._console.is_terminal:
            say(f"{name} ({total})")
            yield Stage(name, total, None)
            return
        columns = (
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as bars:
            yield Stage(name, total, bars)

    def tell(self, words: str) -> None:
        """One line between stages."""
        self._console.print(words, highlight=False, markup=False)


def say(words: str) -> None:
    """One plain line."""
    print(words, file=sys.stderr, flush=True)
