from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from emer_edge.report.axes import CHARACTER, legend_lines
from emer_edge.report.confusion import confusion_plot
from emer_edge.report.curves import Line, curves, roc_plot
from emer_edge.report.distributions import Distribution, distributions
from emer_edge.report.labels import place
from emer_edge.report.scatter import Mark, Rule, scatter
from emer_edge.report.strips import Strip, strips
from emer_edge.report.svg import PALETTE
from emer_edge.report.tables import Estimate

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert("x")</script> & co'
NAN = Estimate(math.nan)

PLOTS = {
    "scatter": scatter(
        EVIL,
        "p50 (ms)",
        "UAR (%)",
        [
            Mark(EVIL, Estimate(2, 2, 3), Estimate(60, 50, 70), "INT8"),
            Mark("b", Estimate(4), Estimate(61), EVIL),
            Mark("none", NAN, Estimate(3)),
        ],
        [Rule(EVIL, 14.3)],
        logarithmic=True,
    ),
    "scatter of nothing": scatter("Nothing", "ms", "%", []),
    "scatter of one": scatter("One", "ms", "%", [Mark("a", Estimate(0), Estimate(0))]),
    "curves": curves(
        EVIL,
        "noise (px)",
        "WAR (%)",
        [
            Line(EVIL, ((0, Estimate(60, 50, 70)), (10, Estimate(50, 40, 60)))),
            Line("b", ((0, Estimate(3)), (10, NAN))),
            Line("a name of another head", ()),
        ],
        guides=(14.3,),
        floor=0.0,
    ),
    "curves of nothing": curves("Nothing", "px", "%", []),
    "roc": roc_plot(EVIL, {EVIL: [(0, 0), (0.2, 0.7), (1, 1)], "b": [(0, 0), (1, 1)]}, {EVIL: 0.75}),
    "strips": strips(EVIL, "%", [Strip(EVIL, [10, 90, 50, math.nan]), Strip("none", [])], guides=(14.3,)),
    "strips of one value": strips("One", "%", [Strip("a", [5.0])]),
    "distributions": distributions(
        EVIL,
        "ms",
        [Distribution(EVIL, [1.0, 2.0, 90.0], [999, 4, 1]), Distribution("none", [], [])],
        1.122,
        {EVIL: {"p50": 1.0, "p99": 2.0}},
    ),
    "distributions of nothing": distributions("Nothing", "ms", [], 1.1),
    "confusion": confusion_plot(EVIL, [EVIL, "b"], [[8, 1], [0, 0]]),
}


def texts(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_well_formed_speak_escape_and_stay_inside(name: str) -> None:
    svg = PLOTS[name]
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == root.get("aria-label")
    assert root.findtext(f"{SVG}desc")
    assert "<script" not in svg
    assert "nan" not in svg.lower()
    _, _, width, height = (float(each) for each in root.get("viewBox").split())
    for each in root.iter(f"{SVG}rect"):
        assert -0.1 <= float(each.get("x")) <= width
        assert 0 <= float(each.get("y")) + float(each.get("height")) <= height
    for each in root.iter(f"{SVG}circle"):
        assert 0 <= float(each.get("cx")) <= width
        assert 0 <= float(each.get("cy")) <= height


def test_marks_lie_by_their_values_with_whiskers_and_rules() -> None:
    marks = [
        Mark("slow", Estimate(40, 38, 60), Estimate(80, 70, 90), "FP32"),
        Mark("fast", Estimate(4, 3.8, 5), Estimate(70, 60, 80), "INT8"),
    ]
    root = ElementTree.fromstring(scatter("Trade", "ms", "%", marks, [Rule("chance", 14.3)], logarithmic=True))
    slow, fast = [(float(each.get("cx")), float(each.get("cy"))) for each in root.iter(f"{SVG}circle")]
    assert slow[0] > fast[0]
    assert slow[1] < fast[1]
    hints = [each.findtext(f"{SVG}title") for each in root.iter(f"{SVG}g")]
    assert hints == [
        "FP32 slow: 40.00 (38.00 to 60.00), 80.0 (70.0 to 90.0)",
        "INT8 fast: 4.00 (3.80 to 5.00), 70.0 (60.0 to 80.0)",
    ]
    whiskers = [each for each in root.iter(f"{SVG}path") if each.get("stroke") == PALETTE[1]]
    assert len(whiskers) == 2
    (rule,) = [each for each in root.iter(f"{SVG}line") if each.get("class") == "guide"]
    assert float(rule.get("y1")) > fast[1]
    assert "slow: 40.00 (38.00 to 60.00), 80.0 (70.0 to 90.0)" in root.findtext(f"{SVG}desc")
    assert "chance: 14.3" in root.findtext(f"{SVG}desc")


def test_equal_places_do_not_stretch_a_logarithmic_axis() -> None:
    marks = [Mark("same", Estimate(4 + at / 1000), Estimate(50)) for at in range(3)]
    root = ElementTree.fromstring(scatter("Same", "ms", "%", marks, logarithmic=True))
    places = [float(each.get("cx")) for each in root.iter(f"{SVG}circle")]
    assert max(places) - min(places) < 1


def test_names_of_neighbours_cover_nothing() -> None:
    marks = [(100.0 + at, 50.0 + 3 * at, 112.0 + at, 62.0 + 3 * at) for at in range(5)]
    names = [f"bundle {at}" for at in range(5)]
    boxes = []
    for (x, base), name in zip(place(names, marks, [], (0, 0, 680, 300)), names, strict=True):
        boxes.append((x, base - 11, x + len(name) * CHARACTER, base + 4))
    for at, one in enumerate(boxes):
        for other in [*boxes[at + 1 :], *marks]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart
    assert all(box[0] >= 0 and box[2] <= 680 for box in boxes)


def test_a_legend_takes_the_lines_that_its_width_needs() -> None:
    names = ["er-valence", "er-arousal", "fer-valence", "fer-arousal", "fer-intensity"]
    narrow, wide = legend_lines(names, 352), legend_lines(names, math.inf)
    assert wide.rows == (tuple(names),)
    assert len(narrow.rows) > 1
    assert [name for row in narrow.rows for name in row] == names
    assert legend_lines(["one"], 352).rows == ()


def test_a_curve_breaks_where_there_is_no_figure_and_has_a_band_where_there_are_intervals() -> None:
    line = Line("er-7", ((0, Estimate(60, 50, 70)), (1, NAN), (2, Estimate(40, 30, 50))))
    root = ElementTree.fromstring(curves("Noise", "px", "%", [line]))
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    assert [each.get("fill-opacity") for each in root.iter(f"{SVG}path")] == ["0.15", None]
    assert "60.0 (50.0 to 70.0) at 0, 40.0 (30.0 to 50.0) at 2" in root.findtext(f"{SVG}desc")


def test_the_area_of_a_lone_curve_stands_in_the_title() -> None:
    points = [(0.0, 0.0), (0.25, 0.75), (1.0, 1.0)]
    assert "Gap: 0.75" in texts(roc_plot("Gap", {"int8": points}, {"int8": 0.75}))
    assert "int8 0.75" in texts(roc_plot("Gap", {"int8": points, "fp32": points}, {"int8": 0.75, "fp32": 0.7}))


def test_a_strip_shows_every_member_and_its_median() -> None:
    svg = strips("People", "%", [Strip("er-7", [float(each) for each in range(101)])])
    root = ElementTree.fromstring(svg)
    assert len(list(root.iter(f"{SVG}circle"))) == 101
    assert "101 are 0.0, 25.0, 50.0, 75.0, 100.0" in root.findtext(f"{SVG}desc")
    assert "n = 101" in texts(svg)


def test_a_single_slow_item_can_be_seen() -> None:
    curve = Distribution("step", [1.0, 2.0, 90.0], [100_000, 40, 1])
    root = ElementTree.fromstring(distributions("Latency", "ms", [curve], 1.2))
    heights = [float(each.get("height")) for each in root.iter(f"{SVG}rect")]
    assert len(heights) == 3
    assert min(heights) >= 1.5


def test_confusions_are_counted_and_told() -> None:
    root = ElementTree.fromstring(confusion_plot("er-3", ["low", "high"], [[9, 1], [4, 2]]))
    assert [each for each in texts(ElementTree.tostring(root, "unicode")) if each.isdigit()] == ["9", "1", "4", "2"]
    assert "9 of 10 low right, 1 taken for high" in root.findtext(f"{SVG}desc")
    assert [each.text for each in root.iter(f"{SVG}text") if each.get("class") == "on"] == ["9", "4"]
