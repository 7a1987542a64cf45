"""The constants that bring eye columns and gaze points to one scale, learnt from training data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from emer_edge.data.windows import ClipWindow
from emer_edge.model.emert import Emert
from emer_edge.spec.columns import EVENTS, VALIDITY

__all__ = ["fit_standardisation"]

_SMALLEST: Final = 1e-6


def fit_standardisation(model: Emert, windows: Sequence[ClipWindow]) -> None:
    """Set a network's column constants to the mean and standard deviation of drawn training windows.

    A missing cell is 0 and would pull both, so measured columns count only cells that are not 0; validity and the
    columns of eye movements, where 0 means something, count all. A column that never varies keeps scale 1.
    """
    eye = np.concatenate([each.eye for each in windows]).astype(np.float64)
    gaze = np.concatenate([each.gaze for each in windows]).astype(np.float64)
    measured = np.ones(eye.shape[1], np.bool_)
    measured[VALIDITY] = False
    measured[EVENTS] = False
    for stream, values, counts in (("eye", eye, measured), ("gaze", gaze, np.ones(2, np.bool_))):
        mean, scale = _moments(values, np.where(counts, values != 0, True))
        getattr(model, f"{stream}_mean").copy_(torch.from_numpy(mean))
        getattr(model, f"{stream}_scale").copy_(torch.from_numpy(scale))


def _moments(
    values: NDArray[np.float64], present: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count = np.maximum(present.sum(axis=0), 1)
    mean = (values * present).sum(axis=0) / count
    deviation = np.sqrt((((values - mean) * present) ** 2).sum(axis=0) / count)
    return mean, np.where(deviation > _SMALLEST, deviation, 1.0)
