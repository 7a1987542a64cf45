"""docs/boards.md is what the files of boards make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.boards import BOARDS, PAGE, boards_table
from benchmarks.tables import markdown

MACHINE = {
    "gpu": "Orin", "module": "NVIDIA Jetson Orin Nano", "multiprocessors": "8", "tensorrt": "tensorrt 10.3.0",
    "cuda": "12.6", "l4t": "36.4.3",
}  # fmt: skip


def document(**figures: Any) -> dict[str, Any]:
    rows = [{"ok": True}, {"ok": False}]
    made = {"machine": MACHINE, "bundles": {}, "rows": rows} | figures
    return {"environment": {"power_mode": "2 MAXN_SUPER"}, "figures": made}


def test_the_page_is_what_the_files_make_of_it() -> None:
    text = PAGE.read_text()
    assert markdown(boards_table(BOARDS)) in text
    assert ("No board has sent a file yet" in text) == (not list(BOARDS.glob("*.json")))


def test_a_row_a_board_and_bundle_with_the_fastest_that_agreed(tmp_path: Path) -> None:
    combinations = [
        {"parts": {"face_encoder": "tensorrt/face_encoder"}, "step_ms": 1.0, "difference": 0.5, "allowed": 0.02},
        {"parts": {"face_encoder": "cpu/face_encoder"}, "step_ms": 7.25, "difference": 0.001, "allowed": 0.02},
    ]
    whole = {"combinations": combinations, "live": {"stages": {"total": {"p99_ms": 12.5}}}}
    (tmp_path / "orin.json").write_text(json.dumps(document(bundles={"int8.emer": whole})))
    (row,) = boards_table(tmp_path).rows
    assert row == (
        "NVIDIA Jetson Orin Nano, 8 SMs", "tensorrt 10.3.0, CUDA 12.6, L4T 36.4.3", "2 MAXN_SUPER", "int8.emer", 7.25,
        "cpu/face_encoder", 12.5, 1,
    )  # fmt: skip


def test_a_board_on_which_nothing_was_chosen_has_its_row(tmp_path: Path) -> None:
    (tmp_path / "orin.json").write_text(json.dumps(document(bundles={"int8.emer": {}})))
    (row,) = boards_table(tmp_path).rows
    assert row[3:] == ("int8.emer", None, "none agreed", None, 1)


def test_no_file_is_an_empty_table_that_says_so(tmp_path: Path) -> None:
    table = boards_table(tmp_path / "absent")
    assert (table.rows, table.note) == (
        (),
        "No board has sent a file yet: nothing is known about any, and this table is empty.",
    )


@pytest.mark.parametrize("text", ["", "[]", '{"figures": {}}'], ids=["empty", "a list", "another file"])
def test_a_file_of_something_else_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(SystemExit, match=r"other\.json is no file of gpu_check"):
        boards_table(tmp_path)
