from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from emer_edge.metrics.calibration import ReliabilityBin
from emer_edge.report.html import Details, Facts, Figure, Paragraph, Quote, Section, to_html
from emer_edge.report.plots import Bar, bars, reliability_plot
from emer_edge.report.svg import Scale, ticks
from emer_edge.report.tables import Column, Estimate, Table

EVIL = '<script>alert("&")</script>'
PLOTS = {
    "bars": bars(
        EVIL,
        "%",
        [Bar("er-7 " + EVIL, Estimate(70, 60, 80), "int8"), Bar("er-7", Estimate(math.nan), "fp32")],
        highest=100,
    ),
    "reliability": reliability_plot(
        "Reliability", [ReliabilityBin(0.5, 0.6, 10, 0.55, 0.6), ReliabilityBin(0, 1, 0, 0, 0)]
    ),
    "no bars": bars("Nothing", "%", []),
}


class Tags(HTMLParser):
    """Checks that what opens closes."""

    VOID = ("meta", "br", "rect", "line", "path", "circle")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_well_formed_speak_and_stay_inside(name: str) -> None:
    root = ElementTree.fromstring(PLOTS[name])
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert root.findtext("{http://www.w3.org/2000/svg}desc")
    assert "nan" not in PLOTS[name].lower()
    _, _, width, height = (float(each) for each in root.get("viewBox").split())
    for each in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert 0 <= float(each.get("x")) <= width
        assert 0 <= float(each.get("y")) + float(each.get("height")) <= height


def test_a_page_is_one_closed_escaped_offline_document() -> None:
    table = Table(EVIL, (Column(EVIL), Column("WAR")), ((EVIL, Estimate(1, 0, 2)),), EVIL)
    blocks = (Paragraph(EVIL), Paragraph(EVIL, warning=True), Facts(((EVIL, EVIL),)), table)
    figures = tuple(Figure(each, EVIL, narrow) for each in PLOTS.values() for narrow in ("", each))
    blocks = (*blocks, Quote(EVIL), Details(EVIL, (Paragraph("a"),)), Details("long", (Paragraph("b"),), printed=False))
    page = to_html(EVIL, EVIL, [Section(EVIL, blocks), Section("Plots", figures)])
    assert page.count("<details>") == page.count("<details class=unprinted>") == 1
    assert page.count('class="narrow"') == len(PLOTS)
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    assert not parser.seen & {"script", "link", "iframe", "object", "img"}
    assert "<script" not in page
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize(
    ("low", "high", "logarithmic", "expected"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 97, False, [0, 20, 40, 60, 80]),
        (3, 70, True, [5, 10, 20, 50]),
        (11, 44, True, [15, 20, 30]),
        (0.01, 5000, True, [0.01, 0.1, 1, 10, 100, 1000]),
        (2, 2, False, [2]),
    ],
    ids=["unit", "hundred", "log short", "log shorter", "log long", "one value"],
)
def test_ticks_are_round(low: float, high: float, logarithmic: bool, expected: list[float]) -> None:
    assert ticks(low, high, 5, logarithmic) == pytest.approx(expected)


def test_a_scale_clamps() -> None:
    scale = Scale(1, 100, 0, 200, logarithmic=True)
    assert scale(10) == pytest.approx(100)
    assert (scale(0.1), scale(1000)) == (0, 200)
