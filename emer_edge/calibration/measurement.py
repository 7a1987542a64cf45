"""The calibration pass: histograms of a part's activations over the calibration crops, cached and resumable.

It also runs graphs in memory by ONNX Runtime, for the measurement of ranges, layers and methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from emer_edge.calibration.crops import CropPlan
from emer_edge.calibration.kept_ranges import CalibrationCache, Ranges, Tally, measurement_key
from emer_edge.calibration.methods import GRIDS, METHODS, Grid, Range, RunningHistogram
from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.onnxruntime_config import session_config
from emer_edge.core.progress import Progress, silent

SAVE_EVERY: Final = 16
"""Batches between two checkpoints of the histograms."""

_ENCODE_AT_ONCE: Final = 16


def model_session(model: onnx.ModelProto, threads: int = 0, *, optimised: bool = True, also: Sequence[str] = ()) -> Any:
    """Load a graph for the CPU.

    Args:
        model: any graph; smaller than 2 GB.
        threads: intra-op threads; 0 takes one for each core.
        optimised: fuse operators as a run does; without, any tensor of the graph can be an output.
        also: names of tensors to give besides its outputs.

    Returns:
        An `onnxruntime.InferenceSession`.
    """
    wide = deepcopy(model)
    outputs = {output.name for output in model.graph.output}
    wide.graph.output.extend(onnx.ValueInfoProto(name=name) for name in also if name not in outputs)
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    for key, value in session_config().items():
        options.add_session_config_entry(key, value)
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(wide.SerializeToString(), options, providers=["CPUExecutionProvider"])


def embed(encoder: onnx.ModelProto, crops: NDArray[np.float32], threads: int = 0) -> NDArray[np.float32]:
    """Embeddings (m, 128) of crops (m, 3, 112, 112) by a face encoder, a few at a time."""
    session = model_session(encoder, threads)
    parts = (crops[at : at + _ENCODE_AT_ONCE] for at in range(0, len(crops), _ENCODE_AT_ONCE))
    return np.concatenate([session.run(None, {"face": batch})[0] for batch in parts])


def fuse(session: Any, given: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Head -> (n, C) of a fusion part's session."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(given)), strict=True))


def collect_histograms(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    batches: Iterable[Mapping[str, NDArray[np.float32]]],
    *,
    total: int = 0,
    progress: Progress = silent,
    tally: Tally | None = None,
    save: Callable[[Tally], None] | None = None,
) -> dict[str, RunningHistogram]:
    """Run `model` over batches of inputs and count the values of `tensors`; one batch is in memory at a time.

    Args:
        model: an FP32 part.
        tensors: names of float32 tensors, inputs of the graph included.
        batches: input name -> array; those that follow the ones in `tally`.
        total: number of batches, those in `tally` included, for progress.
        progress: called after each batch.
        tally: histograms of an interrupted run, which are filled further; the result is the same as without a break.
        save: called with the tally every `SAVE_EVERY` batches.

    Raises:
        DataError: no batch at all, or an activation that is not finite.
    """
    tally = tally if tally is not None else Tally()
    tally.histograms = {tensor: tally.histograms.get(tensor) or RunningHistogram() for tensor in tensors}
    given = {value.name for value in model.graph.input}
    inner = [tensor for tensor in tensors if tensor not in given]
    session = model_session(model, also=inner)
    for batch in batches:
        values = dict(zip(inner, session.run(inner, dict(batch)), strict=True))
        for name, histogram in tally.histograms.items():
            try:
                histogram.add(values[name] if name in values else batch[name])
            except FloatingPointError:
                raise DataError(
                    f"calibration: {name} is not finite on batch {tally.batches + 1}; check the weights and the clips"
                ) from None
        tally.batches += 1
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


@dataclass(eq=False)
class Measurement:
    """A part's activations on the calibration crops.

    Attributes:
        histograms: tensor -> its values.
        from_cache: nothing had to be run.
        continued_at: batches that an interrupted run had counted before; 0 where there was none.
        batches: of the whole pass.
    """

    histograms: dict[str, RunningHistogram]
    from_cache: bool = False
    continued_at: int = 0
    batches: int = 0
    _cache: CalibrationCache | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Damaged entries and continued runs, one sentence each."""
        notes = []
        if self._cache is not None and self._cache.damaged:
            notes.append(
                f"kept calibration results were damaged and have been made again: {', '.join(self._cache.damaged)} in "
                f"{self._cache.folder}"
            )
        if self.continued_at:
            notes.append(f"an interrupted calibration continued after {self.continued_at} of {self.batches} batches")
        return tuple(notes)

    @property
    def dead(self) -> tuple[str, ...]:
        """Tensors that held the same number on every crop."""
        return tuple(name for name, histogram in self.histograms.items() if histogram.dead)

    def ranges(self, method: str) -> Ranges:
        """Ranges of every tensor on both grids; ConfigurationError for an unknown method."""
        kept = self._cache.ranges(method) if self._cache is not None else None
        if kept is not None:
            return kept
        made: Ranges = {grid: ranges_of(self.histograms, method, grid) for grid in GRIDS}
        if self._cache is not None:
            self._cache.keep_ranges(method, made)
        return made


def measure(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    plan: CropPlan,
    fingerprint: str = "",
    *,
    use_cache: bool = True,
    progress: Progress = silent,
) -> Measurement:
    """Count the activations of a part over the crops of a plan.

    A pass under the same key (`measurement_key`) is taken from the cache, and an interrupted one continues after its
    last checkpoint; both give exactly the counts of an uninterrupted pass.

    Args:
        model: the FP32 part.
        tensors: which of its float32 tensors to count.
        plan: the crops.
        fingerprint: of the data set.
        use_cache: read the cache and keep what is measured.
        progress: called after each batch.

    Raises:
        DataError: a crop can't be read, there is none, or an activation is not finite.
    """
    total = len(plan)
    if not use_cache:
        return Measurement(collect_histograms(model, tensors, plan.batches(), total=total, progress=progress))
    crops = plan.digest()
    cache = CalibrationCache(measurement_key(model, tensors, fingerprint, crops), tensors)
    tally = cache.tally()
    if tally is None or tally.batches > total:
        tally = Tally()
    began = tally.batches
    if began < total or not total:

        def keep(counted: Tally, finished: bool = False) -> None:
            if plan.digest() == crops:  # no crop has changed since
                cache.keep(counted, finished=finished)

        collect_histograms(model, tensors, plan.batches(began), total=total, progress=progress, tally=tally, save=keep)
        keep(tally, finished=True)
    else:
        progress("calibrating", total, total)
    continued_at = began if began < total else 0
    return Measurement(tally.histograms, began == total, continued_at, total, _cache=cache)
