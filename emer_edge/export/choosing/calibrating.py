"""The INT8 ranges of an export: which clips they are measured on, and by which method."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.calibration.choice import choose_clips, composition_of
from emer_edge.calibration.crops import plan_crops
from emer_edge.calibration.measurement import Measurement, measure
from emer_edge.calibration.methods import DEFAULT_METHOD, METHODS
from emer_edge.calibration.mse import expected_squared_error
from emer_edge.data.clips import Clip
from emer_edge.errors import ConfigurationError, GateError
from emer_edge.export.choosing.method_trial import JUDGED_WINDOWS, MethodFigures, best_method, try_methods
from emer_edge.export.judging.health import check_weights
from emer_edge.export.options import ExportOptions
from emer_edge.export.precision.quantiser import GRID_OF, PROBES, EncoderQuantiser, tensors_to_measure
from emer_edge.export.sources import Slices
from emer_edge.export.workshop import FullOutputs, Workshop

__all__ = ["Calibrated", "calibrate", "calibration_clips"]

_DEAD_NAMED: Final = 5


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A calibration.

    Attributes:
        quantiser: quantises the encoder by the chosen method's ranges; `build(variant, keep)` gives a part.
        record: for the manifest.
        notes: for the user, a sentence each.
        layers: for the report, a tensor each but the image, whose range is fixed: `name`, what was met (`low`, `high`),
            and for each variant the range it got, the share of values outside of it (`clipped`) and the expected signal
            to noise (`noise_db`; None where it has none).
    """

    quantiser: EncoderQuantiser
    record: CalibrationRecord
    notes: tuple[str, ...]
    layers: tuple[dict[str, Any], ...] = ()


def calibration_clips(slices: Slices, options: ExportOptions) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """Choose the clips to calibrate on, and say what is thin about them, a sentence each.

    It costs next to nothing, so that an export can fail here before it has worked for minutes.

    Raises:
        DataError: they are too few, or all of one emotion.
    """
    clips = choose_clips(slices.training, options.calibration_windows, options.seed)
    return clips, composition_of(clips).check()


def calibrate(shop: Workshop, full: FullOutputs | None = None) -> Calibrated:
    """Measure the ranges of the encoder's activations on windows of the training slice, and choose the method.

    One pass of histograms serves every method. It is kept in the user's cache and continued when it was interrupted,
    unless `options.use_cache` is off; see `emer_edge.calibration.cache` for what a kept result depends on.

    Args:
        shop: the export; its `slices` must be there.
        full: FP32 results on `shop.evidence`, which `auto` compares with.

    Raises:
        GateError: no clips.
        DataError: clips can't be read, are too few or all of one emotion, or an activation is not finite.
        CheckpointError: a weight is not finite.
        ConfigurationError: an unknown method.
    """
    slices, options = shop.slices, shop.options
    if slices is None:
        raise GateError("int8 needs clips to measure ranges on")
    asked = options.calibration_method
    if asked not in (*METHODS, "auto"):
        raise ConfigurationError(f"no calibration method is called {asked!r}; choose {', '.join(METHODS)} or auto")
    check_weights(shop.encoder)
    check_weights(shop.fusion)
    clips, thin = calibration_clips(slices, options)
    composition = composition_of(clips)
    notes = list(thin)
    plan = plan_crops(clips, shop.metadata.window, shop.metadata.events, seed=options.seed, progress=shop.progress)
    measured = measure(
        shop.encoder,
        tensors_to_measure(shop.encoder),
        plan,
        slices.record.fingerprint,
        use_cache=options.use_cache,
        progress=shop.progress,
    )
    notes += _dead(measured)
    method = DEFAULT_METHOD if asked == "auto" else asked
    quantiser = EncoderQuantiser(shop.encoder, measured.ranges(method), plan.probes(PROBES))
    tried: dict[str, MethodFigures] = {}
    if asked == "auto" and full is not None and shop.evidence is not None:
        tried = try_methods(shop.fusion, shop.evidence, full, quantiser, measured, shop.threads, shop.progress)
        method = best_method(tried)
        quantiser = quantiser.using(measured.ranges(method))
        notes.append(_told(method, tried, len(shop.evidence.first_of_clips(JUDGED_WINDOWS))))
    elif asked == "auto":
        notes.append(f"calibration method: {method}, as there are no selection windows to choose another one on")
    notes += measured.notes
    record = CalibrationRecord(
        method=method,
        windows=len(clips),
        clip_hashes=slices.hashes(clips),
        source="synthetic" if slices.made_up else "data",
        requested=asked,
        windows_by_class=composition.by_class,
        participants=composition.participants,
        methods={name: each.figures for name, each in tried.items()},
    )
    return Calibrated(
        quantiser, record, tuple(notes), _layers(measured, method, {each.name for each in shop.encoder.graph.input})
    )


def _told(method: str, tried: dict[str, MethodFigures], windows: int) -> str:
    figures = ", ".join(f"{name} {max(each.shift.values()):.4f}" for name, each in tried.items())
    return (
        f"calibration method: {method}, which moves the heads least on {windows} selection windows "
        f"(mean shift, 0 to 1: {figures})"
    )


def _dead(measured: Measurement) -> list[str]:
    dead = measured.dead
    if not dead:
        return []
    more = f" and {len(dead) - _DEAD_NAMED} more" if len(dead) > _DEAD_NAMED else ""
    return [
        f"{len(dead)} of {len(measured.histograms)} quantised tensors held one and the same value on all calibration "
        f"crops, so their ranges are guesses: {', '.join(dead[:_DEAD_NAMED])}{more}; was the checkpoint trained?"
    ]


def _layers(measured: Measurement, method: str, given: Collection[str]) -> tuple[dict[str, Any], ...]:
    ranges = measured.ranges(method)
    found = []
    for name, histogram in measured.histograms.items():
        if name in given:
            continue
        told: dict[str, Any] = {"name": name, "low": histogram.low, "high": histogram.high}
        for style, grid in GRID_OF.items():
            low, high = ranges[grid][name]
            error = expected_squared_error(histogram, low, high, grid)
            told[style] = {
                "low": low,
                "high": high,
                "clipped": histogram.share_outside(low, high),
                "noise_db": 10.0 * math.log10(histogram.mean_square / error)
                if error and histogram.mean_square
                else None,
            }
        found.append(told)
    return tuple(found)
