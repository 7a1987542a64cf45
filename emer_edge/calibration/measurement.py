"""One pass over the calibration crops, kept and continued: what every method takes its ranges from.

Graphs that are still in memory are run here by ONNX Runtime, for whoever measures ranges, layers or methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from emer_edge.calibration.crops import CropPlan
from emer_edge.calibration.kept_ranges import CalibrationCache, Ranges, Tally, measurement_key
from emer_edge.calibration.methods import GRIDS, METHODS, Grid, Range, RunningHistogram
from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.progress import Progress, silent

SAVE_EVERY: Final = 16
"""Batches between two checkpoints of the histograms."""

_ENCODE_AT_ONCE: Final = 16


def model_session(model: onnx.ModelProto, threads: int = 0, *, optimised: bool = True, also: Sequence[str] = ()) -> Any:
    """Load a graph for the CPU.

    Args:
        model: any graph; smaller than 2 GB.
        threads: intra-op threads; 0 takes one for each core.
        optimised: fuse operators as a run does; without, every tensor of the graph can be asked for as it stands.
        also: names of tensors that it gives besides its outputs.

    Returns:
        An `onnxruntime.InferenceSession`.
    """
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    given = {each.name for each in model.graph.output}
    wide.graph.output.extend(onnx.ValueInfoProto(name=each) for each in also if each not in given)
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(wide.SerializeToString(), options, providers=["CPUExecutionProvider"])


def embed(encoder: onnx.ModelProto, crops: NDArray[np.float32], threads: int = 0) -> NDArray[np.float32]:
    """Embeddings (m, 128) of crops (m, 3, 112, 112) by a face encoder, a few at a time."""
    session = model_session(encoder, threads)
    parts = (crops[at : at + _ENCODE_AT_ONCE] for at in range(0, len(crops), _ENCODE_AT_ONCE))
    return np.concatenate([session.run(None, {"face": each})[0] for each in parts])


def fuse(session: Any, given: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Head -> (n, C) of a fusion part's session."""
    names = [each.name for each in session.get_outputs()]
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


@dataclass(eq=False)
class Measurement:
    """What a part's activations were on the calibration crops.

    Attributes:
        histograms: tensor -> what was counted.
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
        """What the user should know up to now, a sentence each."""
        notes = []
        if self._cache is not None and self._cache.damaged:
            notes.append(
                f"kept calibration results were damaged and have been made again: {', '.join(self._cache.damaged)} in "
                f"{self._cache.folder}"
            )
        if self.continued_at:
            notes.append(
                f"an interrupted calibration was continued after {self.continued_at} of {self.batches} batches"
            )
        return tuple(notes)

    @property
    def dead(self) -> tuple[str, ...]:
        """Tensors that held one and the same number on every crop."""
        return tuple(name for name, each in self.histograms.items() if each.dead)

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

    A pass that was made before under the same key (`emer_edge.calibration.kept_ranges`) is taken from the cache, and
    one that was interrupted goes on after its last checkpoint; both give what an uninterrupted pass gives, to the last
    count.

    Args:
        model: the FP32 part.
        tensors: which of its float32 tensors to count.
        plan: the crops.
        fingerprint: of the data set.
        use_cache: look into the cache and keep what is measured.
        progress: told of each batch.

    Raises:
        DataError: a crop can't be read, there is none, or an activation is not finite.
    """
    total = len(plan)
    if not use_cache:
        return Measurement(collect_histograms(model, tensors, plan.batches(), total=total, progress=progress))
    cache = CalibrationCache(measurement_key(model, tensors, fingerprint, plan.digest()), tensors)
    tally = cache.tally()
    if tally is None or tally.batches > total:
        tally = Tally()
    began = tally.batches
    if began < total or not total:
        keep = partial(cache.keep, finished=False)
        how: dict[str, Any] = {"total": total, "progress": progress, "tally": tally, "save": keep}
        cache.keep(Tally(collect_histograms(model, tensors, plan.batches(began), **how), total), finished=True)
    else:
        progress("calibrating", total, total)
    continued_at = began if began < total else 0
    return Measurement(tally.histograms, began == total, continued_at, total, _cache=cache)
