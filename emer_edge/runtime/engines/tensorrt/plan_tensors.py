"""What a plan takes: the memory of its tensors, and what its layers compute in.

All in plain Python: no CUDA is needed to lay memory out, or to test it. On a GPU of its own a tensor has page-locked
host memory, which copies run from at full speed and which CUDA graphs require, and device memory. On an integrated GPU
(every Jetson) both are the same chips: the host buffer is mapped into the GPU's address space, and nothing is copied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import EngineError
from emer_edge.runtime.engines.base import Shape

ALIGNMENT: Final = 256
"""Bytes that sizes are rounded up to: CUDA's own allocation grain, so that no two tensors share a line."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a plan.

    Attributes:
        name: of the tensor.
        is_input: whether it is read.
        shape: its dimensions; None for a dynamic batch axis, which is the first.
        dtype: of its elements.
    """

    name: str
    is_input: bool
    shape: Shape
    dtype: np.dtype[Any]

    @property
    def dynamic(self) -> bool:
        """Whether its first axis is the batch."""
        return bool(self.shape) and self.shape[0] is None

    def at(self, batch: int) -> tuple[int, ...]:
        """Its shape for a batch."""
        return tuple(batch if size is None else size for size in self.shape)


@dataclass(frozen=True)
class Buffer:
    """The memory of one tensor.

    Attributes:
        spec: the tensor.
        capacity: largest batch it holds.
        bytes: its size, rounded up to `ALIGNMENT`.
        mapped: the GPU works on the host buffer itself; otherwise there is device memory beside it.
    """

    spec: TensorSpec
    capacity: int
    bytes: int
    mapped: bool

    @property
    def elements(self) -> int:
        """Elements that fit."""
        return self.bytes // self.spec.dtype.itemsize


@dataclass(frozen=True)
class BufferPlan:
    """All tensors of a plan and the batch sizes it takes.

    Attributes:
        specs: inputs and outputs.
        least, most: batch sizes of the plan's profile; equal where the batch is fixed.
        capacity: the batch that buffers hold now.
        integrated: the GPU shares the CPU's memory.
    """

    specs: tuple[TensorSpec, ...]
    least: int
    most: int
    capacity: int
    integrated: bool

    @classmethod
    def of(
        cls, specs: tuple[TensorSpec, ...], least: int, most: int, integrated: bool, *, usual: int | None = None
    ) -> BufferPlan:
        """Begin with room for the usual batch.

        Raises:
            EngineError: a dynamic axis other than the first, on some tensors only, or no input.
        """
        wrong = next((spec for spec in specs if None in spec.shape[1:]), None)
        if wrong is not None:
            raise EngineError(f"the tensor {wrong.name} has a dynamic axis that is not its first: {wrong.shape}")
        inputs = [spec for spec in specs if spec.is_input]
        if not inputs:
            raise EngineError("the plan has no input")
        if len({spec.dynamic for spec in specs}) > 1:
            fixed = ", ".join(spec.name for spec in specs if not spec.dynamic)
            raise EngineError(f"some tensors of the plan have a batch axis and some have none: {fixed}")
        if not inputs[0].dynamic:
            least = most = usual = int((inputs[0].shape[0] if inputs[0].shape else 1) or 1)
        capacity = max(least, min(usual or least, most))
        return cls(specs, least, most, capacity=capacity, integrated=integrated)

    @property
    def inputs(self) -> dict[str, Shape]:
        """Input name -> shape."""
        return {spec.name: spec.shape for spec in self.specs if spec.is_input}

    @property
    def outputs(self) -> dict[str, Shape]:
        """Output name -> shape."""
        return {spec.name: spec.shape for spec in self.specs if not spec.is_input}

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """One a tensor, in the order of `specs`."""
        sizes = (prod(spec.at(self.capacity)) * spec.dtype.itemsize for spec in self.specs)
        return tuple(
            Buffer(spec, self.capacity, -(-size // ALIGNMENT) * ALIGNMENT, self.integrated)
            for spec, size in zip(self.specs, sizes, strict=True)
        )

    def grown(self, batch: int) -> BufferPlan:
        """Make room for a batch: capacity doubles until it fits, and stops at `most`.

        Raises:
            EngineError: the profile does not go that far.
        """
        if batch > self.most:
            raise EngineError(f"the engine takes batches up to {self.most}, not {batch}")
        capacity = self.capacity
        while capacity < batch:
            capacity = min(capacity * 2, self.most)
        return self if capacity == self.capacity else replace(self, capacity=capacity)

    def rows(self, given: Mapping[str, NDArray[Any]]) -> int:
        """Check what was given for all inputs and return the size of the batch.

        Raises:
            EngineError: a missing or unknown input, another shape or type, or batches that differ.
        """
        expected = self.inputs
        if set(given) != set(expected):
            raise EngineError(f"the engine takes {', '.join(expected)}, not {', '.join(given) or 'nothing'}")
        rows: dict[str, int] = {}
        for spec in self.specs:
            if not spec.is_input:
                continue
            array = given[spec.name]
            fits = len(array.shape) == len(spec.shape) and all(
                size in (None, has) for size, has in zip(spec.shape, array.shape, strict=True)
            )
            if not fits or array.dtype != spec.dtype:
                shape = ", ".join("N" if size is None else str(size) for size in spec.shape)
                raise EngineError(
                    f"{spec.name} must be {spec.dtype} of shape ({shape}), not {array.dtype} of {array.shape}"
                )
            if spec.dynamic:
                rows[spec.name] = array.shape[0]
        if len(set(rows.values())) > 1:
            raise EngineError("inputs differ in batch: " + ", ".join(f"{name} {count}" for name, count in rows.items()))
        return next(iter(rows.values()), self.most)

    def pieces(self, rows: int) -> Iterator[slice]:
        """Split a batch into pieces that the profile takes, the largest first.

        Raises:
            EngineError: what is left over is smaller than the profile's least.
        """
        for start in range(0, rows, self.most):
            stop = min(start + self.most, rows)
            if stop - start < self.least:
                raise EngineError(f"the engine takes batches of {self.least} or more, not {stop - start}")
            yield slice(start, stop)


_TYPES = {"Half": "fp16", "FP16": "fp16", "Float": "fp32", "FP32": "fp32", "Int8": "int8", "INT8": "int8"}


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a plan.

    Attributes:
        name: TensorRT's, which joins the names of the nodes fused into it.
        kind: its type.
        inputs, outputs: types of its tensors, such as `fp16`.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def precision(self) -> str:
        """The narrowest type that it reads, which is what it multiplies in; `other` where it reads no float or int8."""
        return next((name for name in ("int8", "fp16", "fp32") if name in self.inputs), "other")

    @property
    def convolves(self) -> bool:
        """Whether it is a convolution (`correlation` in tensorrt_rtx)."""
        return "convolution" in self.kind.lower() or self.kind == "correlation"

    @property
    def requantises(self) -> bool:
        """Whether it is a kernel of its own that makes INT8 of floating point."""
        return not self.convolves and "int8" in self.outputs and bool({"fp16", "fp32"}.intersection(self.inputs))


def layers_of(trt: Any, engine: Any) -> tuple[LayerInfo, ...]:
    """Ask the inspector; empty where it says nothing (a plan without detailed layer information)."""
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        layers = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        return ()
    return tuple(
        LayerInfo(
            str(layer.get("Name", "")),
            str(layer.get("LayerType", "")),
            tuple(_type(one) for one in layer.get("Inputs", [])),
            tuple(_type(one) for one in layer.get("Outputs", [])),
        )
        for layer in layers
        if isinstance(layer, dict)
    )


def layers_in_log(listed: str) -> tuple[LayerInfo, ...]:
    """Read the layers off the builder's verbose log; empty where it lists none in a form that is known.

    Args:
        listed: lines as `Name: conv1, LayerType: ..., Inputs: [ { ..., Datatype: Int8, ... }], ..., Outputs: [...]`
            (detailed) or `Layer(CaskConvolution): conv1, Tactic: 0x1, a[Int8(1,3,8,8)] -> b[Half(1,4,8,8)]`.
    """
    layers = []
    for line in listed.splitlines():
        if line.startswith("Name: ") and ", LayerType: " in line:
            before, _, after = line.partition(", Outputs: [")
            name, _, rest = before.removeprefix("Name: ").partition(", LayerType: ")
            kind, _, inputs = rest.partition(", Inputs: [")
            sides = (inputs.partition(", Constants: [")[0], "" if after.startswith("]") else after.partition("}]")[0])
            types = [tuple(map(_named, re.findall(r"Datatype: ([^,}]*)", side))) for side in sides]
        elif match := re.match(r"Layer\((\w+)\): (.*?), Tactic: [^,]*, (.*) -> (.*)", line):
            kind, name, sides = match[1], match[2], (match[3], match[4])
            types = [tuple(map(_named, re.findall(r"[\[(](\w+)[\[(][\d,-]*[\])]", side))) for side in sides]
        else:
            continue
        layers.append(LayerInfo(name, kind, types[0], types[1]))
    return tuple(layers)


def _type(tensor: Any) -> str:
    """`Format/Datatype` such as `Row major linear FP16 format`, or a Datatype of its own."""
    if not isinstance(tensor, dict):
        return "other"
    return _named(f"{tensor.get('Datatype', '')} {tensor.get('Format/Datatype', '')}")


def _named(words: str) -> str:
    return next((name for word, name in _TYPES.items() if word in words), "other")
