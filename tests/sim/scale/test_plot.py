"""Charts are well-formed, hold what they are given, and stay inside their frame."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from tests.bench import plot
from tests.bench.plot import Bars, Series, bar_chart, line_chart
from tests.sim.scale.meter import Use

SVG = "{http://www.w3.org/2000/svg}"


def texts(chart: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(chart).iter(f"{SVG}text")]


def lines(chart: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in re.findall(r"([-\d.]+),([-\d.]+)", one.get("points", ""))]
        for one in ElementTree.fromstring(chart).iter(f"{SVG}polyline")
    ]


@pytest.mark.parametrize("log_x", [False, True])
@pytest.mark.parametrize("log_y", [False, True])
def test_lines_stay_in_their_frame_and_keep_their_order(log_x: bool, log_y: bool) -> None:
    points = [(10.0, 0.02), (100.0, 7.0), (1000.0, 123_456.0)]
    many = [Series(f"a series with the number {n}", points) for n in range(6)]
    chart = line_chart(many, "a <title> & more", "x", "y", log_x, log_y)
    assert "a <title> & more" in texts(chart)
    assert {one.name for one in many} <= set(texts(chart))
    assert len(lines(chart)) == 6
    for line in lines(chart):
        assert [x for x, _ in line] == sorted(x for x, _ in line)
        assert [y for _, y in line] == sorted((y for _, y in line), reverse=True)
        for x, y in line:
            assert plot.LEFT <= x <= plot.WIDTH - plot.RIGHT
            assert plot.TOP <= y <= plot.HEIGHT - plot.BOTTOM


def test_a_logarithmic_axis_gives_each_decade_the_same_room() -> None:
    (line,) = lines(line_chart([Series("a", [(10, 1), (100, 1), (1000, 1)])], "t", "x", "y", True))
    (first, _), (second, _), (third, _) = line
    assert second - first == pytest.approx(third - second, abs=0.2)


def test_every_series_has_a_look_of_its_own() -> None:
    assert len(plot.COLOURS) == len(plot.DASHES) == len(plot.MARKERS)
    assert len(set(zip(plot.DASHES, plot.MARKERS, strict=True))) == len(plot.COLOURS)
    assert len(set(plot.COLOURS)) == len(plot.COLOURS) >= len(Use) + 1


def test_what_cannot_be_drawn_is_left_out() -> None:
    points = [(0.0, 1.0), (1.0, math.nan), (2.0, math.inf), (3.0, 4.0), (5.0, 6.0)]
    assert len(lines(line_chart([Series("a", points)], "t", "x", "y", log_x=True))[0]) == 2
    assert "nothing was measured" in texts(line_chart([], "t", "x", "y"))
    assert "nothing was measured" in texts(bar_chart(["a"], [Bars("b", [0.0])], "t", "x", "y"))


def test_bars_are_as_high_as_their_values_and_stand_on_each_other() -> None:
    layers = [Bars("low", [1.0, 2.0]), Bars("high", [3.0, 0.0])]
    found = ElementTree.fromstring(bar_chart(["a", "b"], layers, "t", "x", "y"))
    bars = [one for one in found.iter(f"{SVG}rect") if "bar" in one.get("class", "")][:4]
    low, high, other, none = (float(one.get("height", "")) for one in bars)
    assert high == pytest.approx(3 * low, abs=0.3)
    assert other == pytest.approx(2 * low, abs=0.3)
    assert none == 0
    upper_end = float(bars[1].get("y", "")) + high
    assert upper_end == pytest.approx(float(bars[0].get("y", "")), abs=0.2)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (0.05, "0.05"), (1.5, "1.5"), (20, "20"), (1500, "1,500"), (2_500_000, "2.5M")],
)
def test_numbers_are_short(value: float, words: str) -> None:
    assert plot.number(value) == words
