"""Trying a precision: its parts run on selection windows and held against FP32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import CPU, VARIANTS
from emer_edge.export.judging.evidence import Evidence, Outputs, embeddings_of, outputs_of
from emer_edge.export.judging.gate import Change, Verdict, agreement, compare, verdict_of
from emer_edge.export.judging.health import check_outputs, new_faults, thin_labels
from emer_edge.export.judging.verify import noise_db
from emer_edge.export.parts.fusion import high_precision_nodes
from emer_edge.export.precision.overflow import overflows
from emer_edge.export.precision.variants import PartPrecision, Parts, precisions_of
from emer_edge.export.workshop import FullOutputs, Workshop
from emer_edge.runtime.engines import CPU_ENGINE, open_engine
from emer_edge.spec.progress import Progress, silent

__all__ = ["Judge", "Trial", "run_encoder", "run_fusion"]

_OVERFLOW_WINDOWS: Final = 48
"""Windows, a clip and a crop each, on which FP16's numbers are looked at."""


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
    """

    outputs: Outputs
    changes: tuple[Change, ...]
    agreement: Mapping[str, float]
    embedding_db: float | None
    faults: tuple[str, ...] = ()
    unchanged: bool = False

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
        return (*self.faults, *(str(each) for each in self.changes if each.verdict == self.verdict != "passed"))

    def to_builtins(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON; a limit that is unknown is null."""
        changes = []
        for each in self.changes:
            told = {**asdict(each), "verdict": each.verdict}
            changes.append({name: None if _unknown(value) else value for name, value in told.items()})
        return {
            "verdict": self.verdict,
            "changes": changes,
            "agreement": dict(self.agreement),
            "embedding_db": None if self.embedding_db is None else round(self.embedding_db, 2),
            "faults": list(self.faults),
        }


class Judge:
    """Holds variants against FP32 on the selection windows.

    Args:
        shop: the export.
        full: files of the FP32 parts.

    Attributes:
        full: FP32 results; None without selection windows.
        notes: what was odd about them, a sentence each.

    Raises:
        CheckpointError: the FP32 network gives numbers that are not finite, or a head that never changes.
        DataError: a selection clip can't be read.
    """

    def __init__(self, shop: Workshop, full: Parts) -> None:
        self._shop = shop
        self.full: FullOutputs | None = None
        self.notes: tuple[str, ...] = ()
        if shop.evidence is not None:
            label = "running fp32 on selection windows"
            embeddings = run_encoder(full[f"{CPU}/face_encoder"], shop.evidence, shop.threads, shop.progress, label)
            outputs = run_fusion(full[f"{CPU}/fusion"], embeddings, shop.evidence, shop.threads)
            labels = shop.evidence.labels
            self.notes = (*check_outputs(outputs), *thin_labels(outputs, labels, shop.evidence.clips))
            self.full = FullOutputs(embeddings, outputs)

    def __call__(self, parts: Parts, asked: PartPrecision, label: str, until_failed: bool = False) -> dict[str, Trial]:
        """Try both variants of some parts; nothing without selection windows.

        Args:
            parts: their files.
            asked: their precision.
            label: what progress is told.
            until_failed: leave the tensorrt variant out where the cpu variant fails.
        """
        precisions = precisions_of(asked, self._shop.fusion)
        trials: dict[str, Trial] = {}
        full, evidence = self.full, self._shop.evidence
        if full is None or evidence is None:
            return trials
        for variant in VARIANTS:
            used = {precisions[f"{variant}/{name}"] for name in ("face_encoder", "fusion")}
            if used == {"fp32"}:
                changes = self._compare(full.outputs, full, evidence)
                agreed = agreement(full.outputs, full.outputs)
                trials[variant] = Trial(full.outputs, changes, agreed, None, unchanged=True)
            else:
                told = f"running {label} on selection windows, {variant}"
                encoder, fusion = parts[f"{variant}/face_encoder"], parts[f"{variant}/fusion"]
                embeddings = run_encoder(encoder, evidence, self._shop.threads, self._shop.progress, told)
                outputs = run_fusion(fusion, embeddings, evidence, self._shop.threads)
                beyond = self._overflows(full, evidence, variant, precisions) if "fp16" in used else ()
                trials[variant] = self._judged(embeddings, outputs, full, evidence, beyond)
            if until_failed and trials[variant].verdict == "failed":
                break
        return trials

    def _overflows(
        self, full: FullOutputs, evidence: Evidence, variant: str, precisions: Mapping[str, PartPrecision]
    ) -> tuple[str, ...]:
        """What FP16 can't hold in the parts that a variant has in FP16."""
        windows = evidence.first_of_clips(_OVERFLOW_WINDOWS)
        found: tuple[str, ...] = ()
        if precisions[f"{variant}/face_encoder"] == "fp16":
            faces = evidence.faces(windows)[:, -1]
            found += overflows(self._shop.encoder, {"projection"}, {"face": faces})
        if precisions[f"{variant}/fusion"] == "fp16":
            embeddings = full.embeddings[evidence.frames[windows]]
            given = {"embeddings": embeddings, "eye": evidence.eye[windows], "gaze": evidence.gaze[windows]}
            found += overflows(self._shop.fusion, high_precision_nodes(self._shop.fusion), given)
        return found

    def _judged(
        self,
        embeddings: NDArray[np.float32],
        outputs: Outputs,
        full: FullOutputs,
        evidence: Evidence,
        beyond: tuple[str, ...],
    ) -> Trial:
        decibels = noise_db(embeddings, full.embeddings) if np.isfinite(embeddings).all() else None
        faults = (*new_faults(full.outputs, outputs), *beyond)
        if faults:
            return Trial(outputs, (), {}, decibels, faults)
        changes = self._compare(outputs, full, evidence)
        return Trial(outputs, changes, agreement(full.outputs, outputs), decibels)

    def _compare(self, outputs: Outputs, full: FullOutputs, evidence: Evidence) -> tuple[Change, ...]:
        shop = self._shop
        return compare(
            full.outputs,
            outputs,
            evidence.labels,
            evidence.participants,
            shop.classes,
            shop.options.seed,
            evidence.clips,
        )


def run_encoder(
    path: Path, evidence: Evidence, threads: int, progress: Progress = silent, label: str = "encoding selection crops"
) -> NDArray[np.float32]:
    """Embeddings (m, 128) of the evidence's crops by an encoder part."""
    engine = open_engine(CPU_ENGINE, path, threads)
    try:
        return embeddings_of(engine, evidence, progress, label)
    finally:
        engine.close()


def run_fusion(path: Path, embeddings: NDArray[np.float32], evidence: Evidence, threads: int) -> Outputs:
    """Outputs of the windows by a fusion part."""
    engine = open_engine(CPU_ENGINE, path, threads)
    try:
        return outputs_of(engine, embeddings, evidence)
    finally:
        engine.close()


def _unknown(value: object) -> bool:
    return isinstance(value, float) and not isfinite(value)
