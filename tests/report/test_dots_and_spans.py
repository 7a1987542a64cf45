from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from emer_edge.report.dots import dots
from emer_edge.report.plots import Bar
from emer_edge.report.spans import Span, spans
from emer_edge.report.svg import PALETTE
from emer_edge.report.tables import Estimate

SVG = "{http://www.w3.org/2000/svg}"


def places(svg: str) -> list[float]:
    return [float(each.get("cx")) for each in ElementTree.fromstring(svg).iter(f"{SVG}circle")]


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
    assert [each.text for each in root.iter(f"{SVG}text") if each.text in ("er-7", "fer-7")] == ["er-7", "fer-7"]
    assert "cpu fer-7: no figure" in root.findtext(f"{SVG}desc")
    assert "80.0 (70.0 to 90.0)" in root.findtext(f"{SVG}desc")


def test_dots_keep_the_colours_of_another_plot() -> None:
    svg = dots("Loss", "margin", [Bar("er-7", Estimate(1), "cpu"), Bar("er-7", Estimate(2), "trt")], skipped=1)
    fills = [each.get("fill") for each in ElementTree.fromstring(svg).iter(f"{SVG}circle")]
    assert fills == [PALETTE[1], PALETTE[2]]


def test_guides_are_inside_and_far_ends_are_cut() -> None:
    svg = dots("Loss", "margin", [Bar("x", Estimate(0.5, -900, 900))], guides=(0.0, 1.0), most=4.0)
    root = ElementTree.fromstring(svg)
    width = float(root.get("viewBox").split()[2])
    guides = [float(each.get("x1")) for each in root.iter(f"{SVG}line") if each.get("class") == "guide"]
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
    bars = [each for each in root.iter(f"{SVG}rect") if each.get("height") == "5"]
    small, large = bars[0:2], bars[2:4]
    assert [each.get("width") for each in small] == [each.get("width") for each in large]
    assert float(small[1].get("width")) == pytest.approx(float(small[0].get("width")) / 3, abs=0.05)
    assert "large: met -1e+03 to 2e+03, cpu 0 to 1e+03" in root.findtext(f"{SVG}desc")


def test_long_names_keep_both_ends_and_markup_stays_text() -> None:
    name = "er-7+er-3+er-valence+er-arousal: <script>layer4.1.conv2"
    for svg in (spans("Ranges", [Span(name, (0, 1), {"cpu": (0, 1)})]), dots("Dots", "", [Bar(name, Estimate(1))])):
        assert "<script" not in svg
        shown = [each.text for each in ElementTree.fromstring(svg).iter(f"{SVG}text") if "…" in (each.text or "")]
        assert shown[0].startswith("er-7")
        assert shown[0].endswith("layer4.1.conv2")
