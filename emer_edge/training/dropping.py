"""Training windows without columns that some trackers lack, so that a network has met their absence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from emer_edge.data.windows import ClipWindow
from emer_edge.signals.profiles import DROPPED_GROUPS, TrackerProfile
from emer_edge.spec.columns import GAZE_POINT

__all__ = ["drop_columns"]

_CHANCE: Final = 0.4  # of each group, in a window that loses any


def drop_columns(windows: Sequence[ClipWindow], share: float, rng: np.random.Generator) -> list[ClipWindow]:
    """Take groups of columns out of some windows, as a tracker that lacks them would.

    Args:
        windows: as drawn.
        share: of windows that lose columns, 0 to 1. Each group goes by chance, never both eyes; windows in which chance
            spares all groups stay whole.
        rng: source of the choice.
    """
    names = list(DROPPED_GROUPS)
    found = []
    for window in windows:
        # The same numbers are drawn for every window, so that what one loses does not depend on another.
        chosen, chances, eye = rng.random(), rng.random(len(names)), rng.integers(2)
        if chosen >= share:
            found.append(window)
            continue
        spared = ("left eye", "right eye")[eye]
        lacks = tuple(name for name, chance in zip(names, chances, strict=True) if chance < _CHANCE and name != spared)
        rows, still = TrackerProfile("training", "", 0.0, lacks).rows(window.eye, window.covered_eye)
        found.append(replace(window, eye=rows, gaze=rows[:, GAZE_POINT].copy(), covered_eye=still))
    return found
