"""Where each value of a TOML file stands. Only for files that `tomllib` has read without error."""

from __future__ import annotations

import re
import tomllib
from itertools import accumulate

#: Keys and indexes from the top of the file to a value.
Path = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*")
_VOID = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([A-Za-z0-9_\-]+))[ \t]*""")
_KEYS = re.compile(rf"{_KEY_PART.pattern}(?:\.{_KEY_PART.pattern})*")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\n]*")


def locate(text: str) -> dict[Path, tuple[int, int]]:
    """Line and column (from 1) of every key, table and array item of the TOML in `text`."""
    offsets = _Scan(text).places
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    places: dict[Path, tuple[int, int]] = {}
    line = 0
    for path, offset in sorted(offsets.items(), key=lambda item: item[1]):
        while line + 1 < len(starts) and starts[line + 1] <= offset:
            line += 1
        places[path] = (line + 1, offset - starts[line] + 1)
    return places


class _Scan:
    """One pass over the text; `places` is the offset of each path."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.places: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}  # the last index of each array of tables
        table: Path = ()
        self._skip(_VOID)
        while self._at < len(text):
            if text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_VOID)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _keys(self) -> list[tuple[str, int]]:
        """A dotted key: its parts, each with the offset where it stands."""
        start = self._at
        self._skip(_KEYS)
        parts = []
        for found in _KEY_PART.finditer(self._text, start, self._at):
            quoted, literal, bare = found.groups()
            if quoted is not None:
                bare = next(iter(tomllib.loads(f'"{quoted}" = 0')))
            place = found.end() - len(found[0].lstrip())
            parts.append((literal if bare is None else bare, place))
        return parts

    def _header(self) -> Path:
        """`[a.b]` or `[[a.b]]`: the path it opens."""
        start = self._at
        many = self._text.startswith("[[", start)
        self._at += 2 if many else 1
        path: Path = ()
        parts = self._keys()
        for number, (part, _) in enumerate(parts):
            path = (*path, part)
            if many and number == len(parts) - 1:
                self._arrays[path] = self._arrays.get(path, -1) + 1
                self.places.setdefault(path, start)
            if path in self._arrays:
                path = (*path, self._arrays[path])
        self.places.setdefault(path, start)
        self._at += 2 if many else 1
        return path

    def _pair(self, table: Path) -> None:
        """`key = value`."""
        path = table
        for part, start in self._keys():
            path = (*path, part)
            self.places.setdefault(path, start)
        self._at += 1
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        sign = self._text[self._at]
        if sign == "[":
            self._array(path)
        elif sign == "{":
            self._inline_table(path)
        else:
            self._skip(_STRING if sign in "\"'" else _BARE)

    def _array(self, path: Path) -> None:
        number = 0
        self._at += 1
        self._skip(_VOID)
        while self._text[self._at] != "]":
            self.places[(*path, number)] = self._at
            self._value((*path, number))
            self._comma()
            number += 1
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        self._skip(_VOID)
        while self._text[self._at] != "}":
            self._pair(path)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        self._skip(_VOID)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_VOID)
