"""The precision of the bundle: the requested one, or the fastest that passes the gate.

INT8 that fails the gate gets layers back into high precision, the most sensitive first, until it passes. An
inconclusive gate keeps a precision that was requested by name, with a note; `auto` keeps only what passed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.core.errors import ConfigurationError, DataError, GateError
from emer_edge.core.whole_file import scratch_folder
from emer_edge.export.choosing.candidates import Candidate, build, select, time_steps
from emer_edge.export.choosing.quantising import Quantised, all_layers, layers_named_by, quantised
from emer_edge.export.judging.trial import Judge, Trial, gate_verdict
from emer_edge.export.judging.workshop import Outputs, Workshop
from emer_edge.export.precision.macs import int8_shares
from emer_edge.export.precision.writing import Parts
from emer_edge.export.report.export_report import (
    CandidateRow,
    FallBack,
    LayerSensitivity,
    PartPrecision,
    TensorRange,
    Timing,
    Verdict,
)


@dataclass
class Choice:
    """A choice of precision, and its reasons.

    Attributes:
        precision: of the parts written.
        parts: their files.
        timing: of FP32, of the choice, and of other candidates, side by side.
        trials: variant -> its trial on selection windows; empty without these.
        calibration, ranges: for int8, the record and one row per tensor.
        kept_high: layers that stay in floating point, by `--exclude` or for the gate.
        sensitivities: the most sensitive layer first; empty where they were not measured.
        fall_back: the cost of the gate; empty where no layer was put back.
        candidates: for `auto`, one row per precision.
        int8_macs, macs: share of INT8 operations, and operations, as `int8_shares` gives them.
        fp32_outputs: head -> (n, C) of FP32 on selection windows; empty without these.
        notes: for the user.
    """

    precision: PartPrecision
    parts: Parts
    timing: Timing
    trials: dict[str, Trial] = field(default_factory=dict)
    calibration: CalibrationRecord | None = None
    ranges: tuple[TensorRange, ...] = ()
    kept_high: tuple[str, ...] = ()
    sensitivities: tuple[LayerSensitivity, ...] = ()
    fall_back: FallBack = field(default_factory=FallBack)
    candidates: tuple[CandidateRow, ...] = ()
    int8_macs: dict[str, float] = field(default_factory=dict)
    macs: dict[str, dict[str, int]] = field(default_factory=dict)
    fp32_outputs: Outputs = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict | Literal["not run"]:
        """The worst verdict among variants."""
        return gate_verdict(self.trials)

    @property
    def fp32_ms(self) -> dict[str, float]:
        """Median milliseconds of each part and of a step in FP32."""
        return self.timing.medians_ms("fp32")

    @property
    def final_ms(self) -> dict[str, float]:
        """The same as exported."""
        return self.timing.medians_ms(self.precision)


def choose(shop: Workshop) -> Choice:
    """Write the parts in the requested precision, or in the fastest one that passes.

    Raises:
        GateError: the requested precision fails the gate, and no layers may or can be put back.
        CheckpointError: the network gives numbers that are not finite, or a head that never changes.
        ConfigurationError: `exclude` names no layer, or there is no INT8 to exclude it from.
        DataError: clips can't be read, or none calibrate.
    """
    options = shop.options
    if options.exclude and options.precision not in ("int8", "auto"):
        raise ConfigurationError(f"--exclude is for int8 and auto; in --precision {options.precision} nothing is INT8")
    excluded = layers_named_by(options.exclude, all_layers(shop))
    # Beside the output, so that candidates take room on the disk that has to have it anyway.
    with scratch_folder(beside=options.output) as folder:
        choosing = _Choosing(shop, folder, excluded)
        choice = choosing.automatic() if options.precision == "auto" else choosing.requested(options.precision)
        for key, path in choice.parts.items():
            shutil.copyfile(path, shop.target(f"{key}.onnx"))
        choice.parts = {key: shop.target(f"{key}.onnx") for key in choice.parts}
    choice.int8_macs, choice.macs = int8_shares(choice.parts)
    return choice


class _Choosing:
    """A choice in progress: candidates are in `staging`, all compared with `full`, the one in FP32."""

    def __init__(self, shop: Workshop, staging: Path, excluded: tuple[str, ...]) -> None:
        self.shop, self.staging, self.excluded = shop, staging, excluded
        full = build(shop, staging / "fp32", "fp32")
        self.judge = Judge(shop, full.parts)
        self.full = full.judged(self.judge, "fp32")

    def requested(self, precision: PartPrecision) -> Choice:
        made = self.quantised() if precision == "int8" else None
        candidate = made.candidate if made is not None else self.full if precision == "fp32" else self.built(precision)
        _refuse_failure(candidate)
        timing, notes = self.timed([candidate], made)
        return self.choice(candidate, timing, notes, made)

    def automatic(self) -> Choice:
        candidates, made = [self.full], None
        untried: dict[PartPrecision, str] = {}
        try:
            candidates.append(self.built("fp16"))
        except ConfigurationError as error:
            untried["fp16"] = str(error)
        if self.shop.slices is None:
            untried["int8"] = "it needs EMER clips to be calibrated on (--data)"
        else:
            try:
                made = self.quantised()
            except (ConfigurationError, DataError) as error:
                untried["int8"] = str(error)
            else:
                candidates.append(made.candidate)
        timing, notes = self.timed(candidates, made)
        chosen, rows, note = select(candidates, timing, self.shop.evidence, untried)
        choice = self.choice(chosen, timing, notes, made)
        return replace(choice, candidates=rows, notes=[*choice.notes, note])

    def built(self, precision: PartPrecision) -> Candidate:
        return build(self.shop, self.staging / precision, precision).judged(self.judge, precision)

    def quantised(self) -> Quantised:
        return quantised(self.shop, self.judge, self.excluded, self.staging)

    def timed(self, candidates: Sequence[Candidate], made: Quantised | None) -> tuple[Timing, tuple[str, ...]]:
        parts: dict[str, Parts] = {candidate.precision: candidate.parts for candidate in (self.full, *candidates)}
        first = {}
        if made is not None and made.first is not made.candidate:
            first = {"int8, no layer put back": made.first.parts}
        return time_steps({**parts, **first}, self.shop.progress)

    def choice(self, candidate: Candidate, timing: Timing, notes: tuple[str, ...], made: Quantised | None) -> Choice:
        choice = Choice(candidate.precision, candidate.parts, timing, dict(candidate.trials))
        choice.fp32_outputs = self.judge.full.outputs if self.judge.full is not None else {}
        calibrated: tuple[str, ...] = ()
        if made is not None:
            choice.sensitivities, choice.fall_back = made.sensitivities, made.fall_back(timing)
            notes += tuple(made.notes(choice.fall_back))
            if candidate is made.candidate:
                choice.calibration, choice.ranges = made.calibrated.record, made.calibrated.layers
                choice.kept_high, calibrated = candidate.keep, made.calibrated.notes
        choice.notes = list(dict.fromkeys((*self.judge.notes, *calibrated, *notes)))
        return choice


def _refuse_failure(candidate: Candidate) -> None:
    if candidate.verdict != "failed":
        return
    failed = "; ".join(
        f"{variant} {reason}"
        for variant, trial in candidate.trials.items()
        if trial.verdict == "failed"
        for reason in trial.reasons
    )
    cure = "try --precision fp32" if candidate.precision == "fp16" else "try --precision fp16 or fp32"
    raise GateError(f"{candidate.precision} loses more than the gate allows: {failed}; {cure}")
