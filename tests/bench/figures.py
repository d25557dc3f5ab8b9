"""What a bench reports: one figure a line, with the limit or the target it is held against."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Table

# Columns of a table that goes into a file.
WIDTH = 150


@dataclass(frozen=True)
class Figure:
    """One measured value. `limit`: the bare limit of this machine that bounds it, if any.

    `target` is what the project promises; `most` says that lower is better.
    """

    bench: str
    name: str
    value: float
    unit: str
    limit: float | None = None
    target: float | None = None
    most: bool = False

    @property
    def ratio(self) -> float | None:
        """The share of the bare limit that is reached."""
        return self.value / self.limit if self.limit else None

    @property
    def kept(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value <= self.target if self.most else self.value >= self.target

    def held(self, least: float) -> Figure:
        """The same held against another target: at least so much."""
        return replace(self, limit=None, target=least, most=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


def demand(figure: Figure) -> str:
    """The target as it is printed."""
    if figure.target is None:
        return ""
    return f"{'≤' if figure.most else '≥'} {_number(figure.target)}"


def amount(figure: Figure) -> str:
    """The value as it is printed, without its unit."""
    return _number(figure.value)


def verdict(figure: Figure) -> str:
    """Met or missed; nothing where nothing is promised."""
    if figure.kept is None:
        return ""
    return "[green]met[/]" if figure.kept else "[red]missed[/]"


def print_table(figures: Sequence[Figure]) -> None:
    """Print everything measured as one table."""
    table = Table("bench", "what", title="ratoon bench")
    for column in ("value", "unit", "of limit", "goal", ""):
        table.add_column(column, justify="right")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.0%}"
        cells = (amount(figure), figure.unit, ratio, demand(figure), verdict(figure))
        table.add_row(figure.bench, figure.name, *cells)
    console().print(table)


def console() -> Console:
    """Where tables go: as wide as they need where nobody looks at a terminal."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def rows(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Everything measured, as it is kept."""
    return [asdict(figure) | {"ratio": figure.ratio, "kept": figure.kept} for figure in figures]
