"""Which precision the bundle gets: what was asked for, with as many layers put back as the gate takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.errors import GateError
from emer_edge.export.calibrating import calibrate
from emer_edge.export.gate import Verdict, verdict_of
from emer_edge.export.precision.int8 import quantisable_layers
from emer_edge.export.trial import (
    Trial,
    run_encoder,
    run_fusion,
    step_ms,
    trial_of,
)
from emer_edge.export.variants import VARIANTS, PartPrecision, Parts, precisions_of, write_parts
from emer_edge.export.workshop import FullOutputs, Workshop

__all__ = ["Choice", "Workshop", "choose"]


@dataclass
class Choice:
    """What was chosen, and why.

    Attributes:
        precision: of the parts written.
        parts: their files.
        trials: variant -> how it did on selection windows; empty without these.
        calibration: for int8.
        kept_high: encoder layers that were put back into floating point.
        sensitivities: layer -> dB of the embedding with that layer alone quantised; only measured when needed.
        fp32_ms, final_ms: `step_ms` before and after.
        notes: for the user.
    """

    precision: PartPrecision
    parts: Parts
    trials: dict[str, Trial] = field(default_factory=dict)
    calibration: CalibrationRecord | None = None
    kept_high: tuple[str, ...] = ()
    sensitivities: dict[str, float] = field(default_factory=dict)
    fp32_ms: dict[str, float] = field(default_factory=dict)
    final_ms: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict | Literal["not run"]:
        """The worst verdict among variants."""
        if not self.trials:
            return "not run"
        return verdict_of([change for trial in self.trials.values() for change in trial.changes])


def choose(shop: Workshop) -> Choice:
    """Write the parts in the precision asked for, or in the best one that passes.

    Raises:
        GateError: the precision asked for fails the gate, and may not or can't be mended.
        DataError: clips can't be read, or none calibrate.
    """
    asked = shop.options.precision
    full = write_parts(shop.target, shop.encoder, shop.fusion, "fp32", None)
    judged = _Judge(shop, full)
    fp32_ms = step_ms(full)
    if asked == "auto":
        choice = _automatic(shop, judged, fp32_ms)
    elif asked == "int8":
        choice = _int8(shop, judged)
    else:
        choice = _plain(shop, judged, asked)
    choice.fp32_ms = fp32_ms
    choice.final_ms = choice.final_ms or step_ms(choice.parts)
    if choice.verdict == "failed":
        failed = "; ".join(
            f"{variant} {change}"
            for variant, trial in choice.trials.items()
            for change in trial.changes
            if change.verdict == "failed"
        )
        raise GateError(f"{choice.precision} loses more than the gate allows: {failed}; try --precision fp16 or fp32")
    return choice


class _Judge:
    """Compares variants with FP32 on the selection windows."""

    def __init__(self, shop: Workshop, full: Parts) -> None:
        self._shop = shop
        self.full: FullOutputs | None = None
        if shop.evidence is not None:
            shop.progress("running FP32 on selection windows", 0, 1)
            embeddings = run_encoder(full["cpu/face_encoder"], shop.evidence, shop.threads)
            self.full = FullOutputs(embeddings, run_fusion(full["cpu/fusion"], embeddings, shop.evidence, shop.threads))
            shop.progress("running FP32 on selection windows", 1, 1)

    def __call__(self, parts: Parts, asked: PartPrecision, label: str) -> dict[str, Trial]:
        shop = self._shop
        if shop.evidence is None or self.full is None:
            return {}
        precisions = precisions_of(asked, shop.fusion)
        trials: dict[str, Trial] = {}
        for done, variant in enumerate(VARIANTS):
            shop.progress(f"running {label} on selection windows", done, 2)
            embeddings, outputs = self.full.embeddings, self.full.outputs
            if {precisions[f"{variant}/{name}"] for name in ("face_encoder", "fusion")} != {"fp32"}:
                embeddings = run_encoder(parts[f"{variant}/face_encoder"], shop.evidence, shop.threads)
                outputs = run_fusion(parts[f"{variant}/fusion"], embeddings, shop.evidence, shop.threads)
            trials[variant] = trial_of(
                self.full.embeddings, self.full.outputs, embeddings, outputs, shop.evidence, shop.classes
            )
        shop.progress(f"running {label} on selection windows", 2, 2)
        return trials


def _plain(shop: Workshop, judged: _Judge, asked: Literal["fp32", "fp16"]) -> Choice:
    parts = write_parts(shop.target, shop.encoder, shop.fusion, asked, None)
    return Choice(asked, parts, judged(parts, asked, asked))


def _automatic(shop: Workshop, judged: _Judge, fp32_ms: Mapping[str, float]) -> Choice:
    if shop.slices is None:
        choice = _plain(shop, judged, "fp16")
        choice.notes.append("auto: fp16 (fp32 on a CPU); int8 was not tried, as it needs EMER clips (--data)")
        return choice
    tried = _int8(shop, judged)
    tried.final_ms = step_ms(tried.parts)
    faster = tried.final_ms["step"] < fp32_ms["step"]
    told = f"a step takes {tried.final_ms['step']:.2f} ms in int8 and {fp32_ms['step']:.2f} ms in fp32 here"
    if faster and tried.verdict != "failed":
        tried.notes.append(f"auto: int8; {told}, gate {tried.verdict}")
        return tried
    choice = _plain(shop, judged, "fp16")
    why = "int8 is no faster" if not faster else "int8 failed the gate"
    choice.notes.append(f"auto: fp16 (fp32 on a CPU); {why}; {told}")
    return choice


def _int8(shop: Workshop, judged: _Judge) -> Choice:
    calibrated = calibrate(shop, judged.full)
    quantiser, record, notes = calibrated.quantiser, calibrated.record, list(calibrated.notes)
    layers = quantisable_layers(shop.encoder)
    sensitivities: dict[str, float] = {}
    keep: Sequence[str] = ()
    while True:
        parts = write_parts(shop.target, shop.encoder, shop.fusion, "int8", quantiser, keep)
        label = f"int8, {len(keep)} layers kept high" if keep else "int8"
        choice = Choice("int8", parts, judged(parts, "int8", label), record, tuple(keep), sensitivities, notes=notes)
        if choice.verdict != "failed" or not shop.options.fall_back or len(keep) == len(layers):
            return choice
        sensitivities = sensitivities or quantiser.sensitivities(shop.progress)
        keep = list(sensitivities)[: max(1, 2 * len(keep))]
        notes = [
            *notes[: len(notes) - bool(choice.kept_high)],
            f"kept in high precision for the gate: {', '.join(keep)}",
        ]
