"""Looks into the pages of a SQLite file: what stands where no cell is.

By the file format: a b-tree page is a header, an array of places of cells, a gap, and the cells,
with chains of free blocks among them. What is in the gap or in a free block is nobody's any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

# The first byte of each sort of page, and the size of its header.
HEADER_BYTES = {2: 12, 5: 12, 10: 8, 13: 8}


class Free(NamedTuple):
    """A part of a page that belongs to no cell, and is not all zeros."""

    page: int
    where: str
    data: bytes


def owners(path: Path) -> dict[int, str]:
    """The table or index of each b-tree page."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        found = db.execute("SELECT pageno, name FROM dbstat WHERE pagetype != 'overflow'")
        return {int(page): str(name) for page, name in found}


def stale(path: Path) -> list[Free]:
    """Every part that is free and yet holds something."""
    data = path.read_bytes()
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    found: list[Free] = []
    for page in owners(path):
        image = data[(page - 1) * size : page * size]
        found += (Free(page, where, part) for where, part in _free(image, 100 if page == 1 else 0))
    return [free for free in found if any(free.data)]


def _free(image: bytes, header: int) -> Iterator[tuple[str, bytes]]:
    def number(at: int) -> int:
        return int.from_bytes(image[at : at + 2], "big")

    begin = header + HEADER_BYTES[image[header]] + 2 * number(header + 3)
    yield "gap", image[begin : number(header + 5) or 65536]
    block = number(header + 1)
    while block:
        yield "block", image[block + 4 : block + number(block + 2)]
        block = number(block)
