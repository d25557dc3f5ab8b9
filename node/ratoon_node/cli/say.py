"""What commands say: results to stdout, words about them to stderr, JSON where a script asks.

Exit codes: 0 done, 1 it failed, 2 the command line is wrong, 3 the node refused it,
4 no node answered, 130 interrupted.
"""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ratoon_protocol.errors import RatoonError

# What a table may take where no terminal sets its width.
PIPE_COLUMNS = 200
# Not printable to Python, but people write with them: the joiners of emoji and of Persian, and the
# marks of reading direction that end with their own character.
_JOINERS = frozenset("\u200c\u200d\u200e\u200f\u061c")


class Exit(IntEnum):
    """What the process answers with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class CommandError(RatoonError):
    """A command that cannot go on. The message is one line and says what to do."""

    def __init__(self, words: str, code: Exit = Exit.FAILED, json_code: str = "") -> None:
        super().__init__(words)
        self.code = code
        self.json_code = json_code or code.name.lower()


def fail(words: str, code: Exit = Exit.FAILED, json_code: str = "") -> NoReturn:
    """End the command with one line and an exit code."""
    raise CommandError(words, code, json_code)


def result(data: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(data, ensure_ascii=False, indent=1))


def row(data: Any) -> None:
    """One of many JSON documents on stdout, a line each, at once."""
    print(json.dumps(data, ensure_ascii=False), flush=True)


def line(words: str = "") -> None:
    """One line of result on stdout, at once: it may be followed."""
    print(plain(words), flush=True)


def note(words: str) -> None:
    """One line about what happens, on stderr."""
    print(plain(words), file=sys.stderr, flush=True)


def plain(words: str) -> str:
    """Text from elsewhere, with nothing left in it that steers a terminal."""
    return "".join(c if _steers_nothing(c) else "�" for c in words)


def _steers_nothing(char: str) -> bool:
    if char.isprintable() or char in "\n\t" or char in _JOINERS:
        return True
    return unicodedata.category(char) == "Zs"  # the spaces of French, Japanese, Mongolian


def called() -> str:
    """How a person types this command here: by its path until it is on the PATH."""
    if Path(sys.argv[0]).name == "ratoon" and shutil.which("ratoon") is None:
        return sys.argv[0]
    return "ratoon"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under titles, fitted to the terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        shown.add_column(title, overflow="fold")  # an id that was cut could not be copied
    for row in rows:
        shown.add_row(*(Text(plain(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS).print(shown)


def terminal() -> TextIO | None:
    """A stream that a person reads and nobody records, or None: the only place for secrets."""
    for stream in (sys.stdout, sys.stderr):
        if stream.isatty():
            return stream
    return None


def words_grid(words: str) -> str:
    """A recovery phrase in numbered rows of four, as one writes it down."""
    found = words.split()
    cells = [f"{place:2}. {word:<10}" for place, word in enumerate(found, 1)]
    rows = ["  ".join(cells[at : at + 4]).rstrip() for at in range(0, len(cells), 4)]
    return "\n".join(f"    {row}" for row in rows)


def ask(question: str) -> bool:
    """A yes or no from the person at the terminal; no if nobody is there."""
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
