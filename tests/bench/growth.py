"""How figures grow with what is stored: curves over 10k, 100k and a million records, as SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.figures import Figure
from tests.bench.plot import Series, line_chart
from tests.bench.stores import LARGE, SMALL, TINY, size_name
from tests.tidy.source import ROOT

FOLDER = ROOT / "bench-results" / "growth"
#: The benches that are drawn.
BENCHES = ("posts", "start", "memory", "home", "thread", "search")
SIZES = {size_name(count): count for count in (TINY, SMALL, LARGE)}
_SIZE = "(?P<size>10k|100k|1M)"


class Curve(NamedTuple):
    """`pattern` is for the whole of `bench: name`; of several figures of a size the largest."""

    name: str
    pattern: str


class Chart(NamedTuple):
    """One file; `unit` stands at its y axis."""

    file: str
    title: str
    unit: str
    curves: tuple[Curve, ...]


CHARTS = (
    Chart(
        "ingest",
        "Ingest of 280-byte texts onto what is stored",
        "records a second",
        (
            Curve("16 connections", f"ingest: onto {_SIZE} posts: 16 connections"),
            Curve("1 connection", f"ingest: onto {_SIZE} posts: 1 connection"),
        ),
    ),
    Chart(
        "home",
        "Home timeline, 20 posts, one connection: p99",
        "ms",
        (
            Curve("50 follows", f"home: {_SIZE}, 50 follows, 1 at once: p99"),
            Curve("500 follows", f"home: {_SIZE}, 500 follows, 1 at once: p99"),
        ),
    ),
    Chart(
        "home-rate",
        "Home timelines a second, 16 connections",
        "requests a second",
        (
            Curve("50 follows", f"home: {_SIZE}, 50 follows, 16 at once"),
            Curve("500 follows", f"home: {_SIZE}, 500 follows, 16 at once"),
        ),
    ),
    Chart(
        "thread",
        "Thread of 1,000 replies",
        "ms",
        (
            Curve("p50", f"thread: {_SIZE}, 1,000 replies.*: p50"),
            Curve("p99", f"thread: {_SIZE}, 1,000 replies.*: p99"),
            Curve("the first one after a start", f"start: {_SIZE}, the first long thread"),
        ),
    ),
    Chart(
        "search",
        "Search, the slowest of all words",
        "ms",
        (
            Curve("p50", f"search: {_SIZE}, .*: p50"),
            Curve("p99", f"search: {_SIZE}, .*: p99"),
        ),
    ),
    Chart(
        "disk",
        "Disk, all indexes counted",
        "bytes",
        (
            Curve("a post of 120 characters", f"disk: {_SIZE}, a post of .*, all indexes"),
            Curve("a record of a mixed network", f"start: {_SIZE}, bytes on disk a record"),
        ),
    ),
    Chart(
        "memory",
        "Memory, verifier included",
        "MiB",
        (
            Curve("once it serves", f"start: {_SIZE}, RSS once it serves"),
            Curve("after reads of all kinds", f"memory: {_SIZE}, RSS after .*"),
            Curve("after ingest", f"ingest: onto {_SIZE} posts: RSS.*"),
        ),
    ),
    Chart(
        "start",
        "Start",
        "seconds",
        (Curve("process to serving", f"start: {_SIZE}, process to serving"),),
    ),
)


def series(figures: Sequence[Figure], curve: Curve) -> Series:
    """The points of a curve: (records stored, value), ascending."""
    points: dict[float, float] = {}
    for one in figures:
        found = re.fullmatch(curve.pattern, f"{one.bench}: {one.name}")
        if found is not None:
            at = float(SIZES[found["size"]])
            points[at] = max(points.get(at, one.value), one.value)
    return Series(curve.name, sorted(points.items()))


def draw(figures: Sequence[Figure], folder: Path = FOLDER) -> list[Path]:
    """Write a chart for each thing that was measured; where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for chart in CHARTS:
        curves = [series(figures, curve) for curve in chart.curves]
        if not any(curve.points for curve in curves):
            continue
        path = folder / f"{chart.file}.svg"
        drawn = line_chart(curves, chart.title, "records stored", chart.unit, log_x=True)
        path.write_text(drawn, encoding="utf-8")
        written.append(path)
    return written
