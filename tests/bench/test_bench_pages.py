from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest
from bench_reports import EVIL, bare, everything

from emer_edge.bench.pages import card_of, page_of, tables_of
from emer_edge.bench.pages.method import methods_of
from emer_edge.bench.pages.scored import names_of, scored_of
from emer_edge.bench.records.latency_records import Energy
from emer_edge.bench.records.report_records import BenchReport, BundleBench, FoldFacts
from emer_edge.report.text_tables import to_csv, to_latex
from emer_edge.report.words import sentence

SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "br", "hr", "img", "link"}


class Page(HTMLParser):
    """What a page holds: text by heading, tags, addresses; every tag has to be closed by its own end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.sections: dict[str, str] = {}
        self._heading = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if self.open and self.open[-1] == "h2":
            self._heading = data
            self.sections[data] = ""
        elif self._heading:
            self.sections[self._heading] += data + " "


@pytest.fixture(scope="module")
def report() -> BenchReport:
    return everything()


@pytest.fixture(scope="module")
def page(report: BenchReport) -> Page:
    return Page(page_of(report))


HEADINGS = (
    "Summary", "Protocols", "Readings", "Participants", "Errors", "The gap", "Ablations", "Participant or film effects",
    "Worse input", "Trackers", "Speed", "Live run", "Since the older report", "Machine and method", "Model card",
)  # fmt: skip


def test_the_sample_is_a_valid_report(report: BenchReport) -> None:
    assert BenchReport.from_json(report.to_json()) == report
    unset = [
        f"{type(item).__name__}.{name}"
        for item in (report, *report.bundles)
        for name in item.__struct_fields__
        if getattr(item, name) in (None, (), {}, "")
    ]
    assert unset == []


def test_every_section_is_there_in_order_and_accuracy_against_latency_comes_first(
    report: BenchReport, page: Page
) -> None:
    assert tuple(page.sections) == HEADINGS
    first = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", page_of(report), flags=re.S)[0])
    assert first.get("aria-label") == "er-7: WAR against the time of a live step"
    reported = first.findtext(f"{SVG}desc")
    assert "FP32 FP32, 2 folds" in reported
    assert "INT8 INT8, 2 folds" in reported
    assert "uniform chance: 14.3" in reported
    assert "training majority: 30.0" in reported


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("Summary", "two participants have clips in several folds|Demo weights|may decode the film|synthetic"),
        ("Protocols", "±|ER-VA, valence|training majority|uniform chance|CCC|Pearson r|McNemar|selection|fold 2"),
        ("Readings", "random draws|live windows|over draws|per batch of 16"),
        ("Participants", "n = 24|1st quartile"),
        ("Errors", "named so|no eye sheet at all|Reliability of er-7|Confusions|6 of those scored"),
        ("The gap", "Areas under the curves: FP32, 2 folds 0.713|FP32, 2 folds 0.71|0.710 ± 0.014|0.084|fifth"),
        ("Ablations", "eyes of same film and face: about eyes of same film and face|paired"),
        ("Participant or film effects", "21.4%|p = 0.005|induced emotion|film-9|fear|43.30|31 of"),
        ("Worse input", "noise (px)|light taken (stops)|below the coverage floors|about low light"),
        ("Trackers", "serial-xy|column-33"),
        ("Speed", "p90 claimed|shorter than 600 s|half was 9 % slower|0.312|INA3221|41.7|cold|fit into a hop"),
        ("Live run", "1 camera ring|14 ok, 3 filling|face age|live runs of several people|56 ok, 12 filling"),
        ("Since the older report", "old/report.json|latency/live step/p50_ms|27.0|another data set"),
        ("Machine and method", "the clock of cpu0 fell|cpu-throttle step 2|split-of-2|seed 11|JetPack|1,510|9,100 mW"),
        ("Model card", "SYNTHETIC WEIGHTS|SYNTHETIC DATA|5(1)(f)|50(3)|academic use|700 synthetic clips|minmax"),
    ],
    ids=HEADINGS,
)  # fmt: skip
def test_what_is_recorded_is_told(page: Page, section: str, expected: str) -> None:
    text = page.sections[section].lower()
    assert [part for part in expected.split("|") if part.lower() not in text] == []


@pytest.mark.parametrize(
    ("changes", "bundle_changes", "gone"),
    [
        ({"against": None}, {}, {"Since the older report"}),
        ({}, {"streaming": None}, {"Live run"}),
        ({}, {"probes": None}, {"Ablations", "Participant or film effects", "Worse input"}),
        (
            {"sets": (), "pairs": (), "data": None},
            {"accuracy": None, "probes": None},
            {
                "Protocols", "Readings", "Participants", "Errors", "The gap", "Trackers", "Ablations",
                "Participant or film effects", "Worse input",
            },
        ),
    ],
    ids=["no older report", "no live run", "no probes", "no data"],
)  # fmt: skip
def test_a_section_without_anything_to_say_vanishes(
    report: BenchReport, changes: dict[str, object], bundle_changes: dict[str, object], gone: set[str]
) -> None:
    bundles = tuple(msgspec.structs.replace(bundle, **bundle_changes) for bundle in report.bundles)
    page = Page(page_of(msgspec.structs.replace(report, bundles=bundles, **changes)))
    assert set(HEADINGS) - set(page.sections) == gone


def test_the_barest_report_has_a_page_a_card_and_its_tables() -> None:
    page = Page(page_of(bare()))
    assert tuple(page.sections) == ("Summary", "Speed", "Machine and method", "Model card")
    assert [name for name, text in page.sections.items() if "Median time of each part" in text] == ["Speed"]
    assert set(tables_of(bare())) == {"speed", "loading"}
    card = card_of(bare())
    assert "nothing is known about accuracy" in card
    assert "SYNTHETIC" not in card


def test_nothing_is_loaded_and_every_drawing_is_well_formed_and_speaks(report: BenchReport, page: Page) -> None:
    text = page_of(report)
    assert not page.tags & {"link", "img", "iframe", "object", "image", "use", "foreignobject"}
    assert all(address.startswith(("#", "data:text/csv")) for address in page.addresses)
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in text
    drawings = re.findall(r"<svg.*?</svg>", text, flags=re.S)
    assert len(drawings) > 30
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.findtext(f"{SVG}title") == root.get("aria-label")
        assert len(root.findtext(f"{SVG}desc") or "") > 10
        assert "nan" not in drawing.lower()


def test_headings_are_linked_and_tables_have_captions(report: BenchReport) -> None:
    text = page_of(report)
    assert set(re.findall(r'href="#(s\d+)"', text)) == set(re.findall(r'<h2 id="(s\d+)"', text))
    assert text.count("<table>") == text.count("<caption>")
    assert text.count("prefers-color-scheme:dark") >= 1
    assert "@media print" in text


def test_hostile_names_stay_text_everywhere() -> None:
    report = everything(EVIL)
    text = page_of(report)
    assert text.count("<script") == 1  # which sorts tables; the page's policy allows it by its hash
    assert "<script>for (const head" in text
    assert "alert('" not in text
    assert "alert(&#x27;&amp;&#x27;)" in text
    Page(text)
    for item in re.findall(r"<svg.*?</svg>", text, flags=re.S):
        ElementTree.fromstring(item)
    card = card_of(report)
    assert "<script" not in card.replace(r"\<script", "")
    assert "](http" not in card.replace(r"\](http", "")


def test_every_table_is_csv_and_latex_of_its_own_shape(report: BenchReport) -> None:
    tables = tables_of(report)
    assert {
        "class_protocols",
        "value_protocols",
        "readings",
        "people",
        "confusions",
        "gap",
        "ablations",
        "films",
    } <= set(tables)
    assert {"robustness", "single_stream", "streams", "energy", "first_result", "splits", "clocks", "against"} <= set(
        tables
    )
    for name, table in tables.items():
        rows = list(csv.reader(io.StringIO(to_csv(table))))
        assert len(rows) == len(table.rows) + 1, name
        assert len({len(row) for row in rows}) == 1, name
        assert len(set(rows[0])) == len(rows[0]), name
        latex = to_latex(table, f"tab:{name}")
        body = latex.partition("\\midrule\n")[2].partition("\n\\bottomrule")[0].splitlines()
        assert len(body) == len(table.rows), name
        assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(table.columns) - 1}, name
        plain = re.sub(r"\\[{}%&$#_]", "", latex)
        assert plain.count("{") == plain.count("}"), name
        assert plain.count("$") % 2 == 0, name
        assert latex.isascii(), name


def test_protocols_are_set_as_in_a_paper(report: BenchReport) -> None:
    latex = to_latex(tables_of(report)["class_protocols"])
    row = next(line for line in latex.splitlines() if line.startswith("ER-7 & FP32"))
    assert re.search(r"\d+\.\d \$\\pm\$ 1\.4", row)
    values = tables_of(report)["value_protocols"]
    heads = ["ER-VA, valence", "ER-VA, arousal", "FER-VA, valence", "FER-VA, arousal", "FER-intensity"]
    protocols = [row[0] for row in values.rows]
    assert sorted(protocols) == sorted(3 * heads)
    guesses = [row[1] in ("training mean", "training median") for row in values.rows]
    assert guesses == sorted(guesses)  # results before guesses


def test_the_methods_paragraph_names_what_a_paper_needs(report: BenchReport) -> None:
    text = methods_of(report)
    for item in (
        "4 exported EMERT bundles", "FP32, INT8", "emer-edge 9.9.9", "1,331 usable clips of 121 participants",
        "12 stimuli",
        "synthetic data set", "2-fold cross-validation with participants apart", "480 clips of 48 participants",
        "12 s with 8 face crops of 112 x 112 px and 32 eye rows of 39 columns", "random draws", "1000 bootstrap draws",
        "seed 11", "ER-7, ER-3, ER-VA, FER-7, FER-3, FER-VA, FER-intensity", "Jetson Orin Nano (Cortex-A78AE), 6 cores",
        "onnxruntime 1.20 on cpu and 1 thread", "SingleStream (at least 64 queries and 10 s", "30 Hz", "120 Hz",
    ):  # fmt: skip
        assert item in text
    two_of_five = msgspec.structs.replace(
        report.data, folds=tuple(FoldFacts(fold=at, clips=1, participants=1) for at in range(1, 6))
    )
    part = methods_of(msgspec.structs.replace(report, data=two_of_five))
    assert "Of 5 folds with participants apart, 480 clips of 48 participants of folds 1, 2 were held out." in part
    shared = msgspec.structs.replace(report.data, shared_participants=3)
    assert "participants apart" not in methods_of(msgspec.structs.replace(report, data=shared))
    short = methods_of(bare())
    assert "cross-validation" not in short
    assert "bootstrap" not in short
    assert "5 runs that do not count" in short


def test_the_card_follows_the_published_headings_and_is_loud_about_synthetic_data(report: BenchReport) -> None:
    card = card_of(report)
    assert re.findall(r"^## (.*)$", card, flags=re.M) == [
        "Model details", "Intended use", "Out of scope", "Factors", "Metrics", "Evaluation data", "Training data",
        "Quantitative analyses", "Ethical considerations", "Caveats and recommendations",
    ]  # fmt: skip
    assert card.index("SYNTHETIC WEIGHTS") < card.index("SYNTHETIC DATA") < card.index("## Model details")
    assert "Class protocols" in card
    assert "| er-7 | fear | 211 |" in card
    assert "May decode the film" in card
    assert "2024/1689" in card
    tables = [line for line in card.splitlines() if line.startswith("|")]
    assert len(tables) > 20


def test_real_weights_and_clips_are_not_called_synthetic(report: BenchReport) -> None:
    assert report.data is not None
    bundles = tuple(
        msgspec.structs.replace(bundle, demo=False, origin=msgspec.structs.replace(bundle.origin, synthetic=False))
        for bundle in report.bundles
    )
    real = msgspec.structs.replace(report, bundles=bundles, data=msgspec.structs.replace(report.data, synthetic=False))
    assert "SYNTHETIC" not in card_of(real)
    assert "synthetic" not in methods_of(real).lower()


def test_folds_of_one_precision_stand_together_and_lone_bundles_alone(report: BenchReport) -> None:
    assert [(scored.name, scored.folds, len(scored.bundles)) for scored in scored_of(report)] == [
        ("FP32, 2 folds", (1, 2), 2),
        ("INT8, 2 folds", (1, 2), 2),
    ]
    alone = scored_of(msgspec.structs.replace(report, sets=()))
    assert [item.name for item in alone] == [bundle.name for bundle in report.bundles]
    assert not any(item.is_set for item in alone)


def test_bundles_of_one_name_are_numbered(report: BenchReport) -> None:
    same: tuple[BundleBench, ...] = tuple(msgspec.structs.replace(bundle, name="emert") for bundle in report.bundles)
    renamed = msgspec.structs.replace(report, bundles=same, sets=(), pairs=())
    assert list(names_of(renamed).values()) == ["emert #1", "emert #2", "emert #3", "emert #4"]
    assert len({scored.name for scored in scored_of(renamed)}) == 4
    sets = tuple(msgspec.structs.replace(fold_set, bundles=("emert", "emert")) for fold_set in report.sets)
    together = scored_of(msgspec.structs.replace(renamed, sets=sets))
    assert [[bundle.path for bundle in item.bundles] for item in together] == [
        [item.path for item in same[:2]],
        [item.path for item in same[2:]],
    ]


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("demo weights", "Demo weights."),
        ("emert-int8: no p90", "emert-int8: no p90."),
        ("Already one.", "Already one."),
        ("3 participants", "3 participants."),
    ],
    ids=["words", "a bundle", "a sentence", "a number"],
)
def test_notes_become_sentences_and_names_stay_names(note: str, expected: str) -> None:
    assert sentence(note) == expected


def test_energy_that_no_sensor_saw_is_told_with_the_reason(report: BenchReport) -> None:
    def blind(item: BundleBench) -> BundleBench:
        loops = {
            query: msgspec.structs.replace(result, energy=Energy(reason="no sensor of this board"))
            for query, result in item.single_stream.items()
        }
        return msgspec.structs.replace(item, single_stream=loops)

    dark = msgspec.structs.replace(report, bundles=tuple(blind(bundle) for bundle in report.bundles))
    assert "energy" not in tables_of(dark)
    assert Page(page_of(dark)).sections["Speed"].count("Energy was not measured: no sensor of this board.") == 1


def test_many_warnings_do_not_push_the_figures_down(report: BenchReport) -> None:
    page = page_of(msgspec.structs.replace(report, notes=tuple(f"warning number {at}" for at in range(20))))
    first = page.partition('<h2 id="s1"')[0]
    assert first.count("class=warning") > 20
    shown, folded = first.split("<details><summary>1")[0], first
    assert shown.count("class=warning") == 7
    assert "Warning number 19." in folded


def test_a_column_without_any_cell_is_left_out(report: BenchReport) -> None:
    assert "over folds" in [column.name for column in tables_of(report)["gap"].columns]
    alone = tables_of(msgspec.structs.replace(report, sets=()))["gap"]
    assert "over folds" not in [column.name for column in alone.columns]
    assert {len(row) for row in alone.rows} == {len(alone.columns)}
