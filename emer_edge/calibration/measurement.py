"""One pass over the calibration crops, kept and continued: what every method takes its ranges from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from emer_edge.calibration.cache import CalibrationCache, Ranges, measurement_key
from emer_edge.calibration.crops import CropPlan
from emer_edge.calibration.histogram import RunningHistogram
from emer_edge.calibration.mse import GRIDS
from emer_edge.calibration.ranges import Tally, collect_histograms, ranges_of
from emer_edge.spec.progress import Progress, silent

__all__ = ["Measurement", "measure"]


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

    A pass that was made before under the same key (`emer_edge.calibration.cache`) is taken from the cache, and one that
    was interrupted goes on after its last checkpoint; both give what an uninterrupted pass gives, to the last count.

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
    if not use_cache:
        histograms = collect_histograms(model, tensors, plan.batches(), len(plan), progress)
        return Measurement(histograms)
    cache = CalibrationCache(measurement_key(model, tensors, fingerprint, plan.digest()), tensors)
    tally = cache.tally()
    if tally is not None and tally.batches > len(plan):
        tally = None
    began = tally.batches if tally is not None else 0
    if tally is None or began < len(plan):
        histograms = collect_histograms(
            model,
            tensors,
            plan.batches(began),
            len(plan),
            progress,
            tally,
            lambda counted: cache.keep(counted, finished=False),
        )
        cache.keep(Tally(histograms, len(plan)), finished=True)
    else:
        histograms = tally.histograms
        progress("calibrating", len(plan), len(plan))
    return Measurement(
        histograms,
        from_cache=began == len(plan),
        continued_at=began if began < len(plan) else 0,
        batches=len(plan),
        _cache=cache,
    )
