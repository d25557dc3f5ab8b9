"""What a bench reports: one figure a line, with the limit or the target it is held against."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


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


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


def print_table(figures: Sequence[Figure]) -> None:
    """Print everything measured as one table."""
    table = Table("bench", "what", title="ratoon bench")
    for column in ("value", "unit", "of limit", "target"):
        table.add_column(column, justify="right")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.0%}"
        target = ""
        if figure.target is not None:
            colour = "green" if figure.kept else "red"
            sign = "≤" if figure.most else "≥"
            target = f"[{colour}]{sign} {_number(figure.target)}[/]"
        table.add_row(figure.bench, figure.name, _number(figure.value), figure.unit, ratio, target)
    Console().print(table)


def write_json(figures: Sequence[Figure], path: Path) -> None:
    """Write everything measured, so that two commits can be compared."""
    rows = [asdict(figure) | {"ratio": figure.ratio, "kept": figure.kept} for figure in figures]
    path.write_text(json.dumps({"figures": rows}, indent=1) + "\n")
