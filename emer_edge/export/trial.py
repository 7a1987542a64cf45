"""Trying a precision: the parts written, run on selection windows, and judged."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.export.evidence import Evidence, Outputs, embeddings_of, outputs_of
from emer_edge.export.gate import Change, agreement, compare
from emer_edge.export.seeded import seeded_windows
from emer_edge.export.variants import Parts
from emer_edge.export.verify import noise_db
from emer_edge.runtime.engines import open_engine

__all__ = [
    "Trial",
    "run_encoder",
    "run_fusion",
    "step_ms",
    "trial_of",
]

_STEPS: Final = 30


@dataclass(frozen=True, eq=False)
class Trial:
    """How one variant did on selection windows.

    Attributes:
        outputs: head -> (n, C).
        changes: against FP32.
        agreement: class head -> share of windows whose best class is the same.
        embedding_db: signal to noise of the embeddings, dB; None where they are those of FP32.
    """

    outputs: Outputs
    changes: tuple[Change, ...]
    agreement: Mapping[str, float]
    embedding_db: float | None


def trial_of(
    before: NDArray[np.float32],
    reference: Outputs,
    after: NDArray[np.float32],
    outputs: Outputs,
    evidence: Evidence,
    classes: Mapping[str, tuple[str, ...]],
) -> Trial:
    """Compare a variant's embeddings `after` (m, 128) and outputs with those of FP32, `before` and `reference`."""
    return Trial(
        outputs,
        compare(reference, outputs, evidence.labels, evidence.participants, classes, clips=evidence.clips),
        agreement(reference, outputs),
        None if after is before else noise_db(after, before),
    )


def run_encoder(path: Path, evidence: Evidence, threads: int) -> NDArray[np.float32]:
    """Embeddings (m, 128) of the evidence's crops by an encoder part."""
    engine = open_engine("onnxruntime", path, threads)
    try:
        return embeddings_of(engine, evidence)
    finally:
        engine.close()


def run_fusion(path: Path, embeddings: NDArray[np.float32], evidence: Evidence, threads: int) -> Outputs:
    """Outputs of the windows by a fusion part."""
    engine = open_engine("onnxruntime", path, threads)
    try:
        return outputs_of(engine, embeddings, evidence)
    finally:
        engine.close()


def step_ms(parts: Parts) -> dict[str, float]:
    """Median milliseconds of one crop's encoding and of one fusion on this CPU, one thread, cpu variant."""
    face, eye, gaze = seeded_windows(1)
    encoder = open_engine("onnxruntime", parts["cpu/face_encoder"], 1)
    fusion = open_engine("onnxruntime", parts["cpu/fusion"], 1)
    try:
        embedding = encoder.run({"face": face[0]})["embedding"][None]
        given = {"embeddings": embedding, "eye": eye, "gaze": gaze}
        found = {
            "face_encoder": _median_ms(lambda: encoder.run({"face": face[0, :1]})),
            "fusion": _median_ms(lambda: fusion.run(given)),
        }
    finally:
        encoder.close()
        fusion.close()
    return {**found, "step": round(sum(found.values()), 3)}


def _median_ms(call: Callable[[], object]) -> float:
    call()
    taken_ns = []
    for _ in range(_STEPS):
        began_ns = time.perf_counter_ns()
        call()
        taken_ns.append(time.perf_counter_ns() - began_ns)
    return round(statistics.median(taken_ns) / 1e6, 3)
