"""The tables in docs/scaling.md are those that the benchmarks wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_roofline_table_holds_the_computed_figures() -> None:
    boards = json.loads((ROOT / "benchmarks/results/roofline.json").read_text())["figures"]["boards"]
    page = (ROOT / "docs/scaling.md").read_text()
    table = re.search(r"<!-- roofline -->(.*?)<!-- end roofline -->", page, re.DOTALL)
    assert table is not None
    assert "computed, not measured" in table[1]
    rows = {line.split("|")[1].strip(): line for line in table[1].splitlines() if line.startswith("| Jetson")}
    assert len(rows) == len(boards)
    for name, figures in boards.items():
        row = next(line for heading, line in rows.items() if heading.rpartition(",")[0] == name)
        assert f"{figures['step_ms']:.3f}" in row
        assert f"{figures['streams_at_half_gpu']:,}" in row


def test_streams_table_holds_the_measured_figures() -> None:
    rows = json.loads((ROOT / "benchmarks/results/streams.json").read_text())["figures"]["rows"]
    table = re.search(r"<!-- streams -->(.*?)<!-- end streams -->", (ROOT / "docs/scaling.md").read_text(), re.DOTALL)
    assert table is not None
    shown = {line.split("|")[1].strip(): line for line in table[1].splitlines() if re.match(r"\| \d", line)}
    assert list(shown) == [str(each["streams"]) for each in rows]
    for row in rows:
        assert f" {100 * row['cpu_share_a_stream']:.1f} " in shown[str(row["streams"])]
        assert f" {row['total_p99_ms']:.1f} " in shown[str(row["streams"])]
