"""The precision of the bundle: the requested ones, or the fastest that passes the gate.

INT8 that fails the gate gets layers back into high precision, the most sensitive first, until it passes. An
inconclusive gate keeps a precision that was requested by name, with a note; `auto` keeps only what passed. Encoders and
fusions of all variants and precisions are judged together, too: a device mixes what passed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Literal

from emer_edge.bundle import Combination
from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.core.errors import ConfigurationError, DataError, GateError
from emer_edge.core.whole_file import scratch_folder
from emer_edge.export.choosing.candidates import Candidate, build, select, time_steps
from emer_edge.export.choosing.quantising import Quantised, all_layers, layers_named_by, quantised
from emer_edge.export.judging.trial import Judge, Trial, gate_verdict
from emer_edge.export.judging.workshop import Outputs, Workshop
from emer_edge.export.precision.macs import int8_shares
from emer_edge.export.precision.writing import Parts, precisions_of
from emer_edge.export.report.export_report import (
    CandidateRow,
    FallBack,
    LayerSensitivity,
    PartPrecision,
    TensorRange,
    Timing,
    Verdict,
)


@dataclass(frozen=True)
class Mix:
    """An encoder and a fusion: part -> key of its file, and their trial, None without selection windows."""

    parts: dict[str, str]
    trial: Trial | None


@dataclass
class Choice:
    """A choice of precision, and its reasons.

    Attributes:
        precision: of the parts written; of several the first.
        parts: their files; `cpu/face_encoder-fp32` where a further precision has another one.
        precisions: of each of them.
        mixes: label of the encoder and of the fusion (`cpu int8`) -> their files and their trial.
        timing: of FP32, of the choice, and of other candidates, side by side.
        trials: variant -> its trial on selection windows; empty without these.
        calibration, ranges: for int8, the record and one row per tensor.
        kept_high: layers that stay in floating point, by `--exclude` or for the gate.
        sensitivities: the most sensitive layer first; empty where they were not measured.
        fall_back: the cost of the gate; empty where no layer was put back.
        candidates: for `auto`, one row per precision.
        int8_macs, macs: share of INT8 operations, and operations, as `int8_shares` gives them.
        fp32_outputs: head -> (n, C) of FP32 on selection windows; empty without these.
        blind: FER head -> (n, C) of the cpu variant without eyes; empty without selection windows.
        notes: for the user.
    """

    precision: PartPrecision
    parts: Parts
    timing: Timing
    trials: dict[str, Trial] = field(default_factory=dict)
    precisions: dict[str, PartPrecision] = field(default_factory=dict)
    mixes: dict[tuple[str, str], Mix] = field(default_factory=dict)
    calibration: CalibrationRecord | None = None
    ranges: tuple[TensorRange, ...] = ()
    kept_high: tuple[str, ...] = ()
    sensitivities: tuple[LayerSensitivity, ...] = ()
    fall_back: FallBack = field(default_factory=FallBack)
    candidates: tuple[CandidateRow, ...] = ()
    int8_macs: dict[str, float] = field(default_factory=dict)
    macs: dict[str, dict[str, int]] = field(default_factory=dict)
    fp32_outputs: Outputs = field(default_factory=dict)
    blind: Outputs = field(default_factory=dict)
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


def may_run(choice: Choice) -> tuple[Combination, ...]:
    """What a device may choose among: see `Manifest.combinations`; the variants as they are come first."""
    found: dict[tuple[str, ...], Combination] = {}
    for (encoder, fusion), mix in sorted(choice.mixes.items(), key=lambda item: item[0][0] != item[0][1]):
        verdict = gate_verdict({} if mix.trial is None else {"": mix.trial})
        same = encoder == fusion or {choice.precisions[part] for part in mix.parts.values()} == {"fp32"}
        if verdict == "passed" or (same and verdict != "failed"):
            found.setdefault(tuple(mix.parts.values()), Combination(parts=mix.parts, verdict=verdict))
    return tuple(found.values())


def choose(shop: Workshop) -> Choice:
    """Write the parts in the requested precisions, or in the fastest one that passes.

    Raises:
        GateError: the requested precision fails the gate, and no layers may or can be put back.
        CheckpointError: the network gives numbers that are not finite, or a head that never changes.
        ConfigurationError: `exclude` names no layer, or there is no INT8 to exclude it from.
        DataError: clips can't be read, or none calibrate.
    """
    options = shop.options
    if options.exclude and not {"int8", "auto"} & {*options.precision.split(",")}:
        raise ConfigurationError(f"--exclude is for int8 and auto; in --precision {options.precision} nothing is INT8")
    excluded = layers_named_by(options.exclude, all_layers(shop))
    # Beside the output, so that candidates take room on the disk that has to have it anyway.
    with scratch_folder(beside=options.output) as folder:
        choosing = _Choosing(shop, folder, excluded)
        choice = choosing.requested(options.precisions) if options.precisions else choosing.automatic()
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

    def requested(self, precisions: Sequence[PartPrecision]) -> Choice:
        made = self.quantised() if "int8" in precisions else None
        candidates = []
        for precision in precisions:
            quantised = made.candidate if made is not None and precision == "int8" else None
            candidates.append(quantised or (self.full if precision == "fp32" else self.built(precision)))
            _refuse_failure(candidates[-1])
        timing, notes = self.timed(candidates, made)
        return self.choice(candidates, timing, notes, made)

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
        choice = self.choice([chosen], timing, notes, made)
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

    def choice(
        self, candidates: Sequence[Candidate], timing: Timing, notes: tuple[str, ...], made: Quantised | None
    ) -> Choice:
        choice = Choice(candidates[0].precision, {}, timing, trials=dict(candidates[0].trials))
        self.mix(choice, candidates)
        choice.fp32_outputs = self.judge.full.outputs if self.judge.full is not None else {}
        calibrated: tuple[str, ...] = ()
        if made is not None:
            choice.sensitivities, choice.fall_back = made.sensitivities, made.fall_back(timing)
            notes += tuple(made.notes(choice.fall_back))
            if made.candidate in candidates:
                choice.calibration, choice.ranges = made.calibrated.record, made.calibrated.layers
                choice.kept_high, calibrated = made.candidate.keep, made.calibrated.notes
        choice.notes = list(dict.fromkeys((*self.judge.notes, *calibrated, *notes)))
        return choice

    def mix(self, choice: Choice, candidates: Sequence[Candidate]) -> None:
        """Collect the files of all candidates, and judge every encoder with every fusion."""
        names: dict[tuple[str, str], tuple[str, Path]] = {}  # (`cpu int8`, `fusion`) -> its key in the bundle, its file
        for candidate in candidates:
            for key, precision in precisions_of(candidate.precision, self.shop.fusion).items():
                path, further = candidate.parts.get(key), choice.precisions.get(key, precision) != precision
                name = f"{key}-{precision}" if further else key
                if path is not None or not further:
                    choice.precisions[name] = precision
                if path is not None:
                    choice.parts.setdefault(name, path)
                    variant, _, part = key.partition("/")
                    names[f"{variant} {candidate.precision}", part] = name, path
        trials = {f"{variant} {each.precision}": trial for each in candidates for variant, trial in each.trials.items()}
        known: dict[tuple[str, str], Trial | None] = {}
        labels = list(dict.fromkeys(label for label, _ in names))
        for done, (one, other) in enumerate(product(labels, labels), start=1):
            (encoder, _), (fusion, path) = names[one, "face_encoder"], names[other, "fusion"]
            if one == other:
                known[encoder, fusion] = trials.get(one)
            elif (encoder, fusion) not in known:
                used = {"face_encoder": choice.precisions[encoder], "fusion": choice.precisions[fusion]}
                known[encoder, fusion] = self.judge.mixed(trials[one], path, used) if one in trials else None
            choice.mixes[one, other] = Mix({"face_encoder": encoder, "fusion": fusion}, known[encoder, fusion])
            self.shop.progress("judging parts together", done, len(labels) ** 2)


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
