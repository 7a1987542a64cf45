"""The INT8 ranges of an export: the clips that they are measured on, and the method.

The trial of methods builds each one and runs it on at most 48 selection windows, of participants who do not calibrate,
so that all methods together take less than a minute. A method is judged by its `shift` (`shift_of`) from FP32 in the
variant where it is larger. Labels are not used: few windows change class, but all of them shift.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import onnx

from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.calibration.crops import choose_clips, composition_of, plan_crops
from emer_edge.calibration.measurement import Measurement, embed, fuse, measure, model_session
from emer_edge.calibration.methods import METHODS, Grid, RunningHistogram, expected_squared_error
from emer_edge.core.errors import ConfigurationError, GateError
from emer_edge.core.progress import Progress, silent
from emer_edge.data.dataset import Clip
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.judging.gate import shift_of
from emer_edge.export.judging.trial import check_weights
from emer_edge.export.judging.workshop import Evidence, FullOutputs, Workshop
from emer_edge.export.precision.writing import GRID_OF, PROBES, EncoderQuantiser, tensors_to_measure
from emer_edge.export.report.export_report import StyleRange, TensorRange
from emer_edge.export.sources import Slices
from emer_edge.export.verification import noise_db

JUDGED_WINDOWS: Final = 48
_DEAD_NAMED: Final = 5


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A calibration.

    Attributes:
        quantiser: quantises the encoder by the chosen method's ranges; `build(variant, keep)` gives a part.
        record: for the manifest.
        notes: for the user, one sentence each.
        layers: for the report, one row per tensor except the image, which has a fixed range.
    """

    quantiser: EncoderQuantiser
    record: CalibrationRecord
    notes: tuple[str, ...]
    layers: tuple[TensorRange, ...] = ()


def calibration_clips(slices: Slices, options: ExportOptions) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """Choose the clips to calibrate on, with one sentence per weakness of the choice.

    It is cheap, so that an export can fail here before it has worked for minutes.

    Raises:
        DataError: they are too few, or all of one emotion.
    """
    clips = choose_clips(slices.training, options.calibration_windows, options.seed)
    return clips, composition_of(clips).check()


def calibrate(shop: Workshop, full: FullOutputs | None = None) -> Calibrated:
    """Measure the ranges of the encoder's activations on windows of the training slice, and choose the method.

    One pass of histograms serves every method. It is kept in the user's cache and continued after an interruption,
    unless `options.use_cache` is off.

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
    requested = options.calibration_method
    if requested not in (*METHODS, "auto"):
        raise ConfigurationError(f"no calibration method is called {requested!r}; choose {', '.join(METHODS)} or auto")
    for part in (shop.encoder, shop.fusion):
        check_weights(part)
    clips, thin = calibration_clips(slices, options)
    composition = composition_of(clips)
    notes = list(thin)
    plan = plan_crops(clips, shop.metadata.window, shop.metadata.events, seed=options.seed, progress=shop.progress)
    tensors, fingerprint = tensors_to_measure(shop.encoder), slices.record.fingerprint
    measured = measure(shop.encoder, tensors, plan, fingerprint, use_cache=options.use_cache, progress=shop.progress)
    notes += _dead(measured)
    method: str = ExportOptions.calibration_method if requested == "auto" else requested
    quantiser = EncoderQuantiser(shop.encoder, measured.ranges(method), plan.probes(PROBES))
    tried: dict[str, dict[str, float]] = {}
    if requested == "auto" and full is not None and shop.evidence is not None:
        how: dict[str, Any] = {"measured": measured, "threads": shop.threads, "progress": shop.progress}
        tried = try_methods(shop.fusion, shop.evidence, full, quantiser, **how)
        method = best_method(tried)
        quantiser = quantiser.using(measured.ranges(method))
        shifts = ", ".join(f"{name} {_worse_shift(figures):.4f}" for name, figures in tried.items())
        notes.append(
            f"calibration method: {method}, which shifts the heads least on "
            f"{len(shop.evidence.first_of_clips(JUDGED_WINDOWS))} selection windows (mean shift, 0 to 1: {shifts})"
        )
    elif requested == "auto":
        notes.append(f"calibration method: {method}, as there are no selection windows to choose another one on")
    notes += measured.notes
    notes += [f"TensorRT's INT8 layers hand FP32 on, as {fault}" for fault in quantiser.beyond[:1]]
    record = CalibrationRecord(
        method=method,
        windows=len(clips),
        clip_hashes=slices.hashes(clips),
        source="synthetic" if slices.made_up else "data",
        requested=requested,
        windows_by_class=composition.by_class,
        participants=composition.participants,
        methods={
            name: {key: round(figure, 5 if key.endswith("/shift") else 2) for key, figure in figures.items()}
            for name, figures in tried.items()
        },
    )
    images = {value.name for value in shop.encoder.graph.input}
    return Calibrated(quantiser, record, tuple(notes), _layers(measured, method, images))


def _dead(measured: Measurement) -> list[str]:
    dead = measured.dead
    if not dead:
        return []
    more = f" and {len(dead) - _DEAD_NAMED} more" if len(dead) > _DEAD_NAMED else ""
    return [
        f"{len(dead)} of {len(measured.histograms)} quantised tensors held the same value on all calibration "
        f"crops, so their ranges are guesses: {', '.join(dead[:_DEAD_NAMED])}{more}; was the checkpoint trained?"
    ]


def _layers(measured: Measurement, method: str, images: Collection[str]) -> tuple[TensorRange, ...]:
    ranges = measured.ranges(method)
    return tuple(
        TensorRange(
            name=name,
            low=histogram.low,
            high=histogram.high,
            **{style: _style_range(histogram, *ranges[grid][name], grid=grid) for style, grid in GRID_OF.items()},
        )
        for name, histogram in measured.histograms.items()
        if name not in images
    )


def _style_range(histogram: RunningHistogram, low: float, high: float, grid: Grid) -> StyleRange:
    error, signal = expected_squared_error(histogram, low, high, grid), histogram.mean_square
    decibels = 10.0 * math.log10(signal / error) if error and signal else None
    return StyleRange(low=low, high=high, clipped=histogram.share_outside(low, high), noise_db=decibels)


def try_methods(
    fusion: onnx.ModelProto,
    evidence: Evidence,
    full: FullOutputs,
    quantiser: EncoderQuantiser,
    *,
    measured: Measurement,
    threads: int = 1,
    progress: Progress = silent,
) -> dict[str, dict[str, float]]:
    """Build the encoder by every method in both variants, and compare with FP32 on one window of each clip.

    Args:
        fusion: the FP32 part.
        evidence: selection windows.
        full: FP32 results on them.
        quantiser: of the encoder, with any ranges.
        measured: the histograms.
        threads: of the engines.
        progress: called for each method.

    Returns:
        method -> `cpu/shift` and so on, mean shift of the heads, 0 to 1, and `cpu/embedding_db`, signal to noise, dB.

    Raises:
        DataError: a selection clip can't be read.
    """
    windows = evidence.first_of_clips(JUDGED_WINDOWS)
    faces = evidence.faces(windows)
    crops = faces.reshape(-1, *faces.shape[2:])
    rows = {"eye": evidence.eye[windows], "gaze": evidence.gaze[windows]}
    session = model_session(fusion, threads)
    expected = full.embeddings[evidence.frames[windows]]
    flat = expected.reshape(-1, expected.shape[-1])
    before = {name: values[windows] for name, values in full.outputs.items()}
    figures: dict[str, dict[str, float]] = {method: {} for method in METHODS}
    for done, method in enumerate(METHODS):
        progress("trying calibration methods", done, len(METHODS))
        tried = quantiser.using(measured.ranges(method))
        for style in GRID_OF:
            got = embed(tried.build(style), crops, threads)
            after = fuse(session, {"embeddings": got.reshape(expected.shape), **rows})
            figures[method] |= {f"{style}/shift": shift_of(before, after), f"{style}/embedding_db": noise_db(got, flat)}
    progress("trying calibration methods", len(METHODS), len(METHODS))
    return figures


def best_method(tried: Mapping[str, Mapping[str, float]]) -> str:
    """The method with the least shift in its worse variant; the first of equals."""
    return min(tried, key=lambda method: _worse_shift(tried[method]))


def _worse_shift(figures: Mapping[str, float]) -> float:
    return max(figures[f"{style}/shift"] for style in GRID_OF)
