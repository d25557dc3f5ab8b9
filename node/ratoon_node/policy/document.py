"""Reading a policy file: every problem of it at once, each with its line and column.

`tomllib` says where a file stops being TOML but not where a value stood, so that is worked out
from the text, and only when there is something to complain about (`positions`).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from ratoon_node.config.positions import Path, locate
from ratoon_protocol.errors import RatoonError

# Two hundred thousand accounts with reasons; a larger file is a mistake or an attack.
POLICY_BYTES_MAX = 16 * 1024 * 1024

T = TypeVar("T")
Table = dict[str, Any]


class Problem(NamedTuple):
    """One thing wrong with a policy file; line and column count from 1.

    `file` is the included file where it stands, "" for the policy file itself.
    """

    line: int
    column: int
    message: str
    file: str = ""

    def __str__(self) -> str:
        where = f"{self.file}, " if self.file else ""
        return f"{where}line {self.line}, column {self.column}: {self.message}"


class PolicyFileError(RatoonError):
    """A policy file that changes nothing, because of `problems` (in the order of each file)."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda one: (one.file, one)))
        super().__init__("\n".join(map(str, self.problems)))


def load(data: bytes) -> tuple[str, Table]:
    """The text and the table of a TOML file. Raises `PolicyFileError`."""
    if len(data) > POLICY_BYTES_MAX:
        raise PolicyFileError([Problem(1, 1, f"more than {POLICY_BYTES_MAX} bytes")])
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise PolicyFileError([Problem(line, column, "not UTF-8")]) from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyFileError([_syntax_problem(text, error)]) from error
    except ValueError as error:  # Python reads no number of thousands of digits
        raise PolicyFileError([Problem(1, 1, "a number is too long")]) from error
    except RecursionError as error:
        raise PolicyFileError([Problem(1, 1, "nested too deeply")]) from error


def _syntax_problem(text: str, error: tomllib.TOMLDecodeError) -> Problem:
    """`tomllib` writes the place into the words: `… (at line 3, column 5)`."""
    message, _, place = str(error).rpartition(" (at ")
    numbers = [int(word) for word in place.rstrip(")").replace(",", "").split() if word.isdigit()]
    if len(numbers) != 2:  # "(at end of document)"
        numbers = [text.count("\n") + 1, len(text) - text.rfind("\n")]
    return Problem(numbers[0], numbers[1], message)


class Report:
    """What was found wrong so far, by the path of the value."""

    def __init__(self) -> None:
        self._found: list[tuple[Path, str]] = []

    def add(self, path: Path, message: str) -> None:
        """Note that the value at `path` is wrong."""
        self._found.append((path, message))

    def mentions(self, path: Path) -> bool:
        """Whether the value at `path` is known to be wrong."""
        return any(known == path for known, _ in self._found)

    def problems(self, text: str, file: str) -> list[Problem]:
        """All that is wrong, placed in the text of `file`."""
        if not self._found:
            return []
        places = locate(text)
        return [Problem(*_place(places, path), message, file) for path, message in self._found]


def _place(places: dict[Path, tuple[int, int]], path: Path) -> tuple[int, int]:
    """A value that is not there is reported where it should have been."""
    while path not in places and path:
        path = path[:-1]
    return places.get(path, (1, 1))


class Section:
    """One table of the file. Values are taken out by name; `finish` reports what is left."""

    def __init__(self, table: Table, path: Path, report: Report) -> None:
        self._table = table
        self._taken: list[str] = []
        self.path = path
        self.report = report

    def take(self, key: str, parse: Callable[[Any], T], default: T) -> T:
        """The value of `key` through `parse`, whose `ValueError` becomes a problem there."""
        self._taken.append(key)
        if key not in self._table:
            return default
        try:
            return parse(self._table[key])
        except ValueError as error:
            self.report.add((*self.path, key), str(error))
            return default

    def need(self, key: str, parse: Callable[[Any], T], default: T) -> T:
        """As `take`, but the value must be there."""
        if key not in self._table:
            self.report.add(self.path, f"{key} is missing")
        return self.take(key, parse, default)

    def items(self, key: str) -> list[tuple[Path, Any]]:
        """One value or the values of a list, each with its path; none if it is not there."""
        self._taken.append(key)
        value = self._table.get(key, [])
        if not isinstance(value, list):
            return [((*self.path, key), value)]
        return [((*self.path, key, n), item) for n, item in enumerate(value)]

    def take_each(self, key: str, parse: Callable[[Any], T]) -> list[T]:
        """One value or a list of them, each through `parse`; the good ones are returned.

        An empty list is a problem: it would ask for nothing, where nothing can fit was meant.
        """
        good = []
        if self._table.get(key) == []:
            self.report.add((*self.path, key), "must not be empty")
        for path, value in self.items(key):
            try:
                good.append(parse(value))
            except ValueError as error:
                self.report.add(path, str(error))
        return good

    @classmethod
    def of(cls, path: Path, value: Any, report: Report) -> Section:
        """A list's entry as a table: a bare value stands for `{ entity = value }`."""
        return cls(value if isinstance(value, dict) else {"entity": value}, path, report)

    def says(self, key: str) -> bool:
        """Whether there is something at `key`, good or not."""
        return key in self._table

    def section(self, key: str) -> Section:
        """The table `key`; an empty one if it is not there."""
        return Section(self.take(key, table, {}), (*self.path, key), self.report)

    def sections(self, key: str) -> list[Section]:
        """The tables of `[[key]]`; none if it is not there."""
        nothing: list[Table] = []
        values = self.take(key, tables, nothing)
        return [Section(v, (*self.path, key, n), self.report) for n, v in enumerate(values)]

    def report_if_empty(self, message: str) -> None:
        """Report `message` if the file says nothing here, and no worse is known."""
        if not self._table and not self.report.mentions(self.path):
            self.report.add(self.path, message)

    def finish(self) -> None:
        """Report every key that nobody took."""
        for key in self._table.keys() - set(self._taken):
            near = difflib.get_close_matches(key, self._taken, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(self._taken)}"
            self.report.add((*self.path, key), f"unknown key {key}{hint}")


def table(value: Any) -> Table:
    """A table."""
    if not isinstance(value, dict):
        raise ValueError("must be a table")
    return value


def tables(value: Any) -> list[Table]:
    """An array of tables."""
    if not isinstance(value, list):
        raise ValueError("must be written as [[…]]")
    return [table(item) for item in value]


def text_of(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text in quotes")
    return value


def flag(value: Any) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def count(value: Any) -> int:
    """A whole number from 0."""
    if type(value) is not int or value < 0:
        raise ValueError("must be a whole number, 0 or more")
    return value
