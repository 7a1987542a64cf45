"""Reading the crops that calibrate, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.clips import Clip
from emer_edge.data.windows import clip_window, load_faces
from emer_edge.spec.window import FACE_SLOTS, EventsRule, WindowSpec

__all__ = ["BATCH", "crop_batches"]

BATCH: Final = 8
"""Crops in memory at once."""


def crop_batches(
    clips: Sequence[Clip], spec: WindowSpec, events: EventsRule, per_window: int = 4, seed: int = 0
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield `{"face": (B, 3, 112, 112)}` float32 batches of the faces that the clips' windows hold.

    Args:
        clips: one window each.
        spec: the window.
        events: how columns 33 to 39 are filled.
        per_window: faces drawn from the 8 of each window; neighbours in time are nearly alike.
        seed: of that draw.

    Raises:
        DataError: a clip can't be read.
    """
    rng = np.random.default_rng(seed)
    waiting: list[NDArray[np.float32]] = []
    held = 0
    for clip in clips:
        window = clip_window(clip, spec, events)
        slots = np.sort(rng.permutation(FACE_SLOTS)[:per_window])
        faces = load_faces(clip, np.unique(window.frames[slots]))
        waiting.append(faces)
        held += len(faces)
        while held >= BATCH:
            joined = np.concatenate(waiting)
            yield {"face": joined[:BATCH]}
            waiting, held = [joined[BATCH:]], held - BATCH
    if held:
        yield {"face": np.concatenate(waiting)}
