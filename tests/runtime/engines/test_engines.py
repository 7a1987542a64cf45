from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError, EmerEdgeError, EngineError
from emer_edge.runtime.engines import open_engine, resolve_engine
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


@pytest.mark.skipif(why_not() is None, reason="there is a GPU here: nothing is missing")
def test_tensorrt_says_what_it_needs(bundle: Bundle) -> None:
    with pytest.raises(EmerEdgeError, match=r"can't run .*fusion\.onnx: it needs .*choose --engine onnxruntime|pycuda"):
        open_engine("tensorrt", bundle.part("cpu", "fusion"))
