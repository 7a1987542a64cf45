"""What the pages say about this repository is so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emer_edge.core.errors import MissingExtraError

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
PYPROJECT = (ROOT / "pyproject.toml").read_text()
DEPLOYED = [path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file()]


def table_of(page: str, name: str) -> str:
    """What is between the marks of a table that a benchmark writes."""
    table = re.search(rf"<!-- {name} -->(.*?)<!-- end {name} -->", (ROOT / page).read_text(), re.DOTALL)
    assert table is not None
    return table[1]


def test_roofline_table_holds_the_computed_figures() -> None:
    boards = json.loads((RESULTS / "roofline.json").read_text())["figures"]["boards"]
    table = table_of("docs/scaling.md", "roofline")
    assert "computed, not measured" in table
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| Jetson")}
    assert len(rows) == len(boards)
    for name, figures in boards.items():
        row = next(line for heading, line in rows.items() if heading.rpartition(",")[0] == name)
        assert f"{figures['step_ms']:.3f}" in row
        assert f"{figures['streams_at_half_gpu']:,}" in row


def test_scale_curve_holds_the_measured_figures_and_none_where_there_are_none() -> None:
    table, path = table_of("docs/scaling.md", "scale curve"), RESULTS / "scaling.json"
    shown = [line.split("|")[1:] for line in table.splitlines() if line.count("|") > 5]
    cells = {(line[0].strip(), line[1].strip()): line for line in shown[2:]}
    rows = json.loads(path.read_text())["figures"]["rows"] if path.exists() else []
    assert list(cells) == [(row["axis"], str(row["value"])) for row in rows]
    assert ("Not recorded yet" in table) == (not rows)
    for row in rows:
        assert f" {row['cpu_ms_a_second']:,.1f} " in cells[row["axis"], str(row["value"])]


def test_results_that_are_said_to_be_missing_are_those_that_are() -> None:
    page = (ROOT / "benchmarks/README.md").read_text()
    missing = re.search(r"\*\*not recorded yet\*\*(.*?)\n\n", page, re.DOTALL)
    assert missing is not None
    named = set(re.findall(r"`([a-z_0-9]+)`", missing[1]))
    scripts = set(re.findall(r'conclude\(\s*"([a-z_0-9]+)"', "".join(map(Path.read_text, scripts_of_benchmarks()))))
    assert scripts > {"peers", "roofline"}
    assert named == {name for name in scripts if not (RESULTS / f"{name}.json").exists()}


def scripts_of_benchmarks() -> list[Path]:
    return sorted((ROOT / "benchmarks").rglob("*.py"))


def test_the_house_names_files_that_are_there() -> None:
    house = (ROOT / "CONTRIBUTING.md").read_text().partition("## The house\n")[2].partition("\n## ")[0]
    paths = re.findall(r"`((?:emer_edge|benchmarks|tests)/[\w/.]*)`", house)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
    for name, path in re.findall(r"`([A-Z]{4,})`[^|`]*`(emer_edge/[\w/.]+\.py)`", house):
        assert re.search(rf"^{name}\b", (ROOT / path).read_text(), re.MULTILINE), (name, path)


@pytest.mark.parametrize(
    "first", ["import emer_edge", "from emer_edge.runtime.engines import open_engine"], ids=["package", "room"]
)
def test_onnx_runtime_starts_no_telemetry(first: str, tmp_path: Path) -> None:
    """Its telemetry keeps a session file in the temporary folder as soon as it is imported."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    code = f"{first}; import onnxruntime; onnxruntime.SessionOptions()"
    subprocess.run([sys.executable, "-c", code], env={**environment, "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


def test_what_the_check_on_arm64_runs_is_there() -> None:
    script = (ROOT / "benchmarks/arm64_check.sh").read_text()
    given = re.search(r"TESTS-(.*?)}", script, re.DOTALL)
    assert given is not None
    places = given[1].replace("\\\n", "").split()
    assert len(places) > 5
    assert [place for place in places if not (ROOT / place).exists()] == []


INSTALLS = re.compile(r"(?:install|pip)\b[^\n]*?['\" ]([.\w-]*)\[([a-z][a-z,]*)\]['\"]")
NAMED = re.compile(r"""(?:install_line|MissingExtraError|require)\((?:[^()]*, )?["']([a-z,]+)["']\)""")


def extras_of_the_package() -> set[str]:
    project = re.findall(r"^\[project.optional-dependencies\]\n(.*?)\n\n", PYPROJECT, re.MULTILINE | re.DOTALL)[0]
    return set(re.findall(r"^(\w+) = ", project, re.MULTILINE))


def test_install_lines_work_from_a_checkout() -> None:
    """emer-edge is on no package index, so that its name would install nothing, or something else."""
    texts = (ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *DEPLOYED, *ROOT.glob("benchmarks/*.*"))
    found = {str(path.relative_to(ROOT)): INSTALLS.findall(path.read_text()) for path in texts}
    told_in = {name for name, lines in found.items() if lines}
    pages = {
        f"docs/{name}.md"
        for name in ("install", "start", "deployment", "tensorrt", "trackers", "outputs", "bench-accuracy")
    }
    assert told_in >= {"README.md", "benchmarks/tensorrt_builds.py", *pages}
    lines = [line for lines in found.values() for line in lines]
    assert {where for where, _ in lines} == {"."}
    assert {name for _, names in lines for name in names.split(",")} <= extras_of_the_package()


def test_messages_that_name_an_extra_give_a_line_that_works() -> None:
    code = {path: path.read_text() for path in sorted((ROOT / "emer_edge").rglob("*.py"))}
    assert [path.name for path, text in code.items() if "emer-edge[" in text] == []
    named = {name for text in code.values() for names in NAMED.findall(text) for name in names.split(",")}
    assert {"jetson", "rtx", "desktop", "export", "synth", "mcap"} <= named <= extras_of_the_package()
    assert str(MissingExtraError("a recording", "mcap", "mcap")).count("pip install '.[mcap]' in a checkout") == 1


def test_the_jetson_extra_fits_each_jetpack() -> None:
    """Packages of JetPack are built with NumPy 1; CUDA 13, where Python is 3.12, needs pycuda 2025.1.2."""
    extra = re.search(r"^jetson = (.*?\])", PYPROJECT, re.MULTILINE)
    assert extra is not None
    assert '"numpy>=1.26,<2"' in extra[1]
    assert "\"pycuda>=2025.1.2; python_version >= '3.12'\"" in extra[1]


def test_every_test_that_a_page_names_is_there() -> None:
    page = (ROOT / "docs/tensorrt.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) > 40
    assert page.count("::test_") == len(named)
    texts = {path: (ROOT / path).read_text() if (ROOT / path).exists() else "" for path, _ in named}
    missing = [(path, name) for path, name in named if not re.search(rf"^def {name}\(", texts[path], re.MULTILINE)]
    assert missing == []


def test_there_is_an_install_block_for_each_jetpack() -> None:
    page = (ROOT / "docs/deployment.md").read_text().partition("## The doctor")[0]
    blocks = re.findall(r"^(JetPack \d[^\n]*):\n\n(?:<!--.*?-->\n)?```bash\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    assert [title[:9] for title, _ in blocks] == ["JetPack 6", "JetPack 7"]
    for _, block in blocks:
        for needed in ("--system-site-packages", "'.[jetson]'", "/usr/local/cuda/bin", "python3-dev", "video,render"):
            assert needed in block
    for package in ("gstreamer1.0-tools", "gstreamer1.0-plugins-bad", "python3-opencv", "build-essential"):
        assert package in page


def test_no_page_ranks_power_modes_by_number() -> None:
    pages = {*(ROOT / "docs").glob("**/*.md")} - {ROOT / "docs" / "cases.md"}  # which quotes what was wrong once
    for path in (ROOT / "README.md", *sorted(pages), *DEPLOYED):
        assert "nvpmodel -m" not in path.read_text(), path.name
        assert "nvpmodel -d" not in path.read_text(), path.name
