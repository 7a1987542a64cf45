"""The executor on a GPU played by the CPU (see gpu_stand_in): its own logic, and nothing of CUDA or TensorRT."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from gpu_stand_in import StandIn, played
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tensorrt_api import FLOAT_STATES, RELEASES, members
from tensorrt_inputs import write_network

from emer_edge.bundle.tensorrt_rule import ensure_buildable, tensorrt_faults
from emer_edge.core.errors import BundleError, EngineError
from emer_edge.runtime.engines import open_engine, resolve_engine
from emer_edge.runtime.engines.tensorrt import toolkit
from emer_edge.runtime.engines.tensorrt.engine import TensorRtEngine, why_not


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[StandIn, str], None]]:
    """Puts a stand-in, with a release of tensorrt, in the place of the real ones."""
    with ExitStack() as stack:

        def put(gpu: StandIn, release: str) -> None:
            stack.enter_context(played(gpu, monkeypatch, tmp_path / "cache", release))

        yield put


@pytest.fixture(params=[False, True], ids=["a GPU of its own", "integrated"])
def gpu(request: pytest.FixtureRequest, install: Callable[[StandIn, str], None]) -> StandIn:
    stand_in = StandIn(request.param)
    install(stand_in, "10.3.0")
    return stand_in


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


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_is_asked_for_what_it_has(
    release: str, install: Callable[[StandIn, str], None], tmp_path: Path
) -> None:
    """Every name and argument used from parsing to running is in the release's own API; half of the part is FP16."""
    install(StandIn(True), release)
    part = write_network(tmp_path, half=True)
    engine = TensorRtEngine(part)
    reference = open_engine("onnxruntime", part)
    for size in (5, 1, 1, 1, 1):
        np.testing.assert_allclose(engine.run(batch(size))["y"], reference.run(batch(size))["y"], atol=1e-2)
    assert engine.captured == (1,)
    assert [layer.precision for layer in engine.layers()] == ["fp16"]
    assert f"tensorrt {release}" in engine.device
    engine.close()


@pytest.mark.parametrize("release", RELEASES)
def test_releases_refuse_what_strong_typing_refuses(
    release: str, install: Callable[[StandIn, str], None], tmp_path: Path
) -> None:
    """What the rule for TensorRT parts says beforehand is what a release would say."""
    install(StandIn(True), release)
    trt = sys.modules["tensorrt"]
    path = tmp_path / "memory.onnx"
    for states, kind in ((False, np.float16), (True, np.float16), (True, np.float32)):
        path.write_bytes(memory(states, kind).SerializeToString())
        found = toolkit.load_toolkit("tensorrt")
        network = trt.Builder(found.logger).create_network(found.can.network_flags)
        mixed = states and kind is np.float32
        if not (mixed and release == "8.6.1"):  # ONNX Runtime, which plays it, refuses what 8.6 may cast by itself
            taken = trt.OnnxParser(network, found.logger).parse(path.read_bytes())
            assert taken == (not mixed and (states or release not in FLOAT_STATES))
        if states and kind is np.float16:
            assert tensorrt_faults(path.read_bytes()) == []
        else:
            with pytest.raises(BundleError, match=r"tensorrt/memory.onnx: .*(has no initial_h|joins two types)"):
                ensure_buildable({"memory": path.read_bytes()})


def memory(states: bool, kind: Any) -> onnx.ModelProto:
    """An FP16 LSTM; its states, if it has any, of a type."""
    constants = {
        "w": np.zeros((1, 8, 4), np.float16),
        "r": np.zeros((1, 8, 2), np.float16),
        "zeros": np.zeros((1, 1, 2), kind),
    }
    given = ["x", "w", "r", *(["", "", "zeros", "zeros"] if states else [])]
    graph = helper.make_graph(
        [helper.make_node("LSTM", given, ["y"], name="lstm", hidden_size=2)],
        "memory",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [3, 1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [3, 1, 1, 2])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("release", RELEASES)
def test_the_stand_in_refuses_what_a_release_lacks(release: str) -> None:
    trt = StandIn(True).tensorrt(release)
    builder = trt.Builder(None)
    flags = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", 0)
    network = builder.create_network(flags=1 << flags)
    config = builder.create_builder_config()
    with pytest.raises(TypeError, match="got"):
        trt.OnnxParser(network, None).parse(b"", b"", b"")
    with pytest.raises(TypeError, match="got"):
        config.set_memory_pool_limit(pool=0, size=1)
    with pytest.raises(AttributeError, match="has no default_device_type"):
        config.default_device_type = "DLA"  # no LSTM, no dynamic batch: it is not offered
    with pytest.raises(AttributeError, match="max_workspace_size"):
        config.max_workspace_size = 1  # gone since 10
    assert hasattr(trt.BuilderFlag, "FP16") == (release != "11.4.0")


@pytest.mark.skipif(toolkit.find_tensorrt() != "tensorrt_rtx", reason="tensorrt_rtx is not installed")
def test_the_api_as_data_is_that_of_the_installed_package() -> None:
    """tensorrt_rtx shares its bindings' source with tensorrt 11: every name and argument in the data is there."""
    import tensorrt_rtx

    for kind in ("Builder", "OnnxParser", "IBuilderConfig", "IOptimizationProfile", "ICudaEngine", "IExecutionContext"):
        for name, arguments in members("11.4.0", kind).items():
            if not name:
                continue
            method = getattr(getattr(tensorrt_rtx, kind), name)
            listed = (method.__doc__ or "") if isinstance(arguments, tuple) else ""
            for argument in arguments or () if isinstance(arguments, tuple) else ():
                assert f"{argument}: " in listed, (kind, name, argument)


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


@pytest.mark.case(
    "a plan that was built on another model of the GPU, of which TensorRT warns while it loads it",
    source="",
    before="the warning was not heard",
)
def test_warnings_of_tensorrt_on_loading_are_heard_once(
    gpu: StandIn, part: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.warns = ["Using an engine plan file across different models of devices is not recommended"] * 2
    TensorRtEngine(part).close()
    assert caplog.text.count("TensorRT on loading tiny: Using an engine plan file across different models") == 1
    gpu.warns = []
    caplog.clear()
    TensorRtEngine(part).close()
    assert "TensorRT on loading" not in caplog.text


def test_importing_engines_imports_neither_tensorrt_nor_pycuda() -> None:
    code = (
        "import sys, emer_edge.runtime.engines\n"
        "print([name for name in ('tensorrt', 'tensorrt_rtx', 'pycuda', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
