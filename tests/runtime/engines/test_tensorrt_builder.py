from __future__ import annotations

from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorrt_inputs import write_network

from emer_edge.core.errors import ConfigurationError, EngineError
from emer_edge.runtime.board import Memory, read_memory
from emer_edge.runtime.engines.tensorrt.builder import BuildOptions, PhaseTree, build_plan, hold_types
from emer_edge.runtime.engines.tensorrt.plan_tensors import layers_in_log
from emer_edge.runtime.engines.tensorrt.toolkit import (
    ADVISED_MB,
    NEEDED_MB,
    advice,
    ensure_enough,
    find_tensorrt,
    workspace_cap_mb,
)

needs_tensorrt = pytest.mark.skipif(find_tensorrt() is None, reason="neither tensorrt nor tensorrt_rtx is installed")
needs_rtx = pytest.mark.skipif(find_tensorrt() != "tensorrt_rtx", reason="tensorrt_rtx is not installed")


@needs_tensorrt
def test_building_tells_its_progress(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    built = build_plan(write_network(tmp_path), progress=lambda *step: steps.append(step))
    assert built.plan
    assert {each[0] for each in steps} == {"building tiny, percent"}
    percents = [each[1] for each in steps]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(set(percents)) > 2
    assert {each[2] for each in steps} == {100}


@needs_tensorrt
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_progress_that_raises_ends_the_build(tmp_path: Path, stop: type[BaseException]) -> None:
    def progress(label: str, done: int, total: int) -> None:
        if done > 10:
            raise stop

    with pytest.raises(stop):
        build_plan(write_network(tmp_path), progress=progress)


@needs_tensorrt
def test_workspace_is_capped_by_free_memory_or_by_hand(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    assert build_plan(path, memory=lambda: Memory(4000, 0)).workspace_mb == 1000
    assert build_plan(path, BuildOptions(workspace_mb=128), memory=lambda: Memory(4000, 0)).workspace_mb == 128


@needs_tensorrt
def test_too_little_memory_is_said_before_the_build(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"300 MB of memory and 100 MB of swap are free.*swapon /swapfile"):
        build_plan(write_network(tmp_path), memory=lambda: Memory(300, 100))


@needs_rtx
def test_checks_for_other_gpus(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    assert build_plan(path, BuildOptions(compute_capability="SM89")).plan
    with pytest.raises(ConfigurationError, match=r"builds for SM75, .*, not for 'SM87'; a Jetson Orin"):
        build_plan(path, BuildOptions(compute_capability="SM87"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"least": 0}, "1 <= least"),
        ({"usual": 4, "most": 2}, "not 1, 4, 2"),
        ({"workspace_mb": 0}, "1 MB or more, not 0"),
    ],
    ids=["least", "usual", "workspace"],
)
def test_options_that_make_no_sense(options: dict[str, int], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        BuildOptions(**options)  # type: ignore[arg-type]


def test_memory_is_read_from_the_kernel(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 7802000 kB\nMemAvailable:    2000000 kB\nSwapFree:  1000000 kB\n")
    assert read_memory(file) == Memory(2048, 1024)
    file.write_text("MemTotal: 7802000 kB\n")
    assert read_memory(file) is None
    assert read_memory(tmp_path / "absent") is None


def test_workspace_cap_is_a_quarter_within_bounds() -> None:
    assert [workspace_cap_mb(Memory(free, 8000)) for free in (100, 400, 2000, 64000)] == [64, 100, 500, 2048]
    assert workspace_cap_mb(None) == 256


def test_advice_counts_swap() -> None:
    assert advice(Memory(ADVISED_MB // 2, ADVISED_MB // 2)) is None
    assert "add swap" in (advice(Memory(NEEDED_MB, 0)) or "")
    assert advice(None) is None
    ensure_enough(Memory(NEEDED_MB // 2, NEEDED_MB // 2))
    ensure_enough(None)


def test_phases_nest_into_one_percentage() -> None:
    tree = PhaseTree()
    tree.start("build", None, 2)
    tree.start("tactics", "build", 4)
    tree.step("tactics", 1)
    assert tree.percent == 25
    tree.finish("tactics")
    assert tree.percent == 25  # never back
    tree.step("build", 0)
    assert tree.percent == 50
    tree.start("elsewhere", "nobody", 10)
    tree.step("elsewhere", 9)
    assert tree.percent == 50
    tree.finish("build")
    assert tree.percent == 100


class _Type(Enum):
    FLOAT = 0
    HALF = 1
    INT32 = 2


class _Kind(Enum):
    CONVOLUTION = 0
    ACTIVATION = 1
    CAST = 2
    QUANTIZE = 3
    DEQUANTIZE = 4
    MATRIX_MULTIPLY = 5
    CONSTANT = 6
    LOOP_OUTPUT = 7


class _Flag(Enum):
    FP16 = 0
    INT8 = 1
    OBEY_PRECISION_CONSTRAINTS = 2
    PREFER_PRECISION_CONSTRAINTS = 3


TRT_8 = SimpleNamespace(DataType=_Type, LayerType=_Kind, BuilderFlag=_Flag)


class _Layer:
    """A layer of a network as TensorRT 8.6 presents it: it can be held to a precision."""

    def __init__(self, name: str, kind: _Kind, inputs: str, dtype: _Type) -> None:
        self.name, self.type = name, kind
        self._inputs = [SimpleNamespace(name=each) for each in inputs.split()]
        self._output = SimpleNamespace(name=name, dtype=dtype)
        self.num_inputs, self.num_outputs = len(self._inputs), 1
        self.precision: _Type | None = None
        self.output_types: dict[int, _Type] = {}

    def get_input(self, at: int) -> Any:
        return self._inputs[at]

    def get_output(self, at: int) -> Any:
        return self._output

    def set_output_type(self, at: int, dtype: _Type) -> None:
        self.output_types[at] = dtype


def held(layers: list[_Layer], obey: bool = True) -> tuple[set[_Flag], dict[str, _Type | None]]:
    flags: set[_Flag] = set()
    network = SimpleNamespace(num_layers=len(layers), get_layer=lambda at: layers[at])
    hold_types(TRT_8, network, SimpleNamespace(set_flag=flags.add), obey)
    assert all(each.output_types == ({0: each.precision} if each.precision else {}) for each in layers)
    return flags, {each.name: each.precision for each in layers}


def test_weak_typing_holds_each_layer_to_the_type_it_names() -> None:
    layers = [
        _Layer("project", _Kind.MATRIX_MULTIPLY, "eye", _Type.FLOAT),
        _Layer("cast", _Kind.CAST, "project", _Type.HALF),
        _Layer("attend", _Kind.MATRIX_MULTIPLY, "cast", _Type.HALF),
        _Layer("trips", _Kind.CONSTANT, "", _Type.INT32),
        _Layer("loop", _Kind.LOOP_OUTPUT, "attend", _Type.HALF),
    ]
    flags, precisions = held(layers)
    assert flags == {_Flag.FP16, _Flag.OBEY_PRECISION_CONSTRAINTS}
    assert precisions == {
        "project": _Type.FLOAT,
        "cast": None,
        "attend": _Type.HALF,
        "trips": None,
        "loop": None,
    }
    flags, _ = held(layers, obey=False)
    assert flags == {_Flag.FP16, _Flag.PREFER_PRECISION_CONSTRAINTS}


def test_weak_typing_of_int8_holds_nothing_beside_q_and_dq() -> None:
    layers = [
        _Layer("q", _Kind.QUANTIZE, "face", _Type.FLOAT),
        _Layer("dq", _Kind.DEQUANTIZE, "q", _Type.FLOAT),
        _Layer("conv", _Kind.CONVOLUTION, "dq", _Type.FLOAT),
        _Layer("relu", _Kind.ACTIVATION, "conv", _Type.FLOAT),
        _Layer("q2", _Kind.QUANTIZE, "relu", _Type.FLOAT),
    ]
    flags, precisions = held(layers)
    assert flags == {_Flag.INT8}
    assert set(precisions.values()) == {None}
    layers += [
        _Layer("projection", _Kind.MATRIX_MULTIPLY, "elsewhere", _Type.FLOAT),
        _Layer("half", _Kind.CAST, "projection", _Type.HALF),
    ]
    flags, precisions = held(layers)
    assert flags == {_Flag.INT8, _Flag.FP16, _Flag.OBEY_PRECISION_CONSTRAINTS}
    assert precisions["projection"] == _Type.FLOAT
    assert {precisions[name] for name in ("q", "dq", "conv", "relu", "q2", "half")} == {None}


def test_weak_typing_of_fp32_changes_nothing() -> None:
    flags, precisions = held([_Layer("conv", _Kind.CONVOLUTION, "face", _Type.FLOAT)])
    assert flags == set()
    assert precisions == {"conv": None}


def test_weak_typing_sees_q_and_dq_through_casts() -> None:
    layers = [
        _Layer("dq", _Kind.DEQUANTIZE, "face", _Type.FLOAT),
        _Layer("half", _Kind.CAST, "dq", _Type.HALF),
        _Layer("conv", _Kind.CONVOLUTION, "half", _Type.HALF),
        _Layer("gain", _Kind.MATRIX_MULTIPLY, "conv", _Type.HALF),
        _Layer("relu", _Kind.ACTIVATION, "gain", _Type.HALF),
        _Layer("full", _Kind.CAST, "relu", _Type.FLOAT),
        _Layer("q", _Kind.QUANTIZE, "full", _Type.FLOAT),
    ]
    flags, precisions = held(layers)
    assert flags == {_Flag.INT8, _Flag.FP16, _Flag.OBEY_PRECISION_CONSTRAINTS}
    assert {name for name, kind in precisions.items() if kind is not None} == {"gain"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "Name: conv_1, LayerType: correlation, Inputs: [ { Name: x, Dimensions: [-1,4,8,8], Datatype: Int8, "
            "Format: (NHWC) }], Constants: [ { Name: w, Datatype: Int8 }, { Name: s, Datatype: Float }], "
            "Outputs: [ { Name: y, Dimensions: [-1,4,8,8], Datatype: Half, Format: (NHWC) }], TacticName: t",
            ("conv_1", "correlation", ("int8",), ("fp16",)),
        ),
        (
            "Name: conv, LayerType: CaskConvolution, Inputs: [ { Name: x, Location: Device, Dimensions: [1,3,8,8], "
            "Format/Datatype: Int8 NC/4HW4 }], Outputs: [ { Name: y, Location: Device, Dimensions: [1,4,8,8], "
            'Format/Datatype: Row major linear FP16 format }], ParameterType: Convolution, Weights: {"Type": "Int8"}',
            ("conv", "CaskConvolution", ("int8",), ("fp16",)),
        ),
        (
            "Layer(CaskConvolution): w + q + Conv_463, Tactic: 0x91a0ba608d3e9886, 1305[Int8(1,64,200,200)] -> "
            "out to Conv_463[Half(1,2,200,200)]",
            ("w + q + Conv_463", "CaskConvolution", ("int8",), ("fp16",)),
        ),
    ],
    ids=["tensorrt_rtx", "detailed", "8.6"],
)
def test_layers_are_read_off_the_log_of_each_generation(line: str, expected: tuple[Any, ...]) -> None:
    """The first as tensorrt_rtx 1.7 wrote it; the second derived from 10's inspector; the third from an issue's log."""
    (layer,) = layers_in_log(f"Layers:\n{line}\nsomething else")
    assert (layer.name, layer.kind, layer.inputs, layer.outputs) == expected
    assert layer.convolves
    assert not layer.requantises
