"""The INT8 candidate: calibrated, its layers' sensitivity measured, and layers put back until the gate holds.

The sensitivity of a layer: the network with that layer alone in INT8, compared with FP32, in the cpu variant's style on
one window of each of 4 selection clips, of 16 where layers go back (calibration clips where there are no others): the
signal to noise of the embedding, for layers of the encoder, and the shift of every head. As in the exported encoder,
the constant part of an embedding's error is subtracted.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from emer_edge.bundle import CPU
from emer_edge.calibration.crops import choose_clips
from emer_edge.calibration.measurement import embed, fuse, model_session
from emer_edge.core.errors import ConfigurationError, GateError
from emer_edge.export.choosing.calibrating import Calibrated, calibrate
from emer_edge.export.choosing.candidates import Candidate, build
from emer_edge.export.judging.gate import agreement, shift_of
from emer_edge.export.judging.trial import Judge
from emer_edge.export.judging.workshop import Evidence, Workshop, read_evidence
from emer_edge.export.precision.dynamic import quantisable_products, quantise_products
from emer_edge.export.precision.int8 import quantisable_layers, quantise
from emer_edge.export.precision.macs import count_macs, int8_shares
from emer_edge.export.precision.writing import GRID_OF, EncoderQuantiser
from emer_edge.export.report.export_report import FallBack, LayerSensitivity, Timing, Tried
from emer_edge.export.verification import noise_db

WINDOWS: Final = 16
"""Windows, one per clip, where the order of layers decides which go back: 128 crops through the encoder a layer."""

_REPORTED: Final = 4  # windows where the gate holds: the report shows which layers stand out, and nothing hangs on it


def all_layers(shop: Workshop) -> tuple[str, ...]:
    """Names of all layers that INT8 is for: those of the encoder, then the products of fusion."""
    return (*quantisable_layers(shop.encoder), *quantisable_products(shop.fusion))


def measure_sensitivity(shop: Workshop, quantiser: EncoderQuantiser, most: int) -> tuple[LayerSensitivity, ...]:
    """Measure every layer, the most sensitive first.

    Args:
        shop: the export; selection windows, or else training clips, must be there.
        quantiser: holds the calibrated ranges.
        most: windows to measure on, one per clip.

    Raises:
        GateError: no clips.
        DataError: a clip can't be read.
    """
    evidence = shop.evidence if shop.evidence is not None else _calibration_windows(shop)
    windows = evidence.first_of_clips(most)
    faces = evidence.faces(windows)
    # A clip of few frames fills its slots with the same crops again and again.
    crops, place = np.unique(faces.reshape(-1, *faces.shape[2:]), axis=0, return_inverse=True)
    places = np.asarray(place).reshape(len(windows), -1)
    rows = {"eye": evidence.eye[windows], "gaze": evidence.gaze[windows]}
    fusion = model_session(shop.fusion, shop.threads)
    expected = embed(shop.encoder, crops, shop.threads)
    before = fuse(fusion, {"embeddings": expected[places], **rows})
    macs = {product.name: product.macs for part in (shop.encoder, shop.fusion) for product in count_macs(part)}
    layers, products = quantisable_layers(shop.encoder), quantisable_products(shop.fusion)
    sensitivities: list[tuple[float, LayerSensitivity]] = []
    for done, layer in enumerate((*layers, *products)):
        shop.progress("measuring the sensitivity of layers", done, len(layers) + len(products))
        decibels = None
        if layer in layers:
            ranges = quantiser.ranges[GRID_OF[CPU]]
            got = embed(quantise(shop.encoder, ranges, CPU, set(layers) - {layer}), crops, shop.threads)
            got = (got - (got - expected).mean(axis=0)).astype(np.float32)
            decibels = round(noise_db(got, expected), 2)
            after = fuse(fusion, {"embeddings": got[places], **rows})
        else:
            alone = model_session(quantise_products(shop.fusion, set(products) - {layer}), shop.threads)
            after = fuse(alone, {"embeddings": expected[places], **rows})
        shift = shift_of(before, after)
        heads = {name: round(shift_of({name: before[name]}, {name: after[name]}), 6) for name in before}
        sensitivity = LayerSensitivity(
            layer=layer,
            part="face_encoder" if layer in layers else "fusion",
            macs=macs.get(layer, 0),
            embedding_db=decibels,
            shift=round(shift, 6),
            heads=heads,
            agreement={name: round(share, 4) for name, share in agreement(before, after).items()},
        )
        sensitivities.append((shift, sensitivity))
    shop.progress("measuring the sensitivity of layers", len(sensitivities), len(sensitivities))
    return tuple(sensitivity for _, sensitivity in sorted(sensitivities, key=lambda pair: -pair[0]))


def _calibration_windows(shop: Workshop) -> Evidence:
    if shop.slices is None:
        raise GateError("the sensitivity of layers needs clips to measure it on")
    clips = choose_clips(shop.slices.training, WINDOWS, shop.options.seed)
    return read_evidence(clips, shop.metadata.window, shop.metadata.events, draws=0, progress=shop.progress)


def layers_named_by(patterns: Sequence[str], layers: Sequence[str]) -> tuple[str, ...]:
    """Layers that match any of some regular expressions, in the order of `layers`.

    Raises:
        ConfigurationError: a pattern is no regular expression, or matches no layer; the message lists their names.
    """
    named: set[str] = set()
    for pattern in patterns:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ConfigurationError(f"--exclude {pattern!r} is no regular expression: {error}") from None
        matched = {layer for layer in layers if compiled.search(layer)}
        if not matched:
            raise ConfigurationError(f"--exclude {pattern!r} matches no layer; the layers are {', '.join(layers)}")
        named |= matched
    return tuple(layer for layer in layers if layer in named)


def fewest_that_hold(holds: Callable[[int], bool], most: int) -> int:
    """The least count in 1..`most` that holds, given that 0 does not and that larger counts never hold worse.

    Tries 1, 2, 4, ... until one holds, then bisects: at most 2 log2(most) + 2 calls. It is `most` where nothing holds.
    """
    failing, count = 0, 1
    while not holds(min(count, most)):
        if count >= most:
            return most
        failing, count = count, 2 * count
    holding = min(count, most)
    while holding - failing > 1:
        middle = (failing + holding) // 2
        if holds(middle):
            holding = middle
        else:
            failing = middle
    return holding


@dataclass(frozen=True, eq=False)
class Quantised:
    """The INT8 candidate.

    Attributes:
        first: with only the excluded layers in floating point.
        candidate: with as many more put back as the gate needs; the same as `first` where it needs none.
        calibrated: the ranges.
        sensitivities: the most sensitive layer first; empty where they were not measured.
        excluded: layers of `--exclude`.
        tried: number of layers put back -> verdict.
        shares: share of INT8 operations of `first` and of `candidate`, by `cpu/step` and so on.
    """

    first: Candidate
    candidate: Candidate
    calibrated: Calibrated
    sensitivities: tuple[LayerSensitivity, ...]
    excluded: tuple[str, ...]
    tried: dict[int, str]
    shares: tuple[dict[str, float], dict[str, float]]

    def fall_back(self, timing: Timing) -> FallBack:
        """For the report: the layers put back, the attempts and the cost; empty where none was put back."""
        put_back = tuple(layer for layer in self.candidate.keep if layer not in self.excluded)
        if not put_back:
            return FallBack()
        return FallBack(
            layers=put_back,
            tried=tuple(Tried(layers=count, verdict=verdict) for count, verdict in sorted(self.tried.items())),
            step_ms_before=timing.medians_ms("int8, no layer put back")["step"],
            step_ms=timing.medians_ms("int8")["step"],
            int8_macs_before=self.shares[0],
            int8_macs=self.shares[1],
            failed={variant: trial.reasons for variant, trial in self.first.trials.items()},
        )

    def notes(self, cost: FallBack) -> list[str]:
        """The same for the user, one sentence each."""
        notes = []
        if self.excluded:
            notes.append(f"kept in high precision by --exclude: {', '.join(self.excluded)}")
        if cost.layers:
            before, after = (shares[f"{CPU}/step"] for shares in self.shares)
            notes.append(
                f"kept in high precision for the gate, most sensitive first: {', '.join(cost.layers)}; INT8 share of a "
                f"step's operations {before:.1%} -> {after:.1%}, a step {cost.step_ms_before:.2f} -> "
                f"{cost.step_ms:.2f} ms here"
            )
        return notes


def quantised(shop: Workshop, judge: Judge, excluded: tuple[str, ...], staging: Path) -> Quantised:
    """Make the INT8 candidate.

    Where the gate fails and `options.fall_back` is set, layers go back into floating point in the order of their
    sensitivity, as few of them as the gate needs, assuming that more layers in high precision never do worse. The
    candidate may still fail when all are back: fusion, for one, stays FP16.

    Args:
        shop: the export.
        judge: of the candidates.
        excluded: layers that stay in floating point from the start.
        staging: folder for the candidates' folders.

    Raises:
        GateError: no clips.
        DataError: clips can't be read, or none calibrate.
    """
    calibrated = calibrate(shop, judge.full)
    quantiser = calibrated.quantiser
    first = build(shop, staging / "int8-0", "int8", quantiser=quantiser, keep=excluded).judged(judge, "int8")
    fails = first.verdict == "failed" and shop.options.fall_back
    sensitivities: tuple[LayerSensitivity, ...] = ()
    if fails or shop.options.sensitivity:
        sensitivities = measure_sensitivity(shop, quantiser, WINDOWS if fails else _REPORTED)
    candidate, tried = first, {0: str(first.verdict)}
    order = [sensitivity.layer for sensitivity in sensitivities if sensitivity.layer not in excluded]
    if fails and order:
        held: dict[int, Candidate] = {}

        def holds(count: int) -> bool:
            folder = staging / f"int8-{count}"
            made = build(shop, folder, "int8", quantiser=quantiser, keep=(*excluded, *order[:count]))
            label = f"int8 with {count} of {len(all_layers(shop))} layers put back"
            made = made.judged(judge, label, until_failed=True)
            tried[count] = str(made.verdict)
            if made.verdict == "failed" and count < len(order):
                shutil.rmtree(folder)
                return False
            held[count] = made
            return made.verdict != "failed"

        candidate = held[fewest_that_hold(holds, len(order))]
    shares = int8_shares(first.parts)[0], int8_shares(candidate.parts)[0]
    return Quantised(first, candidate, calibrated, sensitivities, excluded=excluded, tried=tried, shares=shares)
