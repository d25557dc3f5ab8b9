"""What the demonstration says while it runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ratoon_node.cli import say

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

    def advance(self) -> None:
        """One more is done."""
        with self._lock:
            self._count += 1
            if self._bars is not None and self._task is not None:
                self._bars.advance(self._task)
            elif time.monotonic() - self._said_s > LINE_S:
                self._said_s = time.monotonic()
                say.note(f"  {self._name}: {self._count} of {self._total}")


class Show:
    """Where stages are shown, one below the other; all goes to stderr."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = None
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
            )

    def __enter__(self) -> Show:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def stage(self, name: str, total: int) -> Stage:
        """Begin to show a stage."""
        if self._bars is None:
            say.note(f"{name} ({total})")
        return Stage(name, total, self._bars)

    def tell(self, words: str) -> None:
        """One line between stages."""
        if self._bars is None:
            say.note(words)
        else:
            self._bars.console.print(words, highlight=False, markup=False)
