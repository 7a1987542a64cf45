from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, StimulusRect
from emer_edge.report.bars import Bar, Span, dots, spans
from emer_edge.report.course import course
from emer_edge.report.curves import confusion_plot, curves, roc_plot
from emer_edge.report.distributions import distributions, strips
from emer_edge.report.heat_map import Backdrop, heat_map_png, heat_map_svg
from emer_edge.report.scatter import Mark, place, scatter
from emer_edge.report.svg import CHARACTER, PALETTE, legend_lines
from emer_edge.report.table import Estimate

SVG = "{http://www.w3.org/2000/svg}"


def places(svg: str) -> list[float]:
    return [float(item.get("cx")) for item in ElementTree.fromstring(svg).iter(f"{SVG}circle")]


def test_dots_lie_in_the_order_of_their_values_and_share_rows() -> None:
    items = [
        Bar("er-7", Estimate(80, 70, 90), "FP32"),
        Bar("er-7", Estimate(81), "cpu"),
        Bar("fer-7", Estimate(60), "FP32"),
        Bar("fer-7", Estimate(math.nan), "cpu"),
    ]
    svg = dots("Accuracy", "%", items)
    first, second, third = places(svg)
    assert third < first < second
    root = ElementTree.fromstring(svg)
    assert [item.text for item in root.iter(f"{SVG}text") if item.text in ("er-7", "fer-7")] == ["er-7", "fer-7"]
    assert "cpu fer-7: no figure" in root.findtext(f"{SVG}desc")
    assert "80.0 (70.0 to 90.0)" in root.findtext(f"{SVG}desc")


def test_dots_keep_the_colours_of_another_plot() -> None:
    svg = dots("Loss", "margin", [Bar("er-7", Estimate(1), "cpu"), Bar("er-7", Estimate(2), "trt")], skipped=1)
    fills = [item.get("fill") for item in ElementTree.fromstring(svg).iter(f"{SVG}circle")]
    assert fills == [PALETTE[1], PALETTE[2]]


def test_guides_are_inside_and_far_ends_are_cut() -> None:
    svg = dots("Loss", "margin", [Bar("x", Estimate(0.5, -900, 900))], guides=(0.0, 1.0), most=4.0)
    root = ElementTree.fromstring(svg)
    width = float(root.get("viewBox").split()[2])
    guides = [float(item.get("x1")) for item in root.iter(f"{SVG}line") if item.get("class") == "guide"]
    assert len(guides) == 2
    assert 0 < guides[0] < places(svg)[0] < guides[1] < width


@pytest.mark.parametrize("items", [[], [Bar("x", Estimate(3.0))]], ids=["none", "one"])
def test_dots_of_hardly_anything(items: list[Bar]) -> None:
    svg = dots("Loss", "margin", items)
    assert "nan" not in ElementTree.fromstring(svg).get("viewBox")
    assert len(places(svg)) == len(items)


def test_spans_are_in_units_of_what_was_met() -> None:
    rows = [
        Span("small", (-0.001, 0.002), {"cpu": (0.0, 0.001)}),
        Span("large", (-1000.0, 2000.0), {"cpu": (0.0, 1000.0)}),
        Span("nothing", (0.0, 0.0), {"cpu": (0.0, 1.0)}),
    ]
    root = ElementTree.fromstring(spans("Ranges", rows))
    bars = [item for item in root.iter(f"{SVG}rect") if item.get("height") == "5"]
    small, large = bars[0:2], bars[2:4]
    assert [item.get("width") for item in small] == [item.get("width") for item in large]
    assert float(small[1].get("width")) == pytest.approx(float(small[0].get("width")) / 3, abs=0.05)
    assert "large: met -1e+03 to 2e+03, cpu 0 to 1e+03" in root.findtext(f"{SVG}desc")


def test_long_names_keep_both_ends_and_markup_stays_text() -> None:
    name = "er-7+er-3+er-valence+er-arousal: <script>layer4.1.conv2"
    for svg in (spans("Ranges", [Span(name, (0, 1), {"cpu": (0, 1)})]), dots("Dots", "", [Bar(name, Estimate(1))])):
        assert "<script" not in svg
        shown = [item.text for item in ElementTree.fromstring(svg).iter(f"{SVG}text") if "…" in (item.text or "")]
        assert shown[0].startswith("er-7")
        assert shown[0].endswith("layer4.1.conv2")


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
        {EVIL: 14.3},
        logarithmic=True,
    ),
    "scatter of nothing": scatter("Nothing", "ms", "%", []),
    "scatter of one": scatter("One", "ms", "%", [Mark("a", Estimate(0), Estimate(0))]),
    "curves": curves(
        EVIL,
        "noise (px)",
        "WAR (%)",
        {
            EVIL: ((0, Estimate(60, 50, 70)), (10, Estimate(50, 40, 60))),
            "b": ((0, Estimate(3)), (10, NAN)),
            "a name of another head": (),
        },
        floor=0.0,
    ),
    "curves of nothing": curves("Nothing", "px", "%", {}),
    "roc": roc_plot(EVIL, {EVIL: [(0, 0), (0.2, 0.7), (1, 1)], "b": [(0, 0), (1, 1)]}, {EVIL: 0.75}),
    "strips": strips(EVIL, "%", {EVIL: [10, 90, 50, math.nan], "none": []}),
    "strips of one value": strips("One", "%", {"a": [5.0]}),
    "distributions": distributions(
        EVIL,
        "ms",
        {EVIL: [(1.0, 999), (2.0, 4), (90.0, 1)], "none": []},
        1.122,
        {EVIL: {"p50": 1.0, "p99": 2.0}},
    ),
    "distributions of nothing": distributions("Nothing", "ms", {}, 1.1, {}),
    "confusion": confusion_plot(EVIL, [EVIL, "b"], [[8, 1], [0, 0]]),
}


def texts(svg: str) -> list[str]:
    return [item.text or "" for item in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_well_formed_speak_escape_and_stay_inside(name: str) -> None:
    svg = PLOTS[name]
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == root.get("aria-label")
    assert root.findtext(f"{SVG}desc")
    assert "<script" not in svg
    assert "nan" not in svg.lower()
    _, _, width, height = (float(part) for part in root.get("viewBox").split())
    for item in root.iter(f"{SVG}rect"):
        assert -0.1 <= float(item.get("x")) <= width
        assert 0 <= float(item.get("y")) + float(item.get("height")) <= height
    for item in root.iter(f"{SVG}circle"):
        assert 0 <= float(item.get("cx")) <= width
        assert 0 <= float(item.get("cy")) <= height


def test_marks_lie_by_their_values_with_whiskers_and_rules() -> None:
    marks = [
        Mark("slow", Estimate(40, 38, 60), Estimate(80, 70, 90), "FP32"),
        Mark("fast", Estimate(4, 3.8, 5), Estimate(70, 60, 80), "INT8"),
    ]
    root = ElementTree.fromstring(scatter("Trade", "ms", "%", marks, {"chance": 14.3}, logarithmic=True))
    slow, fast = [(float(item.get("cx")), float(item.get("cy"))) for item in root.iter(f"{SVG}circle")]
    assert slow[0] > fast[0]
    assert slow[1] < fast[1]
    hints = [item.findtext(f"{SVG}title") for item in root.iter(f"{SVG}g")]
    assert hints == [
        "FP32 slow: 40.00 (38.00 to 60.00), 80.0 (70.0 to 90.0)",
        "INT8 fast: 4.00 (3.80 to 5.00), 70.0 (60.0 to 80.0)",
    ]
    whiskers = [item for item in root.iter(f"{SVG}path") if item.get("stroke") == PALETTE[1]]
    assert len(whiskers) == 2
    (rule,) = [item for item in root.iter(f"{SVG}line") if item.get("class") == "guide"]
    assert float(rule.get("y1")) > fast[1]
    assert "slow: 40.00 (38.00 to 60.00), 80.0 (70.0 to 90.0)" in root.findtext(f"{SVG}desc")
    assert "chance: 14.3" in root.findtext(f"{SVG}desc")


def test_equal_places_do_not_stretch_a_logarithmic_axis() -> None:
    marks = [Mark("same", Estimate(4 + at / 1000), Estimate(50)) for at in range(3)]
    root = ElementTree.fromstring(scatter("Same", "ms", "%", marks, logarithmic=True))
    places = [float(item.get("cx")) for item in root.iter(f"{SVG}circle")]
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
    narrow, wide = legend_lines(names, 352)[0], legend_lines(names, math.inf)[0]
    assert wide == [tuple(names)]
    assert len(narrow) > 1
    assert [name for row in narrow for name in row] == names
    assert legend_lines(["one"], 352) == ([], [])


def test_a_curve_breaks_where_there_is_no_figure_and_has_a_band_where_there_are_intervals() -> None:
    line = ((0, Estimate(60, 50, 70)), (1, NAN), (2, Estimate(40, 30, 50)))
    root = ElementTree.fromstring(curves("Noise", "px", "%", {"er-7": line}))
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    assert [item.get("fill-opacity") for item in root.iter(f"{SVG}path")] == ["0.15", None]
    assert "60.0 (50.0 to 70.0) at 0, 40.0 (30.0 to 50.0) at 2" in root.findtext(f"{SVG}desc")


def test_the_area_of_a_lone_curve_stands_in_the_title() -> None:
    points = [(0.0, 0.0), (0.25, 0.75), (1.0, 1.0)]
    assert "Gap: 0.75" in texts(roc_plot("Gap", {"int8": points}, {"int8": 0.75}))
    assert "int8 0.75" in texts(roc_plot("Gap", {"int8": points, "fp32": points}, {"int8": 0.75, "fp32": 0.7}))


def test_a_strip_shows_every_member_and_its_median() -> None:
    svg = strips("People", "%", {"er-7": [float(at) for at in range(101)]})
    root = ElementTree.fromstring(svg)
    assert len(list(root.iter(f"{SVG}circle"))) == 101
    assert "101 are 0.0, 25.0, 50.0, 75.0, 100.0" in root.findtext(f"{SVG}desc")
    assert "n = 101" in texts(svg)


def test_a_single_slow_item_can_be_seen() -> None:
    bins = [(1.0, 100_000), (2.0, 40), (90.0, 1)]
    root = ElementTree.fromstring(distributions("Latency", "ms", {"step": bins}, 1.2, {}))
    heights = [float(item.get("height")) for item in root.iter(f"{SVG}rect")]
    assert len(heights) == 3
    assert min(heights) >= 1.5


def test_confusions_are_counted_and_told() -> None:
    root = ElementTree.fromstring(confusion_plot("er-3", ["low", "high"], [[9, 1], [4, 2]]))
    assert [text for text in texts(ElementTree.tostring(root, "unicode")) if text.isdigit()] == ["9", "1", "4", "2"]
    assert "9 of 10 low right, 1 taken for high" in root.findtext(f"{SVG}desc")
    assert [item.text for item in root.iter(f"{SVG}text") if item.get("class") == "on"] == ["9", "4"]


def test_png_runs_from_black_to_light_yellow() -> None:
    values = np.array([[0.0, 1.0, 2.0], [4.0, 3.0, 0.5]], np.float32)
    image = cv2.imdecode(np.frombuffer(heat_map_png(values), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (2, 3, 3)
    assert image[0, 0].tolist() == [4, 0, 0]  # B, G, R
    assert image[1, 0].tolist() == [164, 255, 252]
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert (np.argsort(grey.ravel()) == np.argsort(values.ravel())).all()
    assert cv2.imdecode(np.frombuffer(heat_map_png(np.zeros((5, 7))), np.uint8), cv2.IMREAD_COLOR).max() == 4


def test_a_common_scale() -> None:
    image = cv2.imdecode(np.frombuffer(heat_map_png(np.ones((2, 2)), highest=2.0), np.uint8), cv2.IMREAD_COLOR)
    assert image[0, 0].tolist() == [85, 54, 186]


def test_svg_holds_its_images_itself() -> None:
    svg = heat_map_svg(np.eye(4, 8), "<clip> & more", "who looked where", Display())
    root = ElementTree.fromstring(svg)
    images = root.findall("{http://www.w3.org/2000/svg}image")
    assert len(images) == 2
    words = [item.text for item in root.iter(f"{SVG}text")]
    assert {"x (px)", "y (px)", "s per square degree", "1500", "1000"} <= set(words)
    assert all(image.get("href", "").startswith("data:image/png;base64,") for image in images)
    assert "<clip> & more" in "".join(root.itertext())


def test_a_map_over_a_picture_lets_it_show_where_nobody_looked() -> None:
    values = np.array([[0.0, 0.1], [0.5, 1.0]])
    image = cv2.imdecode(np.frombuffer(heat_map_png(values, clear=True), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image[0, 0, 3] == 0
    assert 0 < image[0, 1, 3] < image[1, 0, 3] == image[1, 1, 3] == 204
    picture = b"\xff\xd8 a JPEG"
    svg = heat_map_svg(values, "film", "", Display(), backdrop=Backdrop(picture, StimulusRect(480, 270, 960, 540)),
                       areas={"door": [(0, 0), (960, 0), (960, 540)]})  # fmt: skip
    root = ElementTree.fromstring(svg)
    below, above, _ = root.iter(f"{SVG}image")
    assert below.get("href", "").startswith("data:image/jpeg;base64,")
    assert float(below.get("width", 0)) == float(above.get("width", 0)) / 2
    assert float(below.get("x", 0)) == float(above.get("x", 0)) + float(above.get("width", 0)) / 4
    assert "door" in "".join(root.itertext())


def test_a_course_breaks_where_figures_are_missing_and_names_what_was_shown() -> None:
    times = np.arange(10.0)
    line = np.where(times == 5, np.nan, times / 10)
    shown = [("film 1", 1.0, 4.0), ("film 2", 4.0, 9.0), ("film 3", 4.1, 9.0), ("late", 8.9, 9.0)]
    svg = course("Gap", "distance", times, {"gap": line}, shown, {"baseline": 0.3})
    root = ElementTree.fromstring(svg)
    lines = [item for item in root.iter(f"{SVG}path") if item.get("stroke") == PALETTE[0]]
    assert [len(re.findall("[ML]", item.get("d", ""))) for item in lines] == [5, 4]
    assert len([item for item in root.iter(f"{SVG}rect") if "stretch" in item.get("class", "")]) == 4
    words = [item.text for item in root.iter(f"{SVG}text")]
    assert {"film 1", "film 2", "film 3", "baseline", "time in the session (s)"} <= set(words)
    assert "late from 9 to 9 s" in root.findtext(f"{SVG}desc")
    nothing = course("Gap", "distance", times, {"gap": np.full(10, np.nan)})
    assert "gap no figures" in ElementTree.fromstring(nothing).findtext(f"{SVG}desc")


def test_what_is_no_map() -> None:
    for wrong in (np.zeros(3), np.zeros((0, 4)), np.array([[np.nan]])):
        with pytest.raises(ConfigurationError, match="heat map"):
            heat_map_png(wrong)
