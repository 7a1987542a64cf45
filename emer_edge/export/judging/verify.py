"""Holding exported parts to the network they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from emer_edge.errors import GateError
from emer_edge.export.judging.evidence import Evidence
from emer_edge.export.judging.seeded import seeded_windows
from emer_edge.metrics.regression import largest_error
from emer_edge.model.emert import Emert
from emer_edge.runtime.engines import CPU_ENGINE, open_engine

__all__ = ["FP32_TOLERANCE", "Reference", "noise_db", "reference_of", "verify"]

FP32_TOLERANCE: Final = 1e-4
"""Largest difference of an FP32 part, as a share of the output's largest value."""

_WINDOWS: Final = 4
_THREADS: Final = 1


@dataclass(frozen=True, eq=False)
class Reference:
    """Inputs and what the torch network makes of them.

    Attributes:
        told: what the inputs are, for people.
        face: (B, 3, 112, 112).
        embedding: (B, 128).
        eye: (N, 32, 39).
        gaze: (N, 32, 2).
        heads: head -> (N, C).
    """

    told: str
    face: NDArray[np.float32]
    embedding: NDArray[np.float32]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    heads: dict[str, NDArray[np.float32]]


def reference_of(model: Emert, evidence: Evidence | None = None, seed: int = 0) -> Reference:
    """Run the torch network on a selection window of each of a few clips, or on seeded inputs in EMER's ranges."""
    windows = np.zeros(0, np.int64) if evidence is None else evidence.first_of_clips(_WINDOWS)
    if evidence is not None and len(windows) == _WINDOWS:
        face, eye, gaze = evidence.faces(windows), evidence.eye[windows], evidence.gaze[windows]
        told = f"{_WINDOWS} selection windows"
    else:
        face, eye, gaze = seeded_windows(_WINDOWS, seed)
        told = "seeded inputs in EMER's ranges"
    flat = face.reshape(-1, *face.shape[2:])
    with torch.inference_mode():
        embedding = model.encode(torch.from_numpy(flat))
        fused = model.fuse(
            embedding.reshape(_WINDOWS, -1, embedding.shape[1]), torch.from_numpy(eye), torch.from_numpy(gaze)
        )
    return Reference(told, flat, embedding.numpy(), eye, gaze, {name: each.numpy() for name, each in fused.items()})


def verify(parts: dict[str, Path], precisions: Mapping[str, str], reference: Reference) -> dict[str, float]:
    """Compare each part's outputs with the torch network's.

    Args:
        parts: `cpu/face_encoder` and so on -> ONNX file; detectors are left out.
        precisions: the same keys -> `fp32`, `fp16` or `int8`.
        reference: inputs and expected outputs.

    Returns:
        The keys -> largest difference as a share of the output's largest value.

    Raises:
        GateError: an FP32 part differs by more than 1e-4, or any part gives numbers that are not finite.
    """
    errors = {}
    for key, path in parts.items():
        engine = open_engine(CPU_ENGINE, path, _THREADS)
        try:
            expected: dict[str, NDArray[Any]]
            if key.endswith("face_encoder"):
                expected = {"embedding": reference.embedding}
                got = engine.run({"face": reference.face})
            else:
                embeddings = reference.embedding.reshape(len(reference.eye), -1, reference.embedding.shape[1])
                expected = dict(reference.heads)
                got = engine.run({"embeddings": embeddings, "eye": reference.eye, "gaze": reference.gaze})
        finally:
            engine.close()
        errors[key] = max(largest_error(got[name], expected[name]) for name in expected)
        if not np.isfinite(errors[key]):
            raise GateError(f"the exported {key} gives numbers that are not finite; try another --precision")
        if precisions[key] == "fp32" and errors[key] > FP32_TOLERANCE:
            raise GateError(
                f"the exported {key} differs from the checkpoint by {errors[key]:.2g} of its largest output"
            )
    return errors


def noise_db(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Signal to quantisation noise of (n, width) arrays, dB.

    The signal is what differs between the n items: a constant that all share tells nothing about any of them.
    """
    signal = float(((expected - expected.mean(axis=0)) ** 2).sum())
    noise = float(((got - expected) ** 2).sum())
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-30)))
