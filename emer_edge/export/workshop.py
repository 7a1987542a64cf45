"""What the choices of an export are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from emer_edge.export.judging.evidence import Evidence, Outputs
from emer_edge.export.options import ExportOptions
from emer_edge.export.sources import Slices
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.spec.progress import Progress

__all__ = ["FullOutputs", "Workshop"]


@dataclass(frozen=True, eq=False)
class Workshop:
    """What a choice is made from.

    Attributes:
        encoder, fusion: FP32 parts.
        target: gives the file for a path inside the bundle.
        metadata: of the checkpoint.
        options: of the export.
        slices: clips, or None.
        evidence: selection windows, or None.
        classes: head -> class names in output order.
        threads: of the engines that run selection windows.
        progress: told of long work.
    """

    encoder: onnx.ModelProto
    fusion: onnx.ModelProto
    target: Callable[[str], Path]
    metadata: CheckpointMetadata
    options: ExportOptions
    slices: Slices | None
    evidence: Evidence | None
    classes: Mapping[str, tuple[str, ...]]
    threads: int
    progress: Progress


@dataclass(frozen=True, eq=False)
class FullOutputs:
    """What the FP32 parts make of the selection windows.

    Attributes:
        embeddings: (m, 128) float32, of the evidence's crops.
        outputs: head -> (n, C) float32, raw.
    """

    embeddings: NDArray[np.float32]
    outputs: Outputs
