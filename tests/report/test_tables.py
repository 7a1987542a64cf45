from __future__ import annotations

import base64
import csv
import hashlib
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from chromium import CHROMIUM, Chromium
from rich.console import Console

from emer_edge.core.errors import ConfigurationError
from emer_edge.metrics.probabilities import ReliabilityBin
from emer_edge.report import write_whole
from emer_edge.report.bars import Bar, bars
from emer_edge.report.curves import reliability_plot
from emer_edge.report.html import Details, Facts, Figure, Paragraph, Quote, Section, to_html
from emer_edge.report.svg import Scale, ticks
from emer_edge.report.table import Column, Deviation, Estimate, Table, cell_text
from emer_edge.report.text_tables import to_csv, to_latex, to_rich

TABLE = Table(
    "Accuracy & cost",
    (Column("Head"), Column("WAR", "%", 1, 100), Column("Windows"), Column("Time", "ms")),
    (
        ("er_7 [bold]", Estimate(0.7123, 0.68, 0.74), 1520, 4.256),
        ("=cmd()", Estimate(0.5, math.nan, math.nan), 3, None),
    ),
    "95 % of draws",
)


def test_cells_as_people_read_them() -> None:
    share = Column("WAR", digits=1, scale=100)
    assert cell_text(Estimate(0.7123, 0.68, 0.74), share) == "71.2 (68.0 to 74.0)"
    assert cell_text(1520, Column("Windows")) == "1,520"
    assert cell_text(None, Column("Time")) == "–"
    assert cell_text(math.nan, Column("Time")) == "–"
    assert cell_text(Estimate(-0.0001, -0.02, 0.0001), Column("Change")) == "0.00 (-0.02 to 0.00)"


def test_csv_keeps_every_digit_and_splits_estimates() -> None:
    header, first, second = csv.reader(io.StringIO(to_csv(TABLE)))
    assert header == ["Head", "WAR (%)", "WAR low", "WAR high", "Windows", "Time (ms)"]
    assert first == ["er_7 [bold]", "0.7123", "0.68", "0.74", "1520", "4.256"]
    assert second == ["'=cmd()", "0.5", "", "", "3", ""]


def test_latex_is_escaped_and_aligned() -> None:
    text = to_latex(TABLE, label="tab:accuracy")
    assert r"\caption{Accuracy \& cost}" in text
    assert r"\begin{tabular}{lrrr}" in text
    assert r"er\_7 [bold] & 71.2 (68.0--74.0) & 1,520 & 4.26 \\" in text
    assert r"=cmd() & 50.0 & 3 & -- \\" in text


def test_a_mean_stands_with_its_deviation() -> None:
    column = Column("WAR", "%", 1, 100)
    table = Table(
        "Folds",
        (Column("Set"), column),
        (("int8", Deviation(0.7123, 0.0141)), ("one", Deviation(0.5)), ("*all", Estimate(-0.02, -0.05, 0.01))),
    )
    assert cell_text(Deviation(0.7123, 0.0141), column) == "71.2 ± 1.4"
    assert cell_text(Deviation(0.5), column) == "50.0"
    assert list(csv.reader(io.StringIO(to_csv(table)))) == [
        ["Set", "WAR (%)", "WAR low", "WAR high", "WAR SD"],
        ["int8", "0.7123", "", "", "0.0141"],
        ["one", "0.5", "", "", ""],
        ["*all", "-0.02", "-0.05", "0.01", ""],
    ]
    latex = to_latex(table)
    assert r"int8 & 71.2 $\pm$ 1.4 \\" in latex
    assert r"{}*all & $-$2.0 ($-$5.0 to 1.0) \\" in latex


def test_latex_rows_have_as_many_cells_as_columns_and_every_group_is_closed() -> None:
    wide = Table(
        "{\\input} $x$ #1 ~^",
        tuple(Column(f"c_{at}", "%") for at in range(9)),
        (("[6pt]", "a & b", "\\\\", "{", "}", "%", Estimate(-1, -2, -0.5), Deviation(-3, 1), -4),),
        "5 µs ± 1 °C",
    )
    text = to_latex(wide, "tab:wide")
    assert text.startswith("% needs \\usepackage{booktabs}\n\\begin{table}")
    assert r"\footnotesize" in text
    plain = re.sub(r"\\[{}%&$#_]", "", re.sub(r"\\\\$", "", text, flags=re.M))
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    body = plain.partition("\\toprule\n")[2].partition("\\bottomrule")[0].replace("\\midrule\n", "")
    assert [line.count("&") for line in body.splitlines()] == [8, 8]
    assert [text.count(rf"\begin{{{item}}}") for item in ("table", "tabular")] == [1, 1]


def test_the_terminal_shows_text_that_looks_like_markup() -> None:
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(to_rich(TABLE))
    shown = console.export_text()
    assert "er_7 [bold]" in shown
    assert "71.2 (68.0–74.0)" in shown


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells for 2"):
        Table("t", (Column("a"), Column("b")), (("x",),))


def test_a_file_is_there_whole_or_not_at_all(tmp_path) -> None:
    path = write_whole(tmp_path / "new" / "a.csv", "x\r\n")
    assert path.read_bytes() == b"x\r\n"
    assert [item.name for item in path.parent.iterdir()] == ["a.csv"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="can't write"):
        write_whole(tmp_path / "file" / "a.csv", "x")


EVIL = '<script>alert("&")</script>'
PLOTS = {
    "bars": bars(
        EVIL, "%", [Bar("er-7 " + EVIL, Estimate(70, 60, 80), "int8"), Bar("er-7", Estimate(math.nan), "fp32")]
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
    _, _, width, height = (float(part) for part in root.get("viewBox").split())
    for item in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert 0 <= float(item.get("x")) <= width
        assert 0 <= float(item.get("y")) + float(item.get("height")) <= height


def test_a_page_is_one_closed_escaped_offline_document() -> None:
    table = Table(EVIL, (Column(EVIL), Column("WAR")), ((EVIL, Estimate(1, 0, 2)),), EVIL)
    blocks = (Paragraph(EVIL), Paragraph(EVIL, warning=True), Facts(((EVIL, EVIL),)), table)
    figures = tuple(Figure(plot, EVIL, narrow) for plot in PLOTS.values() for narrow in ("", plot))
    blocks = (*blocks, Quote(EVIL), Details(EVIL, (Paragraph("a"),)), Details("long", (Paragraph("b"),), printed=False))
    page = to_html(EVIL, EVIL, [Section(EVIL, blocks), Section("Plots", figures)])
    assert page.count("<details>") == page.count("<details class=unprinted>") == 1
    assert page.count('class="narrow"') == len(PLOTS)
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    assert not parser.seen & {"link", "iframe", "object", "img"}
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert page.count("<script") == 1
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'" in page
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (make test-deps)")
def test_tables_sort_without_a_network_and_give_their_csv(tmp_path: Path) -> None:
    rows = (("b", 9.5), ("a", 10.25), ("c", None), ("d", Estimate(-1.0, -2.0, 0.0)))
    page = tmp_path / "report.html"
    page.write_text(
        to_html("Report", "", [Section("All", (Table("Times: A", (Column("part"), Column("t", "ms")), rows),))])
    )
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page.as_uri())
        order = "[...document.querySelectorAll('tbody th')].map(each => each.textContent).join('')"
        assert browser.value(order) == "bacd"
        for column, expected in ((1, "dbac"), (1, "abdc"), (0, "abcd"), (0, "dcba")):
            browser.value(f"document.querySelectorAll('thead button')[{column}].click()")
            assert browser.value(order) == expected
        assert browser.value("document.querySelector('thead th').ariaSort") == "descending"
        link = browser.value(
            "(({download, href}) => [download, decodeURIComponent(href.split(',')[1])])"
            "(document.querySelector('a[download]'))"
        )
    assert link == ["times-a.csv", to_csv(Table("", (Column("part"), Column("t", "ms")), rows))]
    assert list(csv.reader(io.StringIO(link[1])))[1] == ["b", "9.5", "", ""]


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
