"""Tables and drawings of the documentation are what the code and the results make of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT

from benchmarks.tables import markdown
from docs.make_drawings import DRAWINGS, jensen_shannon
from docs.make_tables import KINDS, TRIED, eyes_table, hardware_table, onnx_table
from emer_edge.bundle import Bundle


def between(page: Path, name: str) -> str:
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end {name} -->", page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("kinds", KINDS)
def test_every_tracker_and_camera_is_in_the_table_of_what_was_tried(kinds: str) -> None:
    """A new entry of a registry fails here until docs/tried.toml says what stands behind it."""
    assert markdown(hardware_table(kinds)) == between(DOCS / "hardware.md", kinds), "run: python docs/make_tables.py"
    named = re.findall(rf"^\[{kinds}\.(\w+)\]", TRIED.read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(kind.name for kind in KINDS[kinds][1])


def test_the_ablation_in_the_readme_is_that_of_the_results() -> None:
    assert markdown(eyes_table()) == between(ROOT / "README.md", "eyes"), "run: python docs/make_tables.py"


def test_inputs_and_outputs_are_those_of_a_bundle(bundle: Bundle) -> None:
    page = (DOCS / "onnx.md").read_text("utf-8")
    rows = {row for row in markdown(onnx_table(bundle)).splitlines() if row.startswith("| `f")}
    assert len(rows) > 12
    assert [row for row in sorted(rows) if row not in page.splitlines()] == []
    for name in ("template_px", "temperature", "eye_columns", "networks"):
        assert f"`{name}" in page or f".{name}`" in page


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_those_of_the_script(name: str) -> None:
    assert (DOCS / "images" / f"{name}.svg").read_text("utf-8") == str(DRAWINGS[name]())


def test_the_gap_that_is_drawn_is_computed_as_results_have_it() -> None:
    from emer_edge.metrics.probabilities import js_distance

    first, second = (0.7, 0.2, 0.1), (0.1, 0.1, 0.8)
    distance = js_distance(first, second)
    assert jensen_shannon(first, second) == pytest.approx(distance, abs=1e-9)
