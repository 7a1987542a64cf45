from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from onnx_bytes import field, model, node, tensor

from emer_edge.bundle import Bundle, Part
from emer_edge.bundle.onnx_rule import check_part
from emer_edge.core.errors import ConfigurationError, EmerEdgeError, EngineError
from emer_edge.runtime.engines import open_engine, resolve_engine
from emer_edge.runtime.engines.base import first_run, within
from emer_edge.runtime.engines.tensorrt.engine import why_not


@pytest.mark.skipif(why_not() is None, reason="there is a GPU here: auto is TensorRT")
def test_auto_runs_parts_on_onnxruntime(bundle: Bundle) -> None:
    engine = open_engine("auto", bundle.part("cpu", "face_encoder"))
    assert engine.name == "onnxruntime"
    assert engine.inputs == {"face": (None, 3, 112, 112)}
    assert engine.run({"face": np.zeros((2, 3, 112, 112), np.float32)})["embedding"].shape == (2, 128)


def test_unknown_engine_names_the_known() -> None:
    with pytest.raises(ConfigurationError, match="auto, onnxruntime or tensorrt"):
        resolve_engine("tflite")


def test_no_threads() -> None:
    with pytest.raises(ConfigurationError, match="1 thread or more, not 0"):
        open_engine("auto", Path("x.onnx"), 0)


def test_file_that_is_no_network(tmp_path: Path) -> None:
    part = tmp_path / "part.onnx"
    part.write_bytes(b"not a network")
    with pytest.raises(EngineError, match=r"refuses .*part\.onnx"):
        open_engine("onnxruntime", part)


def test_wrong_input_and_closed_engine(bundle: Bundle) -> None:
    engine = open_engine("onnxruntime", bundle.part("cpu", "face_encoder"))
    with pytest.raises(EngineError, match="failed to run"):
        engine.run({"face": np.zeros((1, 3, 7, 7), np.float32)})
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run({})


def test_what_a_part_was_loaded_from_is_freed(bundle: Bundle) -> None:
    part = bundle.part("cpu", "face_encoder")
    held = sys.getrefcount(part.content)
    engine = open_engine("onnxruntime", part)
    assert engine.run({"face": np.zeros((1, 3, 112, 112), np.float32)})["embedding"].shape == (1, 128)
    now = sys.getrefcount(part.content)
    assert now == held


def test_a_part_that_computes_for_hours_is_loaded_at_once_and_refused_when_it_runs(tmp_path: Path) -> None:
    """Constants multiplied in a file of a few kilobytes keep a processor busy; loading it must not begin with that."""
    side = 900
    squared = [node("MatMul", f"m{at} m{at}", f"m{at + 1}") for at in range(4)]
    sides = [field(5, tensor("tall", (side, 1))), field(5, tensor("wide", (1, side)))]
    content = model(*sides, node("MatMul", "tall wide", "m0"), *squared, node("Add", "x m4"), size=side)
    (tmp_path / "slow.onnx").write_bytes(content)
    check_part(content, "it looks like any other")
    open_engine("onnxruntime", tmp_path / "slow.onnx").close()  # ONNX Runtime itself is loaded
    began_s = time.process_time()
    engine = open_engine("onnxruntime", tmp_path / "slow.onnx")
    loaded_s = time.process_time() - began_s
    engine.run({"x": np.zeros((1, side), np.float32)})
    assert loaded_s < (time.process_time() - began_s) / 2


def test_a_loading_that_does_not_end_is_refused() -> None:
    ended = threading.Event()
    with pytest.raises(EngineError, match=r"the loading of slow.onnx has not ended after 0.05 s; don't use"):
        within(0.05, "the loading of slow.onnx", ended.wait, 60)
    ended.set()


def test_inputs_that_would_fill_memory_are_refused(tmp_path: Path) -> None:
    (tmp_path / "wide.onnx").write_bytes(model(node("Relu"), size=1 << 40))
    part = Part.of(tmp_path / "wide.onnx")
    engine = open_engine("onnxruntime", part)
    with pytest.raises(EngineError, match=r"wide.onnx takes inputs of {'x': \[1, 1099511627776\]}, as no part does"):
        first_run(engine, part)


def test_a_first_run_that_does_not_end_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    part, ended = bundle.part("cpu", "face_encoder"), threading.Event()

    class Stuck:
        inputs: ClassVar = {"face": (None, 3, 112, 112)}

        def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            assert inputs["face"].shape == (1, 3, 112, 112)
            ended.wait(60)
            return {}

    monkeypatch.setattr("emer_edge.runtime.engines.base.FIRST_RUN_S", 0.05)
    with pytest.raises(EngineError, match=r"the first run of .*face_encoder.onnx has not ended after 0.05 s"):
        first_run(Stuck(), part)
    ended.set()
    monkeypatch.setattr("emer_edge.runtime.engines.base.FIRST_RUN_S", 60.0)
    assert first_run(Stuck(), part) == {}


@pytest.mark.skipif(why_not() is None, reason="there is a GPU here: nothing is missing")
def test_tensorrt_says_what_it_needs(bundle: Bundle) -> None:
    with pytest.raises(EmerEdgeError, match=r"can't run .*fusion\.onnx: it needs .*choose --engine onnxruntime|pycuda"):
        open_engine("tensorrt", bundle.part("cpu", "fusion"))
