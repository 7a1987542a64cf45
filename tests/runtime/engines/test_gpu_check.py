"""What is sent back from a GPU: the checks of `benchmarks.gpu_check`, on a GPU played by the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from gpu_stand_in import StandIn, played
from placed_bundles import write_placed_bundle

from benchmarks import gpu_check
from benchmarks.boards import boards_table
from benchmarks.tensorrt_cases import given
from emer_edge.runtime.engines.tensorrt.engine import why_not


def test_a_bundle_of_several_precisions_is_checked_part_by_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = write_placed_bundle(tmp_path)
    boards = tmp_path / "boards"
    boards.mkdir()
    monkeypatch.setattr(gpu_check, "BOARDS", boards)
    (tmp_path / "work/recording-30").mkdir(parents=True)  # these small networks find no faces: there is no live run
    work = ["--work", str(tmp_path / "work"), "--repeats", "3", "--warmup", "1"]
    monkeypatch.setattr(sys, "argv", ["gpu_check", str(bundle.path), *work])
    with played(StandIn(True), monkeypatch, tmp_path / "cache"):
        assert gpu_check.main() == 1
    rows = json.loads((boards / "orin.json").read_text())["figures"]["rows"]
    assert [(row["part"], row["check"]) for row in rows if not row["ok"]] == [("all", "live run")]
    parts = {(row["part"], row["precision"]) for row in rows if row["check"] == "time, CUDA graph"}
    assert parts == {
        ("face_detector", "fp32"), ("face_encoder", "fp16"), ("face_encoder-int8", "int8"), ("fusion", "fp16"),
    }  # fmt: skip
    (row,) = boards_table(boards).rows
    assert row[3] == bundle.path.name
    assert "face_encoder" in str(row[5])


def test_the_cpus_file_of_a_part_is_of_the_same_precision(tmp_path: Path) -> None:
    files = {case.part: case.cpu.name for case in given([write_placed_bundle(tmp_path).path]) if case.cpu is not None}
    assert files["face_encoder-int8"] == "face_encoder-int8.onnx"
    assert files["fusion"] == "fusion.onnx"


@pytest.mark.skipif(why_not() is None, reason="there is a GPU here")
def test_without_a_gpu_it_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    assert gpu_check.main() == 2
    assert capsys.readouterr().out.startswith("gpu_check: nothing can be checked here: TensorRT can't run, as it ")
