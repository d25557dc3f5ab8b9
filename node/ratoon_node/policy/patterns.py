"""RE2 patterns, all matched at once: linear in the text, whatever the patterns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import re2

# One pattern's program. RE2's own default is eight times as much; a reload compiles them all.
PATTERN_PROGRAM_BYTES_MAX = 1 << 20
# The program and the states of all patterns together.
PATTERNS_PROGRAM_BYTES_MAX = 1 << 25


def _options(bytes_max: int) -> re2.Options:
    options = re2.Options()
    options.max_mem = bytes_max
    options.never_capture = True
    options.log_errors = False  # RE2 would print to stderr by itself
    return options


def check_pattern(pattern: str) -> None:
    """Raise `ValueError` with RE2's words if it does not compile, or needs too much memory."""
    try:
        re2.compile(pattern, _options(PATTERN_PROGRAM_BYTES_MAX))
    except re2.error as error:
        raise ValueError(f"not a pattern: {_words(error)}") from error


def _words(error: Exception) -> str:
    """RE2 gives its words as bytes."""
    return b"".join(error.args).decode()


class PatternSet:
    """Patterns that each compile by themselves.

    Raises `ValueError` if they need more than `PATTERNS_PROGRAM_BYTES_MAX` together.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._set = re2.Set.SearchSet(_options(PATTERNS_PROGRAM_BYTES_MAX))
        try:
            for pattern in patterns:
                self._set.Add(pattern)
            self._witness = self._set.Add("")
            self._set.Compile()
        except re2.error as error:
            raise ValueError("the patterns together need too much memory") from error

    def found(self, text: str) -> Iterable[int]:
        """The indexes of the patterns that are somewhere in `text`."""
        numbers: list[int] = self._set.Match(text)
        # Fits every text, so a set that failed without a word fails loudly here instead.
        numbers.remove(self._witness)
        return numbers
