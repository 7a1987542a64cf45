from __future__ import annotations

import numpy as np
import pytest

from emer_edge.core.errors import EngineError
from emer_edge.runtime.engines.tensorrt.plan_tensors import (
    ALIGNMENT,
    BufferPlan,
    TensorSpec,
    layers_of,
    precision_counts,
)

FLOAT = np.dtype(np.float32)
SPECS = (
    TensorSpec("embeddings", True, (None, 8, 128), FLOAT),
    TensorSpec("eye", True, (None, 32, 39), FLOAT),
    TensorSpec("er-7", False, (None, 7), FLOAT),
)


def plan(integrated: bool = False, least: int = 1, most: int = 16) -> BufferPlan:
    return BufferPlan.of(SPECS, least, most, integrated)


def test_sizes_are_whole_lines_that_hold_the_batch() -> None:
    for each in plan().grown(5).buffers:
        needed = each.capacity * int(np.prod(each.spec.at(1))) * 4
        assert needed <= each.bytes < needed + ALIGNMENT
        assert each.bytes % ALIGNMENT == 0
        assert each.elements * 4 == each.bytes


def test_a_gpu_of_its_own_has_device_memory_beside_page_locked() -> None:
    here = plan()
    assert here.device_bytes == here.host_bytes == sum(each.bytes for each in here.buffers) > 0
    assert not any(each.mapped for each in here.buffers)


def test_an_integrated_gpu_works_on_the_host_buffers_themselves() -> None:
    here = plan(integrated=True)
    assert all(each.mapped for each in here.buffers)
    assert here.device_bytes == 0
    assert here.host_bytes == plan().host_bytes


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
    assert precision_counts(layers) == {"int8": 1, "fp16": 1, "other": 1}
    assert layers_of(_Trt, _Engine("no JSON")) == ()
