"""Charts as plain SVG text, readable by light and by dark; lines differ not by colour alone.

    line_chart([Series("10 nodes", [(0.1, 50.0), (0.2, 99.0)])], "Spread", "seconds", "% of nodes")
    bar_chart(["10", "100"], [Bars("records", [1.0, 2.0])], "Traffic", "nodes", "MB an hour")

Both return a whole SVG document. Points that are not finite, or not above 0 on a logarithmic axis,
are left out; a chart without any point says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 84, 58
# One line of legend holds about so many pixels; a letter is about so wide.
LETTER_PX = 7.2
LEGEND_LINE_PX = 18
TICKS = 6
#: (on light, on dark) for each series in turn; told apart by colour-blind readers too.
COLOURS = (
    ("#0067a5", "#5ab4f0"),
    ("#c84e00", "#ff9d57"),
    ("#00795a", "#3fd0a0"),
    ("#a43f86", "#eb93cf"),
    ("#8a6700", "#e8c14a"),
    ("#5a5a5a", "#c0c0c0"),
    ("#b3202c", "#ff7b84"),
    ("#3f7f1f", "#a6d96a"),
)
DASHES = ("", "7 4", "2 4", "10 3 2 3", "1 3", "14 4", "5 2 1 2", "9 2 2 2")
MARKERS = ("circle", "square", "diamond", "triangle", "circle", "square", "diamond", "triangle")
# With more points than this a line has no markers.
MARKED_POINTS_MAX = 14


class Series(NamedTuple):
    """A named line; `points` are (x, y) in the order to draw them."""

    name: str
    points: Sequence[tuple[float, float]]


class Bars(NamedTuple):
    """One layer of stacked bars: a value for each category."""

    name: str
    values: Sequence[float]


class Axis(NamedTuple):
    """A scale from values to pixels; `ticks` are the values to name."""

    low: float
    high: float
    log: bool
    from_px: float
    to_px: float
    ticks: tuple[float, ...]

    def px(self, value: float) -> float:
        """Where a value stands."""
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return self.from_px + (at - low) / (high - low) * (self.to_px - self.from_px)


def line_chart(
    series: Sequence[Series],
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Lines over common axes, with a legend. Linear axes begin at 0 unless values are below it."""
    drawn = [Series(one.name, _usable(one.points, log_x, log_y)) for one in series]
    everything = [point for one in drawn for point in one.points]
    top = _top(drawn)
    if not everything:
        return _document(title, _empty())
    x_axis = _axis([x for x, _ in everything], log_x, LEFT, WIDTH - RIGHT)
    y_axis = _axis([y for _, y in everything], log_y, HEIGHT - BOTTOM, top)
    body = _grid(y_axis, y_label, top) + _x_ticks(x_axis, x_label, top)
    for at, one in enumerate(drawn):
        body += _line(one.points, at, x_axis, y_axis)
    return _document(title, body + _legend([one.name for one in drawn], _line_key))


def bar_chart(
    categories: Sequence[str], layers: Sequence[Bars], title: str, x_label: str, y_label: str
) -> str:
    """Stacked bars, one a category, the first layer at the bottom."""
    names = [Series(layer.name, ()) for layer in layers]
    top = _top(names)
    totals = [math.fsum(values) for values in zip(*(one.values for one in layers), strict=True)]
    if not totals or max(totals) <= 0:
        return _document(title, _empty())
    y_axis = _axis(totals, False, HEIGHT - BOTTOM, top)
    body = [*_grid(y_axis, y_label, top), _words(x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14)]
    slot = (WIDTH - RIGHT - LEFT) / len(categories)
    for n, category in enumerate(categories):
        centre, base = LEFT + (n + 0.5) * slot, 0.0
        for at, layer in enumerate(layers):
            body.append(_bar(at, centre, min(90.0, slot * 0.6), y_axis, base, layer.values[n]))
            base += layer.values[n]
        body.append(_words(category, centre, HEIGHT - BOTTOM + 18))
        body.append(_words(number(totals[n]), centre, y_axis.px(base) - 6, kind="value"))
    return _document(title, body + _legend([one.name for one in names], _bar_key))


def number(value: float) -> str:
    """A value as a person reads it: 0.05, 1.5, 20, 1,500, 2.5M."""
    if value == 0:
        return "0"
    size = abs(value)
    for unit, name in ((1e9, "G"), (1e6, "M")):
        if size >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{round(value):,}" if size >= 100 else f"{value:.3g}"


# --- scales --------------------------------------------------------------------------------


def _usable(
    points: Sequence[tuple[float, float]], log_x: bool, log_y: bool
) -> list[tuple[float, float]]:
    return [
        (x, y)
        for x, y in points
        if math.isfinite(x)
        and math.isfinite(y)
        and not (log_x and x <= 0)
        and not (log_y and y <= 0)
    ]


def _axis(values: Sequence[float], log: bool, from_px: float, to_px: float) -> Axis:
    low, high = min(values), max(values)
    if log:
        ticks = _log_ticks(low, high)
        return Axis(min(low, ticks[0]), max(high, ticks[-1]), True, from_px, to_px, ticks)
    ticks = _linear_ticks(min(low, 0.0), high if high > min(low, 0.0) else low + 1)
    return Axis(ticks[0], ticks[-1], False, from_px, to_px, ticks)


def _linear_ticks(low: float, high: float) -> tuple[float, ...]:
    """Round values that enclose both."""
    rough = (high - low) / (TICKS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 2.5, 5, 10) if power * k >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(step * n for n in range(first, last + 1))


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten; with 2 and 5 between them where they are few; all values lie between."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    between = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [k * 10.0**n for n in range(first, last) for k in between] + [10.0**last]
    inside = [tick for tick in ticks if low <= tick <= high]
    below = [tick for tick in ticks if tick < low][-1:]
    above = [tick for tick in ticks if tick > high][:1]
    return tuple(below + inside + above)


# --- parts of a drawing --------------------------------------------------------------------


def _words(text: str, x: float, y: float, anchor: str = "middle", kind: str = "label") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _grid(axis: Axis, label: str, top: float) -> list[str]:
    parts = []
    for tick in axis.ticks:
        y = axis.px(tick)
        parts.append(_rule(LEFT, y, WIDTH - RIGHT, y, "grid"))
        parts.append(_words(number(tick), LEFT - 9, y + 4, "end"))
    parts.append(_rule(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis"))
    parts.append(_rule(LEFT, top, LEFT, HEIGHT - BOTTOM, "axis"))
    middle = (top + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 20 {middle:.1f})"'
    parts.append(_words(label, 20, middle).replace("<text ", f"<text {turned} ", 1))
    return parts


def _x_ticks(axis: Axis, label: str, top: float) -> list[str]:
    parts = [_words(label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14)]
    for tick in axis.ticks:
        x = axis.px(tick)
        parts.append(_rule(x, top, x, HEIGHT - BOTTOM, "grid"))
        parts.append(_words(number(tick), x, HEIGHT - BOTTOM + 18))
    return parts


def _line(points: Sequence[tuple[float, float]], at: int, x_axis: Axis, y_axis: Axis) -> list[str]:
    at %= len(COLOURS)
    places = [(x_axis.px(x), y_axis.px(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline class="line s{at}" stroke-dasharray="{DASHES[at]}" points="{path}"/>']
    if len(places) <= MARKED_POINTS_MAX:
        parts += [_marker(at, x, y) for x, y in places]
    return parts


def _marker(at: int, x: float, y: float) -> str:
    shapes = {
        "circle": f'<circle class="mark s{at}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
        "square": f'<path class="mark s{at}" d="M{x - 3.5:.1f} {y - 3.5:.1f}h7v7h-7z"/>',
        "diamond": f'<path class="mark s{at}" d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z"/>',
        "triangle": f'<path class="mark s{at}" d="M{x:.1f} {y - 5:.1f}l5 9h-10z"/>',
    }
    return shapes[MARKERS[at]]


def _bar(at: int, centre: float, width: float, axis: Axis, base: float, value: float) -> str:
    top, bottom = axis.px(base + value), axis.px(base)
    return (
        f'<rect class="bar s{at % len(COLOURS)}" x="{centre - width / 2:.1f}" y="{top:.1f}"'
        f' width="{width:.1f}" height="{max(0.0, bottom - top):.1f}"/>'
    )


# --- legend --------------------------------------------------------------------------------


def _places(names: Sequence[str]) -> list[tuple[float, float]]:
    """Where each key of the legend begins; lines are broken where they are full."""
    places, x, y = [], float(LEFT), 54.0
    for name in names:
        width = 44 + LETTER_PX * len(name)
        if x > LEFT and x + width > WIDTH - RIGHT:
            x, y = float(LEFT), y + LEGEND_LINE_PX
        places.append((x, y))
        x += width
    return places


def _top(series: Sequence[Series]) -> float:
    """The upper end of the drawing, under a legend of as many lines as it takes."""
    places = _places([one.name for one in series])
    return TOP + (places[-1][1] - 54.0 if places else 0.0)


def _line_key(at: int, x: float, y: float) -> str:
    line = f'<line class="line s{at}" stroke-dasharray="{DASHES[at]}"'
    return f'{line} x1="{x:.1f}" y1="{y:.1f}" x2="{x + 26:.1f}" y2="{y:.1f}"/>'


def _bar_key(at: int, x: float, y: float) -> str:
    return f'<rect class="bar s{at}" x="{x + 8:.1f}" y="{y - 6:.1f}" width="14" height="12"/>'


def _legend(names: Sequence[str], key: Callable[[int, float, float], str]) -> list[str]:
    parts = []
    for at, ((x, y), name) in enumerate(zip(_places(names), names, strict=True)):
        parts.append(key(at % len(COLOURS), x, y))
        parts.append(_words(name, x + 32, y + 4, "start"))
    return parts


# --- the document --------------------------------------------------------------------------


def _empty() -> list[str]:
    return [_words("nothing was measured", WIDTH / 2, HEIGHT / 2)]


def _style() -> str:
    def theme(at: int, paper: str, ink: str, faint: str) -> str:
        rules = [
            f".paper{{fill:{paper}}}",
            f"text{{fill:{ink}}}",
            f".axis{{stroke:{ink}}}",
            f".grid{{stroke:{faint}}}",
        ]
        for n, pair in enumerate(COLOURS):
            rules.append(f".line.s{n}{{stroke:{pair[at]}}}")
            rules.append(f".mark.s{n},.bar.s{n}{{fill:{pair[at]}}}")
        return "".join(rules)

    plain = (
        "text{font:13px system-ui,sans-serif}.title{font-size:16px;font-weight:600}"
        ".value{font-size:12px}.line{fill:none;stroke-width:2.2}.axis{stroke-width:1.2}"
        ".grid{stroke-width:1}"
    )
    dark = theme(1, "#16191d", "#e4e6e8", "#343a41")
    light = theme(0, "#ffffff", "#22262a", "#e2e5e8")
    return f"<style>{plain}{light}@media (prefers-color-scheme:dark){{{dark}}}</style>"


def _document(title: str, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{_quoted(title)}">'
    )
    paper = f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    named = _words(title, LEFT, 28, "start", "title")
    return "\n".join([head, _style(), paper, named, *body, "</svg>"]) + "\n"


def _quoted(text: str) -> str:
    return escape(text, {'"': "&quot;"})
