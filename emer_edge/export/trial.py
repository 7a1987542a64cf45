"""Trying a precision: the parts written, run on selection windows, and judged."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from emer_edge.bundle.manifest import Variant
from emer_edge.export.evidence import Evidence, Outputs, embeddings_of, outputs_of
from emer_edge.export.gate import Change, agreement, compare
from emer_edge.export.parts.fusion import high_precision_nodes
from emer_edge.export.precision.fp16 import to_fp16
from emer_edge.export.quantiser import EncoderQuantiser
from emer_edge.export.seeded import seeded_windows
from emer_edge.export.verify import noise_db
from emer_edge.runtime.engines import open_engine

__all__ = [
    "VARIANTS",
    "PartPrecision",
    "Parts",
    "Trial",
    "precisions_of",
    "run_encoder",
    "run_fusion",
    "step_ms",
    "trial_of",
    "write_parts",
]

PartPrecision = Literal["fp32", "fp16", "int8"]
Parts = dict[str, Path]
"""`cpu/face_encoder` and so on -> ONNX file."""

VARIANTS: Final[tuple[Variant, Variant]] = ("cpu", "tensorrt")
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


def precisions_of(asked: PartPrecision) -> dict[str, PartPrecision]:
    """What each part of each variant computes in.

    FP16 is no faster than FP32 on a CPU, so there it means FP32. With INT8 the encoder is quantised and fusion stays in
    floating point: its LSTMs read raw columns, which 8 bits can't hold.
    """
    quick: PartPrecision = "fp16" if asked != "fp32" else "fp32"
    return {
        "cpu/face_encoder": "int8" if asked == "int8" else "fp32",
        "cpu/fusion": "fp32",
        "cpu/face_detector": "fp32",
        "tensorrt/face_encoder": asked,
        "tensorrt/fusion": quick,
        "tensorrt/face_detector": "fp32",
    }


def write_parts(
    target: Callable[[str], Path],
    encoder: onnx.ModelProto,
    fusion: onnx.ModelProto,
    asked: PartPrecision,
    quantiser: EncoderQuantiser | None,
    keep: Collection[str] = (),
) -> Parts:
    """Write encoder and fusion of both variants.

    Args:
        target: gives the file for a path inside the bundle.
        encoder: the FP32 encoder.
        fusion: the FP32 fusion.
        asked: precision.
        quantiser: needed for int8.
        keep: encoder layers that stay in floating point.
    """
    precisions = precisions_of(asked)
    parts: Parts = {}
    for variant in VARIANTS:
        for name, full in (("face_encoder", encoder), ("fusion", fusion)):
            key = f"{variant}/{name}"
            model = full
            if precisions[key] == "int8" and quantiser is not None:
                model = quantiser.build(variant, keep)
            elif precisions[key] == "fp16":
                model = to_fp16(full, {"projection"} if name == "face_encoder" else high_precision_nodes(full))
            parts[key] = target(f"{key}.onnx")
            onnx.checker.check_model(model, full_check=True)
            parts[key].write_bytes(model.SerializeToString())
    return parts


def trial_of(
    before: NDArray[np.float32],
    reference: Outputs,
    after: NDArray[np.float32],
    outputs: Outputs,
    evidence: Evidence,
    classes: Mapping[str, tuple[str, ...]],
) -> Trial:
    """Compare a variant's embeddings `after` (n, 8, 128) and outputs with those of FP32, `before` and `reference`."""
    flat = (-1, before.shape[-1])
    return Trial(
        outputs,
        compare(reference, outputs, evidence.labels, evidence.participants, classes),
        agreement(reference, outputs),
        None if after is before else noise_db(after.reshape(flat), before.reshape(flat)),
    )


def run_encoder(path: Path, evidence: Evidence, threads: int) -> NDArray[np.float32]:
    """Embeddings (n, 8, 128) of the windows by an encoder part."""
    engine = open_engine("onnxruntime", path, threads)
    try:
        return embeddings_of(engine, evidence.crops)
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
