"""The trial of a precision: its parts run on selection windows and compared with FP32.

Networks that can't be judged are refused: outputs that are not finite, and heads whose output never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from emer_edge.bundle import CPU, VARIANTS, Variant
from emer_edge.core.errors import CheckpointError
from emer_edge.core.heads import HEADS
from emer_edge.export.judging.fitting import FEWEST_CLIPS
from emer_edge.export.judging.gate import Change, agreement, compare, verdict_of
from emer_edge.export.judging.workshop import Evidence, FullOutputs, Outputs, Truth, Workshop, embeddings_of, outputs_of
from emer_edge.export.parts.fusion import high_precision_nodes
from emer_edge.export.parts.unrolled_lstms import unroll_lstms
from emer_edge.export.precision.fp16 import overflows
from emer_edge.export.precision.writing import Parts, precisions_of
from emer_edge.export.report.export_report import PartPrecision, TrialFigures, Verdict
from emer_edge.export.verification import noise_db
from emer_edge.metrics.probabilities import softmax

_STILL: Final = 1e-6
"""Outputs that move by less than this share of their size are constant."""
_SURE: Final = 1.0 - 1e-6
_OVERFLOW_WINDOWS: Final = 48
"""Windows, one crop and one per clip, on which FP16's numbers are checked."""


def check_weights(part: onnx.ModelProto) -> None:
    """Raise CheckpointError when a floating-point constant of an ONNX part holds NaN or infinity, naming it."""
    values = {constant.name: numpy_helper.to_array(constant) for constant in part.graph.initializer}
    floats = {name: value for name, value in values.items() if np.issubdtype(value.dtype, np.floating)}
    if broken := [name for name, value in floats.items() if not np.isfinite(value).all()]:
        raise CheckpointError(
            f"the {part.graph.name} part holds NaN or infinite numbers in {', '.join(broken[:5])}; a batch norm with a "
            "broken variance does that too; train the checkpoint again"
        )


def check_outputs(outputs: Mapping[str, NDArray[np.float32]]) -> tuple[str, ...]:
    """Check the FP32 outputs of all heads on selection windows: head -> (n, C), raw.

    Returns:
        One sentence per saturated class head, which is sure of the same class on every window.

    Raises:
        CheckpointError: an output is not finite, or a head gives the same output on all of two or more windows.
    """
    notes = []
    for name, values in outputs.items():
        if count := _not_finite(values):
            raise CheckpointError(
                f"head {name} gives NaN or infinity on {count} of {len(values)} selection windows in fp32; check the "
                "weights and the eye columns of these clips, or train again"
            )
        if _constant(values):
            raise CheckpointError(
                f"head {name} gives the same output on all {len(values)} selection windows in fp32: it ignores its "
                "inputs, so no precision can be judged; train the checkpoint again"
            )
        if _saturated(name, values) and len(np.unique(values.argmax(axis=1))) == 1:
            notes.append(
                f"head {name} is saturated: it is sure of the same class on all {len(values)} selection windows, so "
                "its share of the accuracy gate says little"
            )
    return tuple(notes)


def new_faults(before: Mapping[str, NDArray[np.float32]], after: Mapping[str, NDArray[np.float32]]) -> tuple[str, ...]:
    """What a precision broke: one sentence per head whose outputs are sound before, in FP32, and not after it.

    Both are head -> (n, C), raw.
    """
    faults = []
    for name, values in after.items():
        if count := _not_finite(values):
            faults.append(f"{name} gives NaN or infinity on {count} of {len(values)} windows")
        elif _constant(values) and not _constant(before[name]):
            faults.append(f"{name} gives the same output on all {len(values)} windows")
        elif _saturated(name, values) and not _saturated(name, before[name]):
            faults.append(f"{name} is saturated: every probability is 0 or 1 on all {len(values)} windows")
    return tuple(faults)


def thin_labels(heads: Iterable[str], truth: Truth) -> tuple[str, ...]:
    """What the labels of the selection windows leave undefined, one sentence per head."""
    notes = []
    for name in heads:
        labelled, spec = truth.known(name), HEADS[name]
        count = len(np.unique(truth.clips[labelled]))
        if not count:
            notes.append(f"no selection clip is labelled for {name}, so the gate does not cover that head")
        elif spec.kind == "class" and len(np.unique(truth.labels[name][labelled])) == 1:
            only = spec.classes[int(truth.labels[name][labelled][0])]
            notes.append(
                f"every selection clip that is labelled for {name} shows {only}: WAR and UAR then cover this class "
                "only, and its temperature stays 1"
            )
        elif spec.kind == "class" and count < FEWEST_CLIPS:
            notes.append(f"only {count} selection clips are labelled for {name}: its temperature stays 1")
    return tuple(notes)


def _not_finite(outputs: NDArray[np.float32]) -> int:
    return int((~np.isfinite(outputs).all(axis=1)).sum())


def _constant(outputs: NDArray[np.float32]) -> bool:
    moved = float((outputs.max(axis=0) - outputs.min(axis=0)).max())
    return len(outputs) > 1 and moved <= _STILL * max(float(np.abs(outputs).max()), _STILL)


def _saturated(head: str, outputs: NDArray[np.float32]) -> bool:
    return HEADS[head].kind == "class" and bool(softmax(outputs).max(axis=1).min() >= _SURE)


@dataclass(frozen=True, eq=False)
class Trial:
    """How one variant did on selection windows.

    Attributes:
        outputs: head -> (n, C).
        changes: against FP32; empty where there are faults.
        agreement: class head -> share of windows whose best class is the same.
        embedding_db: signal to noise of the embeddings, dB; None where they are those of FP32.
        faults: what the precision broke altogether, such as a head that gives NaN.
        unchanged: the variant computes in FP32, so nothing can have changed.
        embeddings: (m, 128) of all crops.
    """

    outputs: Outputs
    changes: tuple[Change, ...] = ()
    agreement: Mapping[str, float] = field(default_factory=dict)
    embedding_db: float | None = None
    faults: tuple[str, ...] = ()
    unchanged: bool = False
    embeddings: NDArray[np.float32] | None = None

    @property
    def verdict(self) -> Verdict:
        """Of the gate: failed with a fault, passed where nothing changed, else the worst of the changes."""
        if self.faults:
            return "failed"
        return "passed" if self.unchanged else verdict_of(self.changes)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What keeps the trial from passing."""
        if self.unchanged:
            return ()
        return (*self.faults, *(str(change) for change in self.changes if change.verdict == self.verdict != "passed"))

    @property
    def figures(self) -> TrialFigures:
        """For the report."""
        return TrialFigures(
            verdict=self.verdict,
            changes=tuple(change.row for change in self.changes),
            agreement=dict(self.agreement),
            embedding_db=None if self.embedding_db is None else round(self.embedding_db, 2),
            faults=self.faults,
        )


def gate_verdict(trials: Mapping[str, Trial]) -> Verdict | Literal["not run"]:
    """The worst verdict among the trials of all variants; `not run` where there are none."""
    verdicts = {trial.verdict for trial in trials.values()}
    if not verdicts:
        return "not run"
    return next((verdict for verdict in ("failed", "inconclusive") if verdict in verdicts), "passed")


class Judge:
    """Compares variants with FP32 on the selection windows.

    Args:
        shop: the export.
        full: files of the FP32 parts.

    Attributes:
        full: FP32 results; None without selection windows.
        notes: what was odd about them, one sentence each.

    Raises:
        CheckpointError: the FP32 network gives numbers that are not finite, or a head that never changes.
        DataError: a selection clip can't be read.
    """

    def __init__(self, shop: Workshop, full: Parts) -> None:
        self._shop = shop
        self.full: FullOutputs | None = None
        self.notes: tuple[str, ...] = ()
        if shop.evidence is not None:
            self.full = self._run(full, CPU, shop.evidence, "running fp32 on selection windows")
            outputs = self.full.outputs
            self.notes = (*check_outputs(outputs), *thin_labels(outputs, shop.evidence.truth))

    def __call__(
        self, parts: Parts, precision: PartPrecision, label: str, until_failed: bool = False
    ) -> dict[str, Trial]:
        """Try both variants of some parts; nothing without selection windows.

        Args:
            parts: their files.
            precision: of the parts.
            label: for progress.
            until_failed: skip the tensorrt variant where the cpu variant fails.
        """
        trials: dict[str, Trial] = {}
        full, evidence = self.full, self._shop.evidence
        if full is None or evidence is None:
            return trials
        precisions = precisions_of(precision, self._shop.fusion)
        for variant in VARIANTS:
            used = {name: precisions[f"{variant}/{name}"] for name in ("face_encoder", "fusion")}
            given = full
            if set(used.values()) != {"fp32"}:
                given = self._run(parts, variant, evidence, f"running {label} on selection windows, {variant}")
            trials[variant] = self._judged(full, given, evidence, used)
            if until_failed and trials[variant].verdict == "failed":
                break
        return trials

    def mixed(self, encoded: Trial, fusion: Path, used: Mapping[str, PartPrecision]) -> Trial | None:
        """Try a fusion part on the embeddings of another trial; None without selection windows.

        Args:
            encoded: a trial of the encoder.
            fusion: file of the fusion part.
            used: `face_encoder` and `fusion` -> precision.
        """
        full, evidence = self.full, self._shop.evidence
        if full is None or evidence is None or encoded.embeddings is None:
            return None
        given = full
        if set(used.values()) != {"fp32"}:
            outputs = outputs_of(fusion, encoded.embeddings, evidence, self._shop.threads)
            given = FullOutputs(encoded.embeddings, outputs)
        return self._judged(full, given, evidence, used)

    def _judged(
        self, full: FullOutputs, given: FullOutputs, evidence: Evidence, used: Mapping[str, PartPrecision]
    ) -> Trial:
        if given is full:
            trial = Trial(full.outputs, unchanged=True, embeddings=full.embeddings)
        else:
            decibels = noise_db(given.embeddings, full.embeddings) if np.isfinite(given.embeddings).all() else None
            faults = (*new_faults(full.outputs, given.outputs), *self._overflows(full, evidence, used))
            trial = Trial(given.outputs, embedding_db=decibels, faults=faults, embeddings=given.embeddings)
        if not trial.faults:
            changes = compare(full.outputs, trial.outputs, evidence.truth, self._shop.options.seed)
            trial = replace(trial, changes=changes, agreement=agreement(full.outputs, trial.outputs))
        return trial

    def _run(self, parts: Parts, variant: Variant, evidence: Evidence, label: str) -> FullOutputs:
        shop = self._shop
        embeddings = embeddings_of(
            parts[f"{variant}/face_encoder"], evidence, shop.threads, progress=shop.progress, label=label
        )
        return FullOutputs(embeddings, outputs_of(parts[f"{variant}/fusion"], embeddings, evidence, shop.threads))

    def _overflows(self, full: FullOutputs, evidence: Evidence, used: Mapping[str, PartPrecision]) -> tuple[str, ...]:
        """What FP16 can't hold in the parts that a variant has in FP16."""
        windows = evidence.first_of_clips(_OVERFLOW_WINDOWS)
        beyond: tuple[str, ...] = ()
        if used["face_encoder"] == "fp16":
            beyond += overflows(self._shop.encoder, {"projection"}, {"face": evidence.faces(windows)[:, -1]})
        if used["fusion"] == "fp16":
            embeddings = full.embeddings[evidence.frames[windows]]
            given = {"embeddings": embeddings, "eye": evidence.eye[windows], "gaze": evidence.gaze[windows]}
            fusion = unroll_lstms(self._shop.fusion)
            beyond += overflows(fusion, high_precision_nodes(fusion), given)
        return beyond
