from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

import pytest

from emer_edge.core.errors import DataError
from emer_edge.export.exporter import ExportSummary
from emer_edge.export.report.collecting import command_of
from emer_edge.export.report.export_report import ExportReport
from emer_edge.export.report.page import report_html as render
from emer_edge.export.report.page import summary_table

EVIL = '<script>alert("&")</script><b>'
HEADINGS = (
    "Summary",
    "Choice of precision",
    "Accuracy",
    "Accuracy gate",
    "Probabilities",
    "Speed",
    "Parts and size",
    "Layers",
    "Ranges",
    "Calibration",
    "TensorRT",
    "How it was made",
)


class Page(HTMLParser):
    """Text by section, tags, and that what opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.sections: dict[str, str] = {}
        self._heading = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self._heading = data
        elif self._heading:
            self.sections[self._heading] = self.sections.get(self._heading, "") + data + "\n"


def scripts_of(text: str) -> list[str]:
    return re.findall(r"<script[^>]*>(.*?)</script>", text, flags=re.S)


@pytest.fixture
def figures(int8: ExportSummary) -> dict[str, Any]:
    """As `report.json` holds them."""
    return json.loads(int8.report.to_json())


def report_html(figures: dict[str, Any]) -> str:
    return render(ExportReport.from_json(json.dumps(figures).encode()))


@pytest.fixture
def everything(figures: dict[str, Any]) -> dict[str, Any]:
    """What one export seldom has all of: `auto`, a trial of methods, layers put back, two networks."""
    layer = {
        "layer": "layer2.0.add",
        "part": "face_encoder",
        "macs": 5_000_000,
        "embedding_db": 30.0,
        "shift": 0.002,
        "heads": {"er-7": 0.002, "er-valence": 0.001},
        "agreement": {"er-7": 1.0},
    }
    product = {**layer, "layer": "lstm", "part": "fusion", "embedding_db": None, "shift": 0.001}
    row = {"precision": "int8", "step_ms": 5.0, "step_p90_ms": 6.0, "steps": 40, "bytes": 9_000_000}
    untried = dict.fromkeys(("step_ms", "step_p90_ms", "steps", "bytes"))
    shares = {"cpu/step": 0.97, "tensorrt/step": 0.9}
    return {
        **figures,
        "sensitivity": [layer, product],
        "kept_high": ["layer2.0.add"],
        "candidates": [
            {**row, "verdict": "passed", "kept": True, "why": "kept, a step takes 5.00 ms"},
            {
                **row,
                "precision": "fp32",
                "step_ms": 15.0,
                "step_p90_ms": 16.0,
                "verdict": "not needed",
                "kept": False,
                "why": "slower",
            },
            {"precision": "fp16", **untried, "verdict": "not tried", "kept": False, "why": "not tried: no room"},
        ],
        "fall_back": {
            "layers": ["layer2.0.add"],
            "tried": [{"layers": 0, "verdict": "failed"}, {"layers": 1, "verdict": "passed"}],
            "step_ms_before": 4.0,
            "step_ms": 5.0,
            "int8_macs_before": {"cpu/step": 0.99, "tensorrt/step": 0.95},
            "int8_macs": shares,
            "failed": {"cpu": ["er-7/war 0.900 -> 0.800"]},
        },
        "networks": [
            {"heads": ["er-7"], "encoder": "face_encoder", "fusion": "fusion"},
            {"heads": ["fer-7"], "encoder": "face_encoder_2", "fusion": "fusion_2"},
        ],
        "calibration": {
            **figures["calibration"],
            "requested": "auto",
            "methods": {"mse": {"cpu/shift": 0.004, "cpu/embedding_db": 25.0}, "minmax": {"cpu/shift": 0.009}},
        },
    }


def test_a_real_export_tells_every_section(int8: ExportSummary) -> None:
    written = (int8.path / "report.html").read_text("utf-8")
    assert written == render(ExportReport.from_json((int8.path / "report.json").read_bytes())) == render(int8.report)
    page = Page(written)
    assert tuple(page.sections) == HEADINGS
    assert int8.report.data["clips"].endswith("can be used")
    assert all(f"Data: {name}" in page.sections["How it was made"] for name in int8.report.data)
    assert not page.tags & {"link", "img", "iframe", "object"}
    assert scripts_of(written) == [(files("emer_edge.report") / "sort.js").read_text("utf-8")]
    assert set(re.findall(r"https?://[^\s\"'<]+", written)) == {"http://www.w3.org/2000/svg"}
    assert "INT8" in page.sections["Summary"]
    assert "95 % intervals" in page.sections["Accuracy"]
    assert "gap/shift" in page.sections["Accuracy gate"]
    assert "temperature" in page.sections["Probabilities"]
    assert "was not measured" in page.sections["Layers"]
    assert "noisiest" in page.sections["Ranges"]
    assert "8 of the data set's training clips" in page.sections["Calibration"]


def test_every_drawing_speaks(everything: dict[str, Any]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", report_html(everything), flags=re.S)
    assert len(drawings) >= 10
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert root[1].tag.endswith("desc")
        assert len(root[1].text or "") > 10
        assert root[0].tag.endswith("title")
        assert "nan" not in drawing.lower()


def test_what_auto_and_the_gate_decided_is_told(everything: dict[str, Any]) -> None:
    page = Page(report_html(everything)).sections
    assert "not tried: no room" in page["Choice of precision"]
    assert "passed INT8: 5.00 (5.00 to 6.00), 9.0; not needed FP32: 15.00" in page["Choice of precision"]
    assert "1 layer was put back" in page["Choice of precision"]
    assert "0 layers failed; 1 layers passed" in page["Choice of precision"]
    assert "2 networks cost 2 face encoders" in page["Speed"]
    assert "layer2.0.add" in page["Layers"]
    assert "high precision" in page["Layers"]
    assert "mse" in page["Calibration"]
    assert "auto was requested" in page["Calibration"]


def test_what_was_not_measured_is_said_in_words(figures: dict[str, Any]) -> None:
    parts = {key: {**part, "precision": "fp32"} for key, part in figures["parts"].items()}
    gate = {**figures["gate"], "verdict": "not run", "windows": 0, "clips": 0, "participants": 0}
    bare = {
        **figures,
        "parts": parts,
        "gate": gate,
        "trials": {},
        "accuracy": {},
        "probabilities": {},
        "sensitivity": [],
        "ranges": [],
        "calibration": None,
        "command": "",
        "tensorrt": "not checked (no TensorRT here)",
    }
    page = Page(report_html(bare)).sections
    assert tuple(page) == HEADINGS
    assert "Not run" in page["Summary"]
    assert "FP32" in page["Summary"]
    assert "no labelled clips" in page["Accuracy"]
    assert "not run" in page["Accuracy gate"]
    assert "Not measured" in page["Probabilities"]
    assert "Nothing was calibrated" in page["Calibration"]
    assert "not checked" in page["TensorRT"]
    assert "no command line" in page["How it was made"]


def test_an_fp32_bundle_has_nothing_to_lose(figures: dict[str, Any]) -> None:
    plain = {**figures, "parts": {key: {**part, "precision": "fp32"} for key, part in figures["parts"].items()}}
    assert "no accuracy can be lost" in Page(report_html(plain)).sections["Accuracy gate"]


def test_one_participant_leaves_no_intervals_and_no_nonsense(everything: dict[str, Any]) -> None:
    for trial in everything["trials"].values():
        trial["changes"] = [{**change, "low": None, "high": None} for change in trial["changes"]]
    for heads in everything["accuracy"].values():
        for metrics in heads.values():
            metrics.update({name: [given[0], None, None] for name, given in metrics.items()})
    text = report_html(everything)
    assert "nan" not in re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.S).lower()


def poisoned(value: Any, below: str = "") -> Any:
    """Markup at the end of every text, and in every key that a user can have a say in."""
    if isinstance(value, dict):
        free = below in ("facts", "windows_by_class", "methods")
        return {
            (key + EVIL if free and key != "requested precision" else key): poisoned(item, key)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [poisoned(item, below) for item in value]
    # Where they come from, what they compute in and what the gate says are words of this project's own.
    return value + EVIL if isinstance(value, str) and below not in ("source", "precision", "verdict") else value


def test_markup_in_names_stays_text(everything: dict[str, Any]) -> None:
    text = report_html(poisoned(copy.deepcopy(everything)))
    page = Page(text)
    assert "b" not in page.tags
    assert len(scripts_of(text)) == 1
    assert text.count("&lt;script&gt;") > 50


def test_the_command_names_files_and_no_folders(figures: dict[str, Any]) -> None:
    assert figures["command"] == "emer-edge export --data clips --output=small-int8.emer --checkpoint 'er-7=b c.pt'"
    assert command_of(()) == ""
    page = Page(report_html(figures)).sections["How it was made"]
    assert figures["command"] in page
    assert "/home/someone" not in json.dumps(figures)


def test_accuracy_is_what_the_gate_compared(figures: dict[str, Any]) -> None:
    assert set(figures["accuracy"]) == {"fp32", "cpu", "tensorrt"}
    for variant, trial in figures["trials"].items():
        for change in trial["changes"]:
            head, _, metric = change["name"].partition("/")
            if metric in ("war", "uar", "mae"):
                assert figures["accuracy"]["fp32"][head][metric][0] == pytest.approx(change["before"], abs=1e-5)
                figure, low, high = figures["accuracy"][variant][head][metric]
                assert figure == pytest.approx(change["after"], abs=1e-5)
                if low is not None:
                    assert low <= figure <= high


def test_the_terminal_gets_the_essentials(int8: ExportSummary) -> None:
    rows = dict(summary_table(int8.report).rows)
    assert rows["precision"] == "INT8 (cpu INT8; tensorrt INT8 and FP16)"
    assert "windows" in rows["accuracy gate"]
    assert "FP32" in rows["a step"]
    assert "MB" in rows["size"]
    assert "%" in rows["in INT8"]
    assert "8 windows" in rows["calibration"]
    assert "TensorRT" in rows


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda figures: figures.pop("gate"), "gate"),
        (lambda figures: figures.update(schema=4), r"\$\.schema"),
        (lambda figures: figures["timing"].update(threads="one"), r"\$\.timing\.threads"),
        (lambda figures: figures.update(extra=1), "extra"),
    ],
    ids=["missing", "schema", "type", "unknown"],
)
def test_a_report_is_read_strictly(figures: dict[str, Any], spoil: Any, message: str) -> None:
    assert ExportReport.from_json(json.dumps(figures).encode()).to_json().startswith(b'{\n  "schema": 3,\n  "name": ')
    spoil(figures)
    with pytest.raises(DataError, match=f"x.json is no report of export, schema 3: .*{message}"):
        ExportReport.from_json(json.dumps(figures).encode(), "x.json")
