"""Taking the constant part of the quantisation error off the last, unquantised, bias."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from emer_edge.errors import ConfigurationError

__all__ = ["shift_constant"]


def shift_constant(model: onnx.ModelProto, name: str, by: NDArray[np.float64]) -> onnx.ModelProto:
    """Return a copy in which `by` was added to the float32 constant `name`.

    INT8 moves the mean of an embedding, which calibration crops show and a bias can undo at no cost (as Nagel et al.,
    "Data-free quantization through weight equalization and bias correction", 2019, do for each layer).

    Raises:
        ConfigurationError: the model has no such constant.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for each in copy.graph.initializer:
        if each.name == name:
            values = numpy_helper.to_array(each).astype(np.float64) + by
            each.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
            return copy
    raise ConfigurationError(f"the graph {model.graph.name} has no constant called {name}")
