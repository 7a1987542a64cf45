"""What a plan takes: the memory that each of its tensors lives in, and what its layers compute in.

All in plain Python: no CUDA is needed to lay memory out, or to test it. On a GPU of its own a tensor has page-locked
host memory, which copies run from at full speed and which CUDA graphs require, and device memory. On an integrated GPU
(every Jetson) both are the same chips: the host buffer is mapped into the GPU's address space, and nothing is copied.
"""

from __future__ import annotations

import json
from collections import Counter
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
        return tuple(batch if each is None else each for each in self.shape)


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
        for each in specs:
            if None in each.shape[1:]:
                raise EngineError(f"the tensor {each.name} has a dynamic axis that is not its first: {each.shape}")
        inputs = [each for each in specs if each.is_input]
        if not inputs:
            raise EngineError("the plan has no input")
        if len({each.dynamic for each in specs}) > 1:
            told = ", ".join(each.name for each in specs if not each.dynamic)
            raise EngineError(f"some tensors of the plan have a batch axis and some have none: {told}")
        if not inputs[0].dynamic:
            fixed = inputs[0].shape[0] if inputs[0].shape else 1
            least = most = usual = int(fixed or 1)
        capacity = max(least, min(usual or least, most))
        return cls(specs, least, most, capacity=capacity, integrated=integrated)

    @property
    def inputs(self) -> dict[str, Shape]:
        """Input name -> shape."""
        return {each.name: each.shape for each in self.specs if each.is_input}

    @property
    def outputs(self) -> dict[str, Shape]:
        """Output name -> shape."""
        return {each.name: each.shape for each in self.specs if not each.is_input}

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """One a tensor, in the order of `specs`."""
        return tuple(
            Buffer(each, self.capacity, _rounded(prod(each.at(self.capacity)) * each.dtype.itemsize), self.integrated)
            for each in self.specs
        )

    @property
    def host_bytes(self) -> int:
        """Page-locked memory in all."""
        return sum(each.bytes for each in self.buffers)

    @property
    def device_bytes(self) -> int:
        """Device memory in all: none where the host's is mapped."""
        return sum(each.bytes for each in self.buffers if not each.mapped)

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
        wanted = self.inputs
        if set(given) != set(wanted):
            raise EngineError(f"the engine takes {', '.join(wanted)}, not {', '.join(given) or 'nothing'}")
        rows: dict[str, int] = {}
        for each in self.specs:
            if not each.is_input:
                continue
            array = given[each.name]
            fits = len(array.shape) == len(each.shape) and all(
                size in (None, has) for size, has in zip(each.shape, array.shape, strict=True)
            )
            if not fits or array.dtype != each.dtype:
                asked = ", ".join("N" if size is None else str(size) for size in each.shape)
                raise EngineError(
                    f"{each.name} must be {each.dtype} of shape ({asked}), not {array.dtype} of {array.shape}"
                )
            if each.dynamic:
                rows[each.name] = array.shape[0]
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


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


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
        for each in ("int8", "fp16", "fp32"):
            if each in self.inputs:
                return each
        return "other"


def layers_of(trt: Any, engine: Any) -> tuple[LayerInfo, ...]:
    """Ask the inspector; empty where it says nothing (a plan without detailed layer information)."""
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        layers = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        return ()
    return tuple(
        LayerInfo(
            str(each.get("Name", "")),
            str(each.get("LayerType", "")),
            tuple(_type(one) for one in each.get("Inputs", [])),
            tuple(_type(one) for one in each.get("Outputs", [])),
        )
        for each in layers
        if isinstance(each, dict)
    )


def precision_counts(layers: tuple[LayerInfo, ...]) -> dict[str, int]:
    """Layers a precision."""
    return dict(Counter(each.precision for each in layers))


def _type(tensor: Any) -> str:
    """`Format/Datatype` such as `Row major linear FP16 format`, or a Datatype of its own."""
    if not isinstance(tensor, dict):
        return "other"
    told = f"{tensor.get('Datatype', '')} {tensor.get('Format/Datatype', '')}"
    return next((name for word, name in _TYPES.items() if word in told), "other")
