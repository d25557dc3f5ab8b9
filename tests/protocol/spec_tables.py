"""Writes the table of limits into SPEC.md: `python -m tests.protocol.spec_tables`."""

from __future__ import annotations

from pathlib import Path

from ratoon_protocol import limits

SPEC = Path(__file__).parents[2] / "protocol" / "SPEC.md"
START, END = "<!-- limits -->\n", "<!-- /limits -->"
COLUMNS = 3


def limits_table() -> str:
    """Every limit that is a number, three a row, in the order of limits.py."""
    cells = [
        f"`{name}` {value:,}"
        for name, value in vars(limits).items()
        if name.isupper() and type(value) is int
    ]
    cells += [""] * (-len(cells) % COLUMNS)
    rows = [cells[at : at + COLUMNS] for at in range(0, len(cells), COLUMNS)]
    head = ["limit"] * COLUMNS
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * COLUMNS, *rows))


def with_limits(text: str) -> str:
    """The spec with the table as the code has it."""
    before, rest = text.split(START)
    return before + START + limits_table() + END + rest.split(END)[1]


if __name__ == "__main__":
    SPEC.write_text(with_limits(SPEC.read_text(encoding="utf-8")), encoding="utf-8")
