"""The crops that calibrate: chosen once, read a few at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.clips import Clip
from emer_edge.data.windows import clip_window, load_faces
from emer_edge.errors import DataError
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.window import FACE_SLOTS, EventsRule, WindowSpec

__all__ = ["BATCH", "FACES_PER_WINDOW", "CropPlan", "plan_crops"]

BATCH: Final = 8
"""Crops in memory at once."""
FACES_PER_WINDOW: Final = 2
"""Faces drawn from the 8 of each window: neighbours in time are nearly alike."""

Faces = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class CropPlan:
    """Which frames of which clips calibrate, in batches that can be read in any order.

    Attributes:
        picks: a clip and the indices of its frames.
        per_batch: clips a batch.
        rule: how the frames were chosen, part of `digest`.
    """

    picks: tuple[tuple[Clip, tuple[int, ...]], ...]
    per_batch: int
    rule: str

    def __len__(self) -> int:
        """The number of batches."""
        return -(-len(self.picks) // self.per_batch)

    def batch(self, number: int) -> Faces:
        """Read one batch: `{"face": (B, 3, 112, 112)}` float32, B up to `BATCH`; DataError when a frame can't be."""
        chosen = self.picks[number * self.per_batch : (number + 1) * self.per_batch]
        return {"face": np.concatenate([load_faces(clip, frames) for clip, frames in chosen])}

    def batches(self, first: int = 0) -> Iterator[Faces]:
        """Read the batches from `first` on, one at a time."""
        for number in range(first, len(self)):
            yield self.batch(number)

    def probes(self, count: int) -> list[NDArray[np.float32]]:
        """Read `count` batches spread over all of them (all if there are no more)."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int))
        return [self.batch(int(number))["face"] for number in chosen]

    def digest(self) -> str:
        """SHA-256 over the rule and the bytes of every frame in order: it changes when any crop does.

        Raises:
            DataError: a frame can't be read.
        """
        found = hashlib.sha256(self.rule.encode())
        for clip, frames in self.picks:
            paths = clip.frame_paths
            for frame in frames:
                try:
                    content = paths[frame].read_bytes()
                except OSError as error:
                    raise DataError(f"can't open the frame {paths[frame]}: {error.strerror}") from None
                found.update(hashlib.sha256(content).digest())
        return found.hexdigest()


def plan_crops(
    clips: Sequence[Clip],
    spec: WindowSpec,
    events: EventsRule,
    per_window: int = FACES_PER_WINDOW,
    seed: int = 0,
    progress: Progress = silent,
) -> CropPlan:
    """Choose the crops.

    Args:
        clips: one window each.
        spec: the window.
        events: how columns 33 to 39 are filled.
        per_window: faces drawn from the 8 of each window, 1 to 8.
        seed: of that draw.
        progress: told of the clips looked at.

    Raises:
        DataError: a clip's frames or sheet can't be read.
    """
    rng = np.random.default_rng(seed)
    picks = []
    for done, clip in enumerate(clips, start=1):
        window = clip_window(clip, spec, events)
        slots = np.sort(rng.permutation(FACE_SLOTS)[:per_window])
        picks.append((clip, tuple(np.unique(window.frames[slots]).tolist())))
        progress("choosing calibration crops", done, len(clips))
    rule = f"{spec!r} events={events} faces={per_window} seed={seed} clips={len(clips)}"
    return CropPlan(tuple(picks), max(1, BATCH // per_window), rule)
