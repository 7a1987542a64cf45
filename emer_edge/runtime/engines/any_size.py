"""A part for images of any size: the same graph, without the height and width that it was exported with.

A convolutional network computes images of other sizes as well; its file states one because TensorRT needs one. The
fields are those of onnx.proto: a model's graph (7), its inputs (11), outputs (12) and inner shapes (13), a tensor's
type (2), tensor type (1), shape (2), dimensions (1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import numpy as np

from emer_edge.bundle import Part
from emer_edge.bundle.onnx_rule import fields
from emer_edge.core.errors import EngineError
from emer_edge.core.progress import Progress, silent
from emer_edge.runtime.engines.base import Engine, first_run
from emer_edge.runtime.engines.registry import open_engine

_IMAGE_DIMENSIONS: Final = 4

_Change = Callable[[Any], bytes | None]


def open_any_size(name: str, part: Part, threads: int, progress: Progress = silent) -> Engine:
    """Open a part with one image input (1, 3, H, W), as `open_engine`, so that it takes images of any size if it can.

    The input's height and width are None then; else they are the part's own.
    """
    with suppress(EngineError, ValueError, LookupError):
        own = open_engine(name, replace(part, content=freed(part.content)), threads, progress)
        try:
            (image,) = own.inputs
            for side in (96, 128):
                first_run(own, part, {image: np.zeros((1, 3, side, side + 32), np.float32)})
        except BaseException:
            own.close()
            raise
        return own
    fixed = open_engine(name, part, threads, progress)
    first_run(fixed, part)
    return fixed


def takes_any_size(engine: Engine) -> bool:
    """Whether an engine's first input, an image, states no height or width."""
    return None in next(iter(engine.inputs.values()))[2:]


def freed(content: bytes) -> bytes:
    """A model without the height and width of its inputs and outputs; ValueError or LookupError where it is none."""
    tensors: dict[int, _Change] = {11: _freed_tensor, 12: _freed_tensor, 13: lambda shape: None}
    return _changed(memoryview(content), {7: lambda graph: _changed(graph, tensors)})


def _freed_tensor(tensor: memoryview) -> bytes:
    return _changed(tensor, {2: lambda kind: _changed(kind, {1: lambda one: _changed(one, {2: _freed_shape})})})


def _freed_shape(shape: memoryview) -> bytes:
    sizes = [value for _, _, value in fields(shape)]
    if len(sizes) != _IMAGE_DIMENSIONS:
        return bytes(shape)
    numbers = iter(range(_IMAGE_DIMENSIONS))
    return _changed(shape, {1: lambda size: bytes(size) if next(numbers) < 2 else b""})


def _changed(message: memoryview, changes: Mapping[int, _Change]) -> bytes:
    """A message with the values of some fields changed; None leaves a field out."""
    out = bytearray()
    for number, wire, value in fields(message):
        content: Any = changes[number](value) if number in changes else value
        if content is None:
            continue
        out += _whole(number << 3 | wire)
        if wire != 0:
            out += (_whole(len(content)) if wire == 2 else b"") + content
        else:
            out += _whole(content)
    return bytes(out)


def _whole(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
