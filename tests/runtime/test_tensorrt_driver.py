from __future__ import annotations

from pathlib import Path

import pytest
from gpu_stand_in import Library

from emer_edge.runtime.engines.tensorrt.driver import (
    CudaGraph,
    Driver,
    DriverError,
    Gpu,
    find_gpu,
    load_driver,
)
from emer_edge.runtime.engines.tensorrt.inspect import layers_of, precision_counts
from emer_edge.runtime.engines.tensorrt.machine import UNKNOWN, describe_machine
from emer_edge.runtime.engines.tensorrt.packages import Capabilities


def driver(**codes: int) -> tuple[Driver, Library]:
    library = Library(**codes)
    return Driver(library), library


def test_gpu_is_described() -> None:
    found, _ = driver()
    assert found.gpu() == Gpu("Orin", "8.7", True, "12.6")


def test_failed_call_names_itself_and_the_error() -> None:
    found, _ = driver(cuInit=100)
    with pytest.raises(DriverError, match="cuInit: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"):
        found.gpu()


def test_capture_records_launches_and_frees() -> None:
    found, library = driver()
    enqueued: list[int] = []
    graph = found.capture(5, lambda: enqueued.append(1))
    assert isinstance(graph, CudaGraph)
    graph.launch(5)
    graph.close()
    graph.close()
    assert enqueued == [1]
    assert library.called == [
        "cuStreamBeginCapture_v2",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphDestroy",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
    ]


def test_stream_leaves_capture_when_the_work_fails() -> None:
    found, library = driver()

    def refuse() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        found.capture(5, refuse)
    assert library.called == ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphDestroy"]


def test_capture_that_cuda_refuses_is_said_and_leaves_nothing() -> None:
    found, library = driver(cuStreamEndCapture=901)
    with pytest.raises(DriverError, match="cuStreamEndCapture: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"):
        found.capture(5, lambda: None)
    found, library = driver(cuGraphInstantiateWithFlags=1)
    with pytest.raises(DriverError, match="cuGraphInstantiateWithFlags"):
        found.capture(5, lambda: None)
    assert library.called.count("cuGraphDestroy") == 1


def test_driver_that_is_too_old_is_said() -> None:
    with pytest.raises(DriverError, match=r"older than CUDA 11\.4: it lacks cuInit"):
        Driver(object())


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU here")
def test_machine_without_a_driver() -> None:
    with pytest.raises(DriverError):
        load_driver().gpu()


def test_machine_is_read_from_the_kernel_and_from_jetson_linux(tmp_path: Path) -> None:
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain)\n"
    )
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    can = Capabilities("tensorrt", "10.3.0", "strong by flag", 2, True, True, False, ())
    here = describe_machine(can, Gpu("Orin", "8.7", True, "12.6"), tmp_path)
    assert (here.driver, here.l4t, here.tensorrt) == ("540.4.0", "36.4.3", "tensorrt 10.3.0")
    nothing = describe_machine(can, None, tmp_path / "absent")
    assert (nothing.gpu, nothing.driver, nothing.l4t, nothing.cuda) == (UNKNOWN,) * 4


class _Engine:
    """Gives the inspector's text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def create_engine_inspector(self) -> _Engine:
        return self

    def get_engine_information(self, kind: object) -> str:
        return self._text


class _Trt:
    class LayerInformationFormat:
        JSON = 1


def test_inspector_tells_what_layers_compute_in() -> None:
    text = """{"Layers": [
      {"Name": "conv1 + relu1", "LayerType": "CaskConvolution",
       "Inputs": [{"Name": "q", "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}],
       "Outputs": [{"Format/Datatype": "Row major linear FP32"}]},
      {"Name": "fc", "LayerType": "gemm", "Inputs": [{"Datatype": "Half"}], "Outputs": []},
      {"Name": "shape", "LayerType": "Constant", "Inputs": [], "Outputs": []},
      "a layer whose details were left out"], "Bindings": []}"""
    layers = layers_of(_Trt, _Engine(text))
    assert [each.precision for each in layers] == ["int8", "fp16", "other"]
    assert layers[0].outputs == ("fp32",)
    assert precision_counts(layers) == {"int8": 1, "fp16": 1, "other": 1}
    assert layers_of(_Trt, _Engine("no JSON")) == ()
