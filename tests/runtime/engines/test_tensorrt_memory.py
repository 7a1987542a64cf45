"""CUDA calls and the memory of a plan's tensors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gpu_stand_in import Library

from emer_edge.core.errors import EngineError
from emer_edge.runtime.engines.tensorrt import cuda
from emer_edge.runtime.engines.tensorrt.cuda import (
    CudaGraph,
    Driver,
    DriverError,
    Gpu,
    find_gpu,
    how_to_mend,
    load_driver,
)
from emer_edge.runtime.engines.tensorrt.plan_tensors import (
    ALIGNMENT,
    BufferPlan,
    TensorSpec,
    layers_of,
)


def driver(**codes: int) -> tuple[Driver, Library]:
    library = Library(**codes)
    return Driver(library), library


def test_gpu_is_described() -> None:
    found, _ = driver()
    assert found.gpu() == Gpu("Orin", "8.7", True, 16, "12.6")


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


@pytest.mark.case(
    "a user of a Jetson who is not in the groups video and render: cuInit gives 801",
    source="https://github.com/dusty-nv/jetson-containers/issues/1136",
    before="'it needs an NVIDIA GPU and its driver, and finds none here', without a command",
)
def test_a_wrong_group_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    found, _ = driver(cuInit=801)
    with pytest.raises(DriverError) as error:
        found.gpu()
    assert error.value.code == 801
    words = how_to_mend(error.value, tmp_path)
    assert words.startswith("this user lacks the groups video and render: sudo usermod -aG video,render $USER")


@pytest.mark.parametrize("code", [100, 999])
@pytest.mark.case(
    "a user without the groups, to whom CUDA says 100 or 999 as /dev/nvmap is closed to it",
    source="https://github.com/NVIDIA/NemoClaw/issues/4231",
    before="'finds none here', as if there were no GPU",
)
def test_a_device_that_is_closed_to_the_user_is_named(
    tmp_path: Path, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvmap").write_text("")
    open_to_me = how_to_mend(DriverError("cuInit", code), tmp_path)
    assert "groups" not in open_to_me
    monkeypatch.setattr(cuda.os, "access", lambda path, mode: False)  # root may open anything
    words = how_to_mend(DriverError("cuInit", code), tmp_path)
    assert "video and render (/dev/nvmap is closed to it): sudo usermod" in words
    assert "--group-add" in words


@pytest.mark.parametrize(
    ("file", "code", "words"),
    [
        (".dockerenv", 0, "docker run --runtime nvidia"),
        ("etc/nv_tegra_release", 0, "sudo apt install --reinstall nvidia-l4t-cuda"),
        ("etc/hostname", 0, "sudo ubuntu-drivers install"),
        ("etc/hostname", 100, "sudo ubuntu-drivers install"),
        ("etc/hostname", 999, "sudo dmesg"),
    ],
    ids=["container", "Jetson", "no driver", "no GPU", "unknown"],
)
@pytest.mark.case(
    "no GPU, no driver, or a container without it", before="the system's words for a missing library alone"
)
def test_what_is_missing_is_said_with_its_command(tmp_path: Path, file: str, code: int, words: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    assert words in how_to_mend(DriverError("x", code), tmp_path)


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU here")
def test_machine_without_a_driver() -> None:
    with pytest.raises(DriverError):
        load_driver().gpu()


FLOAT = np.dtype(np.float32)
SPECS = (
    TensorSpec("embeddings", True, (None, 8, 128), FLOAT),
    TensorSpec("eye", True, (None, 32, 39), FLOAT),
    TensorSpec("er-7", False, (None, 7), FLOAT),
)


def plan(integrated: bool = False, least: int = 1, most: int = 16) -> BufferPlan:
    return BufferPlan.of(SPECS, least, most, integrated)


def total_bytes(plan: BufferPlan) -> int:
    return sum(buffer.bytes for buffer in plan.buffers)


def test_sizes_are_whole_lines_that_hold_the_batch() -> None:
    for each in plan().grown(5).buffers:
        needed = each.capacity * int(np.prod(each.spec.at(1))) * 4
        assert needed <= each.bytes < needed + ALIGNMENT
        assert each.bytes % ALIGNMENT == 0
        assert each.elements * 4 == each.bytes


def test_a_gpu_of_its_own_has_device_memory_beside_page_locked() -> None:
    here = plan()
    assert not any(buffer.mapped for buffer in here.buffers)
    assert total_bytes(here) > 0


def test_an_integrated_gpu_works_on_the_host_buffers_themselves() -> None:
    here = plan(integrated=True)
    assert all(buffer.mapped for buffer in here.buffers)
    assert total_bytes(here) == total_bytes(plan())


def test_capacity_doubles_until_it_fits_and_stops_at_the_profile() -> None:
    small = plan(most=12)
    assert small.capacity == 1
    assert [small.grown(batch).capacity for batch in (1, 2, 3, 4, 5, 9, 12)] == [1, 2, 4, 4, 8, 12, 12]
    assert small.grown(1) is small
    assert small.grown(8).grown(3).capacity == 8  # it never shrinks
    with pytest.raises(EngineError, match="batches up to 12, not 13"):
        small.grown(13)


@pytest.mark.parametrize(("rows", "sizes"), [(0, []), (1, [1]), (16, [16]), (17, [16, 1]), (40, [16, 16, 8])])
def test_large_batches_are_run_in_pieces(rows: int, sizes: list[int]) -> None:
    pieces = list(plan().pieces(rows))
    assert [each.stop - each.start for each in pieces] == sizes
    assert [row for each in pieces for row in range(each.start, each.stop)] == list(range(rows))


def test_a_rest_below_the_profile_is_refused() -> None:
    with pytest.raises(EngineError, match="batches of 2 or more, not 1"):
        list(plan(least=2).pieces(17))


def test_a_fixed_input_is_its_own_batch() -> None:
    specs = (TensorSpec("image", True, (1, 3, 256, 320), FLOAT), TensorSpec("map", False, (1, 1, 64, 80), FLOAT))
    fixed = BufferPlan.of(specs, 1, 16, False)
    assert (fixed.least, fixed.most, fixed.capacity) == (1, 1, 1)
    assert fixed.rows({"image": np.zeros((1, 3, 256, 320), np.float32)}) == 1
    assert [each.spec.at(1) for each in fixed.buffers] == [(1, 3, 256, 320), (1, 1, 64, 80)]
    with pytest.raises(EngineError, match=r"image must be float32 of shape \(1, 3, 256, 320\)"):
        fixed.rows({"image": np.zeros((2, 3, 256, 320), np.float32)})


def test_inputs_are_checked_by_name() -> None:
    good = {"embeddings": np.zeros((2, 8, 128), np.float32), "eye": np.zeros((2, 32, 39), np.float32)}
    assert plan().rows(good) == 2
    with pytest.raises(EngineError, match="takes embeddings, eye, not embeddings"):
        plan().rows({"embeddings": good["embeddings"]})
    with pytest.raises(EngineError, match=r"eye must be float32 of shape \(N, 32, 39\), not float64"):
        plan().rows({**good, "eye": np.zeros((2, 32, 39))})
    with pytest.raises(EngineError, match="differ in batch: embeddings 2, eye 3"):
        plan().rows({**good, "eye": np.zeros((3, 32, 39), np.float32)})


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        ((TensorSpec("x", True, (1, None), FLOAT),), "x has a dynamic axis that is not its first"),
        ((TensorSpec("y", False, (1, 2), FLOAT),), "no input"),
        (
            (TensorSpec("x", True, (None, 2), FLOAT), TensorSpec("y", False, (1, 2), FLOAT)),
            "a batch axis and some have none: y",
        ),
    ],
    ids=["inner axis", "no input", "mixed"],
)
def test_plans_that_no_part_has_are_refused(specs: tuple[TensorSpec, ...], told: str) -> None:
    with pytest.raises(EngineError, match=told):
        BufferPlan.of(specs, 1, 4, False)


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
    assert Counter(layer.precision for layer in layers) == {"int8": 1, "fp16": 1, "other": 1}
    assert layers_of(_Trt, _Engine("no JSON")) == ()
