"""How columns 33 to 39 as a live stream can know them differ from those that a recording's own filter wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emer_edge.data.clips import Clip
from emer_edge.data.windows import PreparedClip
from emer_edge.spec.columns import COLUMN_KEYS, EVENTS, MOVEMENT_TYPE
from emer_edge.spec.window import EventsRule, WindowSpec

__all__ = ["EventDifference", "compare_events"]


@dataclass(frozen=True)
class EventDifference:
    """One column, over all slots of all windows.

    Attributes:
        column: its key.
        same: share of slots with the same value, to half of the last digit that people read: 0.5 px or ms, 0.005 MCS.
        mean_difference: mean absolute difference.
        mean_published: mean absolute value that the sheets hold, to compare with.
        slots: how many.
    """

    column: str
    same: float
    mean_difference: float
    mean_published: float
    slots: int


def compare_events(clips: Sequence[Clip], spec: WindowSpec) -> tuple[EventDifference, ...]:
    """Compare both rules over the windows of clips, column by column; empty where no sheet holds eye movements.

    Raises:
        DataError: a clip can't be read.
    """
    if not clips:
        return ()
    rules: tuple[EventsRule, ...] = ("causal", "published")
    causal, published = (
        np.concatenate([PreparedClip(clip, spec, rule).window().eye[:, EVENTS] for clip in clips]).astype(np.float64)
        for rule in rules
    )
    if not published[:, 0].any():
        return ()
    found = []
    for at, column in enumerate(range(EVENTS.start, EVENTS.stop)):
        apart = np.abs(causal[:, at] - published[:, at])
        near = 0.0 if column == MOVEMENT_TYPE else 0.005 if "MCS" in COLUMN_KEYS[column] else 0.5
        found.append(
            EventDifference(
                column=COLUMN_KEYS[column],
                same=float(np.mean(apart <= near)),
                mean_difference=float(apart.mean()),
                mean_published=float(np.abs(published[:, at]).mean()),
                slots=len(apart),
            )
        )
    return tuple(found)
