"""The executor on a GPU played by the CPU (see gpu_stand_in): its own logic, and nothing of CUDA or TensorRT."""

from __future__ import annotations

import ctypes
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from gpu_stand_in import StandIn
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tensorrt_inputs import write_network

from emer_edge.core.errors import EngineError
from emer_edge.runtime.engines import open_engine, resolve_engine
from emer_edge.runtime.engines.tensorrt import cuda, toolkit
from emer_edge.runtime.engines.tensorrt.engine import TensorRtEngine, why_not


@pytest.fixture(params=[False, True], ids=["a GPU of its own", "integrated"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    stand_in = StandIn(request.param)
    load = ctypes.CDLL
    package, module = ModuleType("pycuda"), stand_in.pycuda()
    package.driver = module  # type: ignore[attr-defined]
    package.__spec__ = toolkit.find_spec("json")
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", module)
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in.tensorrt())
    monkeypatch.setattr(
        cuda.ctypes, "CDLL", lambda name, *given: stand_in.library if name == "libcuda.so.1" else load(name, *given)
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cuda.load_driver.cache_clear()
    toolkit._toolkit.cache_clear()
    yield stand_in
    cuda.load_driver.cache_clear()
    toolkit._toolkit.cache_clear()


def batch(size: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    return {"x": np.random.default_rng(seed).normal(size=(size, 3, 8, 8)).astype(np.float32)}


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return write_network(tmp_path)


def test_outputs_are_those_of_onnxruntime_whatever_the_batch(gpu: StandIn, part: Path) -> None:
    reference = open_engine("onnxruntime", part)
    engine = open_engine("tensorrt", part)
    assert engine.inputs == reference.inputs
    assert engine.outputs == reference.outputs
    for seed, size in enumerate([1, 1, 1, 1, 5, 40, 1, 16, 16, 16, 3, 1]):
        given = batch(size, seed)
        np.testing.assert_allclose(engine.run(given)["y"], reference.run(given)["y"], atol=1e-6)
    assert engine.run(batch(0))["y"].shape == (0, 4, 8, 8)
    engine.close()


def test_everything_is_freed_and_nothing_stays_current(gpu: StandIn, part: Path) -> None:
    engine = TensorRtEngine(part)
    assert gpu.stack == []
    for size in (1, 1, 1, 1, 9):
        engine.run(batch(size))
        assert gpu.stack == []
    assert gpu.retained == 1
    engine.close()
    engine.close()
    assert (gpu.live, gpu.retained, gpu.stack) == ([], 0, [])
    called = gpu.library.called
    assert called.count("cuGraphExecDestroy") == called.count("cuGraphInstantiateWithFlags") == 1
    assert called.count("cuCtxPopCurrent_v2") == 1
    with pytest.raises(EngineError, match="closed; open the bundle again"):
        engine.run(batch(1))


def test_integrated_gpus_map_and_others_copy(gpu: StandIn, part: Path) -> None:
    engine = TensorRtEngine(part)
    integrated = bool(gpu.library.attributes[18])
    assert len(gpu.live) == (2 if integrated else 4)
    assert {each.flags for each in gpu.live} == ({2} if integrated else {0})
    engine.close()


def test_batches_that_keep_coming_are_captured_and_growing_begins_anew(gpu: StandIn, part: Path) -> None:
    engine = TensorRtEngine(part)
    expected = engine.run(batch(1))["y"]
    engine.run(batch(1))
    assert engine.captured == ()
    np.testing.assert_array_equal(engine.run(batch(1))["y"], expected)
    assert engine.captured == (1,)
    launches = gpu.library.called.count("cuGraphLaunch")
    np.testing.assert_array_equal(engine.run(batch(1))["y"], expected)
    assert gpu.library.called.count("cuGraphLaunch") == launches + 1
    engine.run(batch(16))  # other buffers, other addresses
    assert engine.captured == ()
    np.testing.assert_array_equal(engine.run(batch(1))["y"], expected)
    assert engine.captured == (1,)
    engine.close()


def test_work_that_can_not_be_captured_is_enqueued_and_the_reason_kept(gpu: StandIn, part: Path) -> None:
    gpu.capture_fails = True
    engine = TensorRtEngine(part)
    expected = open_engine("onnxruntime", part).run(batch(1))["y"]
    for _ in range(5):
        np.testing.assert_allclose(engine.run(batch(1))["y"], expected, atol=1e-6)
    assert engine.captured == ()
    assert "operation not permitted when stream is capturing" in engine.graph_note
    assert gpu.library.called.count("cuStreamBeginCapture_v2") == 1
    engine.close()
    assert gpu.live == []


def test_without_graphs_nothing_is_captured(gpu: StandIn, part: Path) -> None:
    engine = TensorRtEngine(part, graphs=False)
    for _ in range(5):
        engine.run(batch(1))
    assert (engine.captured, engine.graph_note) == ((), "not asked for")
    engine.close()


def test_failures_are_told_in_tensorrts_words(gpu: StandIn, part: Path) -> None:
    engine = TensorRtEngine(part)
    gpu.run_fails = True
    with pytest.raises(EngineError, match=r"tensorrt 10\.3\.0 can't run .*tiny\.onnx: operation not permitted"):
        engine.run(batch(1))
    assert gpu.stack == []
    gpu.run_fails = False
    engine.run(batch(1))
    with pytest.raises(EngineError, match=r"x must be float32 of shape \(N, 3, 8, 8\)"):
        engine.run({"x": np.zeros((1, 3, 8, 9), np.float32)})
    engine.close()


def test_another_thread_may_run_it_and_only_the_owner_frees_it(
    gpu: StandIn, part: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = TensorRtEngine(part)
    expected = engine.run(batch(2))["y"]
    found: list[NDArray[Any]] = []

    def elsewhere() -> None:
        found.append(engine.run(batch(2))["y"])
        engine.close()

    thread = threading.Thread(target=elsewhere)
    with caplog.at_level(logging.WARNING):
        thread.start()
        thread.join()
    np.testing.assert_array_equal(found[0], expected)
    assert "closed by another thread than opened it" in caplog.text
    assert gpu.retained == 1
    with pytest.raises(EngineError, match="closed"):
        engine.run(batch(2))
    engine.close()
    assert (gpu.live, gpu.retained) == ([], 0)


def test_fixed_batches(gpu: StandIn, tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])
    y = helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 3, 4, 4])
    model = helper.make_model(
        helper.make_graph([helper.make_node("Relu", ["image"], ["map"])], "fixed", [x], [y]),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    model.ir_version = 8
    path = tmp_path / "fixed.onnx"
    onnx.save(model, str(path))
    engine = TensorRtEngine(path)
    image = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    for _ in range(4):
        np.testing.assert_array_equal(engine.run({"image": image})["map"], np.maximum(image, 0))
    assert engine.captured == (1,)
    engine.close()


def test_second_opening_builds_nothing(gpu: StandIn, part: Path) -> None:
    first = TensorRtEngine(part)
    second = TensorRtEngine(part)
    assert (first.plan.built, second.plan.built) == (True, False)
    assert [each.precision for each in second.layers()] == ["fp16"]
    assert second.device == "Orin (compute capability 8.7), tensorrt 10.3.0"
    first.close()
    second.close()
    assert gpu.live == []


def test_auto_is_tensorrt_where_it_can_run(gpu: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    assert why_not() is None
    assert resolve_engine("auto").name == "tensorrt"
    monkeypatch.delitem(sys.modules, "pycuda.driver")
    monkeypatch.delitem(sys.modules, "pycuda")
    if why_not() is not None:  # pycuda is not installed here either
        with caplog.at_level(logging.WARNING):
            assert resolve_engine("auto").name == "onnxruntime"
        assert "TensorRT can't run here, as it needs the package pycuda" in caplog.text


def test_importing_engines_imports_neither_tensorrt_nor_pycuda() -> None:
    code = (
        "import sys, emer_edge.runtime.engines\n"
        "print([name for name in ('tensorrt', 'tensorrt_rtx', 'pycuda', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
