from __future__ import annotations

import math
import re
from xml.etree import ElementTree

from benchmarks.endurance.time_series import Band, Course, stacked, time_series

SVG = "{http://www.w3.org/2000/svg}"
TIMES = [0.0, 1.0, 2.0, 3.0]


def plotted(image: str) -> list[str]:
    return [str(item.get("d")) for item in ElementTree.fromstring(image).iter(f"{SVG}path")]


def test_a_line_runs_through_its_values() -> None:
    (path,) = plotted(time_series("Memory", "MB", "minutes", [Course("RSS", TIMES, [10.0, 20.0, 10.0, 20.0])]))
    places = [tuple(map(float, item.split())) for item in re.findall(r"[\d.]+ [\d.]+", path)]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert places[0][1] == places[2][1] > places[1][1] == places[3][1]  # y grows downwards


def test_a_value_that_is_missing_breaks_the_line() -> None:
    (path,) = plotted(time_series("Memory", "MB", "minutes", [Course("RSS", TIMES, [1.0, math.nan, 2.0, 3.0])]))
    assert path.count("M") == 2
    assert path.count("L") == 1


def test_bands_of_one_name_share_a_colour_and_the_legend() -> None:
    bands = [Band("camera", 0.5, 1.0), Band("camera", 2.0, 2.5), Band("tracker", 1.0, 3.0)]
    root = ElementTree.fromstring(
        time_series("Memory", "MB", "min", [Course("RSS", TIMES, [1.0, 2.0, 1.0, 2.0])], bands)
    )
    drawn = [item for item in root.iter(f"{SVG}rect") if item.get("fill-opacity")]
    assert [item.get("fill") for item in drawn].count(drawn[0].get("fill")) == 2
    assert abs(float(drawn[2].get("width") or 0) / float(drawn[0].get("width") or 1) - 4) < 0.05
    names = [item.text for item in root.iter(f"{SVG}text")]
    assert names.count("camera") == names.count("tracker") == names.count("RSS") == 1


def test_an_axis_can_be_longer_than_its_lines_and_begin_above_zero() -> None:
    lines = [Course("RSS", TIMES, [100.0, 101.0, 100.0, 101.0])]
    short, long = (plotted(time_series("m", "MB", "s", lines, span=span))[0] for span in ((0.0, 3.0), (0.0, 30.0)))
    assert float(long.split("L")[-1].split()[0]) < float(short.split("L")[-1].split()[0])
    from_zero, above = (plotted(time_series("m", "MB", "s", lines, from_zero=item))[0] for item in (True, False))
    assert _height_px(above) > 50 * _height_px(from_zero) > 0


def _height_px(path: str) -> float:
    down = [float(item.split()[1]) for item in re.findall(r"[\d.]+ [\d.]+", path)]
    return max(down) - min(down)


def test_nothing_to_draw_is_drawn_without_a_word() -> None:
    assert "no values" in time_series("Memory", "MB", "minutes", [])
    assert plotted(time_series("Memory", "MB", "minutes", [Course("RSS", [], [])])) == []


def test_drawings_stand_below_each_other_in_one_file_with_its_style() -> None:
    one = time_series("<first>", "MB", "minutes", [Course("RSS", TIMES, [1.0, 2.0, 3.0, 4.0])])
    root = ElementTree.fromstring(stacked("All & more", [one, one]))
    inner = root.findall(f"{SVG}svg")
    assert [item.find(f"{SVG}title") is not None for item in inner] == [True, True]
    tops = [float(item.get("y") or 0) for item in inner]
    assert tops[1] - tops[0] == float(inner[0].get("height") or 0)
    assert "--paper" in (root.findtext(f"{SVG}style") or "")
