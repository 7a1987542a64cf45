from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emer_edge.export.choosing.candidates import Candidate
from emer_edge.export.choosing.selecting import select
from emer_edge.export.choosing.timing import Timing
from emer_edge.export.judging.gate import Change
from emer_edge.export.judging.trial import Trial
from emer_edge.export.precision.variants import PartPrecision
from emer_edge.metrics.latency import LatencySummary, summarise

INTERVALS = {"passed": (-0.002, 0.004), "inconclusive": (-0.02, 0.03), "failed": (0.01, 0.09)}


def candidate(folder: Path, precision: PartPrecision, verdict: str, size: int) -> Candidate:
    path = folder / f"{precision}.onnx"
    path.write_bytes(bytes(size))
    low, high = INTERVALS[verdict]
    change = Change("er-7/war", 0.8, 0.8 - (low + high) / 2, (low + high) / 2, low, high, 0.01)
    trial = Trial({"er-7": np.zeros((2, 7), np.float32)}, (change,), {}, None, unchanged=precision == "fp32")
    return Candidate(precision, {"cpu/fusion": path, "tensorrt/fusion": path}, (), {"cpu": trial})


def timing(**milliseconds: float) -> Timing:
    def taken(each: float) -> dict[str, LatencySummary]:
        return dict.fromkeys(("face_encoder", "fusion", "step"), summarise([round(each * 1e6)] * 5))

    return Timing("onnxruntime", "CPU, 1 thread", (), {name: taken(each) for name, each in milliseconds.items()})


@pytest.mark.parametrize(
    ("verdict", "int8_ms", "kept", "why"),
    [
        ("passed", 4.0, "int8", "kept, a step takes 4.00 ms, gate passed"),
        ("passed", 14.0, "fp16", "a step takes 14.00 ms, fp16 takes 11.00 ms"),
        ("inconclusive", 4.0, "fp16", "inconclusive (er-7/war 0.800 -> 0.795"),
        ("failed", 4.0, "fp16", "the gate fails: er-7/war 0.800 -> 0.750"),
    ],
    ids=["fastest", "slower", "inconclusive", "failed"],
)
def test_the_fastest_that_passed_is_kept(tmp_path: Path, verdict: str, int8_ms: float, kept: str, why: str) -> None:
    candidates = [
        candidate(tmp_path, "fp32", "passed", 400),
        candidate(tmp_path, "fp16", "passed", 200),
        candidate(tmp_path, "int8", verdict, 100),
    ]
    found = select(candidates, timing(fp32=12.0, fp16=11.0, int8=int8_ms), None, {})
    rows = {each["precision"]: each for each in found.rows}
    assert found.chosen.precision == kept
    assert [name for name, each in rows.items() if each["kept"]] == [kept]
    assert why in rows["int8"]["why"]
    assert rows["int8"]["verdict"] == verdict
    assert (rows["int8"]["step_ms"], rows["int8"]["steps"], rows["int8"]["bytes"]) == (int8_ms, 5, 100)
    assert why in found.told


def test_of_equally_fast_ones_the_smaller_bundle_is_kept(tmp_path: Path) -> None:
    candidates = [candidate(tmp_path, "fp32", "passed", 400), candidate(tmp_path, "fp16", "passed", 200)]
    found = select(candidates, timing(fp32=12.0, fp16=12.0), None, {"int8": "no clips"})
    assert found.chosen.precision == "fp16"
    assert found.rows[2]["why"] == "not tried: no clips"
    assert found.rows[2]["step_ms"] is None


def test_fp32_is_kept_where_nothing_else_passed(tmp_path: Path) -> None:
    candidates = [candidate(tmp_path, "fp32", "failed", 400), candidate(tmp_path, "fp16", "failed", 200)]
    assert select(candidates, timing(fp32=12.0, fp16=6.0), None, {}).chosen.precision == "fp32"
