"""Ranges of activations, measured by running the FP32 part over calibration inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from emer_edge.calibration.histogram import RunningHistogram
from emer_edge.calibration.methods import METHODS, Range
from emer_edge.errors import ConfigurationError, DataError
from emer_edge.spec.progress import Progress

__all__ = ["collect_histograms", "ranges_of"]


def collect_histograms(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    batches: Iterable[Mapping[str, NDArray[np.float32]]],
    total: int = 0,
    progress: Progress | None = None,
) -> dict[str, RunningHistogram]:
    """Run `model` over batches of inputs and count the values of `tensors`; one batch is in memory at a time.

    Args:
        model: an FP32 part.
        tensors: names of float32 tensors, inputs of the graph included.
        batches: input name -> array.
        total: number of batches, for progress.
        progress: told of each batch.

    Raises:
        DataError: no batch at all, or an activation that is not finite.
    """
    given = {each.name for each in model.graph.input}
    inner = [each for each in tensors if each not in given]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(each, TensorProto.FLOAT, None) for each in inner)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session: Any = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    histograms = {each: RunningHistogram() for each in tensors}
    done = 0
    for batch in batches:
        values = dict(zip(inner, session.run(None, dict(batch)), strict=True))
        for name, histogram in histograms.items():
            value = values[name] if name in values else batch[name]
            if not np.isfinite(value).all():
                raise DataError(
                    f"calibration: {name} is not finite on batch {done + 1}; check the weights and the clips"
                )
            histogram.add(value)
        done += 1
        if progress is not None:
            progress("calibrating", done, max(total, done))
    if not done:
        raise DataError("calibration got no crops at all; check that --data holds clips of the training folds")
    return histograms


def ranges_of(histograms: Mapping[str, RunningHistogram], method: str) -> dict[str, Range]:
    """Turn histograms into ranges by a method of `METHODS`; raise ConfigurationError for an unknown one."""
    if method not in METHODS:
        raise ConfigurationError(f"no calibration method is called {method!r}; choose {', '.join(METHODS)}")
    return {name: METHODS[method](histogram) for name, histogram in histograms.items()}
