"""The INT8 candidate: calibrated, its layers' sensitivity measured, and layers put back until the gate holds."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emer_edge.bundle import CPU
from emer_edge.export.choosing.calibrating import Calibrated, calibrate
from emer_edge.export.choosing.candidates import Candidate, build
from emer_edge.export.choosing.searching import fewest_that_hold
from emer_edge.export.choosing.sensitivity import LayerSensitivity, all_layers, measure_sensitivity
from emer_edge.export.choosing.timing import Timing
from emer_edge.export.judging.trial import Judge
from emer_edge.export.precision.macs import int8_shares
from emer_edge.export.workshop import Workshop

__all__ = ["Quantised", "quantised"]


@dataclass(frozen=True, eq=False)
class Quantised:
    """INT8, as good as it gets.

    Attributes:
        first: with only the layers named by hand in floating point.
        candidate: with as many more put back as the gate needs; the same as `first` where it needs none.
        calibrated: the ranges.
        sensitivities: the most sensitive layer first; empty where they were not measured.
        excluded: layers named by hand.
        tried: number of layers put back -> verdict, for every number that was tried.
        shares: share of INT8 operations of `first` and of `candidate`, by `cpu/step` and so on.
    """

    first: Candidate
    candidate: Candidate
    calibrated: Calibrated
    sensitivities: tuple[LayerSensitivity, ...]
    excluded: tuple[str, ...]
    tried: dict[int, str]
    shares: tuple[dict[str, float], dict[str, float]]

    @property
    def put_back(self) -> tuple[str, ...]:
        """Layers put back for the gate, the most sensitive first."""
        return tuple(each for each in self.candidate.keep if each not in self.excluded)

    def fall_back(self, timing: Timing) -> dict[str, Any]:
        """For the report: which layers were put back, what was tried, and what it cost; empty where none was."""
        if not self.put_back:
            return {}
        return {
            "layers": list(self.put_back),
            "tried": [{"layers": count, "verdict": verdict} for count, verdict in sorted(self.tried.items())],
            "step_ms_before": timing.medians_ms("int8, no layer put back")["step"],
            "step_ms": timing.medians_ms("int8")["step"],
            "int8_macs_before": self.shares[0],
            "int8_macs": self.shares[1],
            "failed": {variant: list(trial.reasons) for variant, trial in self.first.trials.items()},
        }

    def told(self, timing: Timing) -> list[str]:
        """The same for people, a sentence each."""
        notes = []
        if self.excluded:
            notes.append(f"kept in high precision by --exclude: {', '.join(self.excluded)}")
        cost = self.fall_back(timing)
        if cost:
            before, after = (each[f"{CPU}/step"] for each in self.shares)
            slower = f"{cost['step_ms_before']:.2f} -> {cost['step_ms']:.2f} ms"
            notes.append(
                f"kept in high precision for the gate, most sensitive first: {', '.join(self.put_back)}; INT8 share "
                f"of a step's operations {before:.1%} -> {after:.1%}, a step {slower} here"
            )
        return notes


def quantised(shop: Workshop, judge: Judge, excluded: tuple[str, ...], staging: Path) -> Quantised:
    """Make the INT8 candidate.

    Where the gate fails and `options.fall_back` is set, layers go back into floating point in the order of their
    sensitivity: as few of them as make the gate hold, by doubling and halving, taking for granted that more layers in
    high precision never do worse. The candidate may still fail when all are back: fusion in FP16, for one, stays.

    Args:
        shop: the export.
        judge: of the candidates.
        excluded: layers that stay in floating point from the start.
        staging: candidates are written into folders in it.

    Raises:
        GateError: no clips.
        DataError: clips can't be read, or none calibrate.
    """
    calibrated = calibrate(shop, judge.full)
    quantiser = calibrated.quantiser
    first = build(shop, staging / "int8-0", "int8", quantiser, excluded).judged(judge, "int8")
    mend = first.verdict == "failed" and shop.options.fall_back
    sensitivities = measure_sensitivity(shop, quantiser) if mend or shop.options.sensitivity else ()
    candidate, tried = first, {0: str(first.verdict)}
    order = [each.layer for each in sensitivities if each.layer not in excluded]
    if mend and order:
        held: dict[int, Candidate] = {}

        def holds(count: int) -> bool:
            folder = staging / f"int8-{count}"
            made = build(shop, folder, "int8", quantiser, (*excluded, *order[:count]))
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
    return Quantised(first, candidate, calibrated, sensitivities, excluded, tried, shares)
