"""Ranges of activations, measured by running the FP32 part over calibration inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from emer_edge.calibration.histogram import RunningHistogram
from emer_edge.calibration.methods import METHODS, Range
from emer_edge.calibration.mse import Grid
from emer_edge.calibration.session import model_session
from emer_edge.errors import ConfigurationError, DataError
from emer_edge.spec.progress import Progress

__all__ = ["SAVE_EVERY", "Tally", "collect_histograms", "ranges_of"]

SAVE_EVERY: Final = 16
"""Batches between two checkpoints of the histograms."""


@dataclass
class Tally:
    """Histograms that are being filled.

    Attributes:
        histograms: tensor -> what was counted.
        batches: how many batches that was.
    """

    histograms: dict[str, RunningHistogram] = field(default_factory=dict)
    batches: int = 0


def collect_histograms(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    batches: Iterable[Mapping[str, NDArray[np.float32]]],
    total: int = 0,
    progress: Progress | None = None,
    tally: Tally | None = None,
    save: Callable[[Tally], None] | None = None,
) -> dict[str, RunningHistogram]:
    """Run `model` over batches of inputs and count the values of `tensors`; one batch is in memory at a time.

    Args:
        model: an FP32 part.
        tensors: names of float32 tensors, inputs of the graph included.
        batches: input name -> array; those that follow the ones in `tally`.
        total: number of batches, those in `tally` included, for progress.
        progress: told of each batch.
        tally: what an interrupted run had counted; it is filled further. The result is the same as without a break.
        save: called with the tally every `SAVE_EVERY` batches.

    Raises:
        DataError: no batch at all, or an activation that is not finite.
    """
    tally = tally if tally is not None else Tally()
    tally.histograms = {each: tally.histograms.get(each) or RunningHistogram() for each in tensors}
    given = {each.name for each in model.graph.input}
    inner = [each for each in tensors if each not in given]
    session = _session(model, inner)
    for batch in batches:
        values = dict(zip(inner, session.run(None, dict(batch)), strict=True))
        for name, histogram in tally.histograms.items():
            try:
                histogram.add(values[name] if name in values else batch[name])
            except FloatingPointError:
                raise DataError(
                    f"calibration: {name} is not finite on batch {tally.batches + 1}; check the weights and the clips"
                ) from None
        tally.batches += 1
        if progress is not None:
            progress("calibrating", tally.batches, max(total, tally.batches))
        if save is not None and tally.batches % SAVE_EVERY == 0:
            save(tally)
    if not tally.batches:
        raise DataError("calibration got no crops at all; check that --data holds clips of the training folds")
    return tally.histograms


def ranges_of(histograms: Mapping[str, RunningHistogram], method: str, grid: Grid = "unsigned") -> dict[str, Range]:
    """Turn histograms into ranges for a grid by a method of `METHODS`; ConfigurationError for an unknown one."""
    if method not in METHODS:
        raise ConfigurationError(f"no calibration method is called {method!r}; choose {', '.join(METHODS)}")
    return {name: METHODS[method](histogram, grid) for name, histogram in histograms.items()}


def _session(model: onnx.ModelProto, outputs: Sequence[str]) -> Any:
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(each, TensorProto.FLOAT, None) for each in outputs)
    return model_session(probe)
