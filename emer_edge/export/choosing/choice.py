"""Which precision the bundle gets: what was asked for, or the fastest that passes the gate.

INT8 that fails the gate gets layers back into high precision, the most sensitive first, until it holds. An inconclusive
gate keeps what was asked for by name, with a note. `auto` vouches for its choice and keeps only what passed.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.errors import ConfigurationError, DataError, GateError
from emer_edge.export.choosing.candidates import Candidate, build, gate_verdict
from emer_edge.export.choosing.quantising import Quantised, quantised
from emer_edge.export.choosing.searching import layers_named_by
from emer_edge.export.choosing.selecting import select
from emer_edge.export.choosing.sensitivity import LayerSensitivity, all_layers
from emer_edge.export.choosing.timing import Timing, time_steps
from emer_edge.export.judging.evidence import Outputs
from emer_edge.export.judging.trial import Judge, Trial
from emer_edge.export.precision.macs import int8_shares
from emer_edge.export.precision.variants import PartPrecision, Parts
from emer_edge.export.workshop import Workshop

__all__ = ["Choice", "Workshop", "choose"]


@dataclass
class Choice:
    """What was chosen, and why.

    Attributes:
        precision: of the parts written.
        parts: their files.
        trials: variant -> how it did on selection windows; empty without these.
        calibration: for int8.
        ranges: for int8, what the calibration says of each tensor
            (`emer_edge.export.choosing.calibrating.Calibrated.layers`).
        kept_high: layers that stay in floating point, by hand or for the gate.
        sensitivities: the most sensitive layer first; empty where they were not measured.
        fall_back: what the gate cost, for the report; empty where no layer had to be put back.
        candidates: for `auto`, a row for each precision.
        timing: of FP32, of what was chosen, and of what was passed over, side by side.
        int8_macs: share of INT8 operations, by part and for a step (`emer_edge.export.precision.macs.int8_shares`).
        macs: the same in operations.
        fp32_outputs: head -> (n, C) of FP32 on selection windows; empty without these.
        notes: for the user.
    """

    precision: PartPrecision
    parts: Parts
    timing: Timing
    trials: dict[str, Trial] = field(default_factory=dict)
    calibration: CalibrationRecord | None = None
    ranges: tuple[dict[str, Any], ...] = ()
    kept_high: tuple[str, ...] = ()
    sensitivities: tuple[LayerSensitivity, ...] = ()
    fall_back: dict[str, Any] = field(default_factory=dict)
    candidates: tuple[dict[str, Any], ...] = ()
    int8_macs: dict[str, float] = field(default_factory=dict)
    macs: dict[str, dict[str, int]] = field(default_factory=dict)
    fp32_outputs: Outputs = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Literal["passed", "inconclusive", "failed", "not run"]:
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
    """Write the parts in the precision asked for, or in the best one that passes.

    Raises:
        GateError: the precision asked for fails the gate, and may not or can't be mended.
        CheckpointError: the network gives numbers that are not finite, or a head that never changes.
        ConfigurationError: `exclude` names no layer, or there is no INT8 to exclude it from.
        DataError: clips can't be read, or none calibrate.
    """
    options = shop.options
    if options.exclude and options.precision not in ("int8", "auto"):
        raise ConfigurationError(
            f"--exclude is for int8 and auto; with --precision {options.precision} nothing is INT8"
        )
    excluded = layers_named_by(options.exclude, all_layers(shop))
    # Beside the output, so that candidates take room on the disk that has to have it anyway.
    with TemporaryDirectory(prefix=f".{options.output.name}.", dir=options.output.parent) as staging:
        full = build(shop, Path(staging) / "fp32", "fp32")
        judge = Judge(shop, full.parts)
        full = full.judged(judge, "fp32")
        if options.precision == "auto":
            choice = _automatic(shop, judge, full, excluded, Path(staging))
        else:
            choice = _asked_for(shop, judge, full, excluded, Path(staging), options.precision)
        choice.notes[:0] = judge.notes
        choice.fp32_outputs = judge.full.outputs if judge.full is not None else {}
        for key, path in choice.parts.items():
            shutil.copyfile(path, shop.target(f"{key}.onnx"))
        choice.parts = {key: shop.target(f"{key}.onnx") for key in choice.parts}
    choice.notes = list(dict.fromkeys(choice.notes))
    choice.int8_macs, choice.macs = int8_shares(choice.parts)
    return choice


def _asked_for(
    shop: Workshop, judge: Judge, full: Candidate, excluded: tuple[str, ...], staging: Path, asked: PartPrecision
) -> Choice:
    if asked == "int8":
        made = quantised(shop, judge, excluded, staging)
        _refuse_failure(made.candidate)
        return _choice(made.candidate, _timed(shop, full, made.candidate, made), made)
    candidate = full if asked == "fp32" else build(shop, staging / asked, asked).judged(judge, asked)
    _refuse_failure(candidate)
    return _choice(candidate, _timed(shop, full, candidate), None)


def _automatic(shop: Workshop, judge: Judge, full: Candidate, excluded: tuple[str, ...], staging: Path) -> Choice:
    candidates, made = [full], None
    untried: dict[str, str] = {}
    try:
        candidates.append(build(shop, staging / "fp16", "fp16").judged(judge, "fp16"))
    except ConfigurationError as error:
        untried["fp16"] = str(error)
    if shop.slices is None:
        untried["int8"] = "it needs EMER clips to be calibrated on (--data)"
    else:
        try:
            made = quantised(shop, judge, excluded, staging)
        except (ConfigurationError, DataError) as error:
            untried["int8"] = str(error)
        else:
            candidates.append(made.candidate)
    timing = _timed(shop, full, *candidates[1:], made)
    selection = select(candidates, timing, shop.evidence, untried)
    choice = _choice(selection.chosen, timing, made)
    choice.candidates = selection.rows
    choice.notes.append(selection.told)
    return choice


def _timed(shop: Workshop, full: Candidate, *others: Candidate | Quantised | None) -> Timing:
    wanted: dict[str, Parts] = {"fp32": full.parts}
    for each in others:
        if isinstance(each, Candidate):
            wanted[each.precision] = each.parts
        elif each is not None and each.first is not each.candidate:
            wanted["int8, no layer put back"] = each.first.parts
    return time_steps(wanted, shop.progress)


def _choice(candidate: Candidate, timing: Timing, made: Quantised | None) -> Choice:
    choice = Choice(candidate.precision, candidate.parts, timing, dict(candidate.trials))
    choice.notes += timing.notes
    if made is not None:
        choice.sensitivities = made.sensitivities
        choice.fall_back = made.fall_back(timing)
        choice.notes += made.told(timing)
    if made is not None and candidate is made.candidate:
        choice.calibration, choice.ranges = made.calibrated.record, made.calibrated.layers
        choice.kept_high = candidate.keep
        choice.notes[:0] = made.calibrated.notes
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
