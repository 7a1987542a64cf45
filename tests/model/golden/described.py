"""Metadata of a network of this project, and seeded inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import stand_in
import torch
from numpy.typing import NDArray

from emer_edge.core.window import WindowSpec
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata


def described(model: Emert, **changes: Any) -> CheckpointMetadata:
    """Causal events and the default window by default."""
    given = {"events": "causal", "window": WindowSpec(), **changes}
    return CheckpointMetadata(variant="nine", heads=model.head_names, classes=model.classes, standardised=True, **given)


def smooth_crops(count: int, seed: int) -> NDArray[np.float32]:
    """Whole grey levels / 255, smooth as faces are: (count, 3, 112, 112)."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((count, 3, 8, 8), np.float32))
    fine = torch.nn.functional.interpolate(coarse, (112, 112), mode="bicubic").clamp(0, 1).numpy()
    return np.rint(fine * 255).astype(np.float32) / np.float32(255)


def eye_rows(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rows in the ranges of a Tobii export, extremes included: (count, 32, 39) and gaze (count, 32, 2)."""
    given = stand_in.inputs(batch=count, seed=seed, raw=True)
    return given["eye"], given["gaze"]
