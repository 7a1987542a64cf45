"""One clip of EMER: who, which film, its frames, its eye rows, its labels; read when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import read_crop
from emer_edge.data.layout import frame_names
from emer_edge.data.sheets import EyeTrack, read_sheet
from emer_edge.errors import DataError

__all__ = ["Clip", "SkippedClip"]


@dataclass(frozen=True)
class SkippedClip:
    """A clip that can't be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip; frames and eye rows are read from disk on demand.

    Attributes:
        name: its folder name, which is its ID in the label file.
        participant, stimulus: as the name tells them, or None.
        induced_emotion: the emotion that its film induces, as the name tells it, or None.
        fold: 1 to 5, 0 for a clip outside of any data set.
        frames_path: folder of its face crops.
        sheet_path: its eye sheet.
        labels: head -> class index or value; only the heads that are labelled.
    """

    name: str
    participant: str | None
    stimulus: str | None
    induced_emotion: str | None
    fold: int
    frames_path: Path
    sheet_path: Path
    labels: Mapping[str, int | float]

    @cached_property
    def frame_names(self) -> tuple[str, ...]:
        """File names of its frames in natural order; DataError when there is none."""
        names = tuple(frame_names(self.frames_path))
        if not names:
            raise DataError(f"clip {self.name}: {self.frames_path} holds no frame (PNG, JPEG or BMP)")
        return names

    @property
    def frame_paths(self) -> tuple[Path, ...]:
        """Paths of its frames in natural order."""
        return tuple(self.frames_path / name for name in self.frame_names)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Read one frame: (112, 112, 3) uint8, B, G, R; DataError when it is no image."""
        try:
            return read_crop(self.frames_path / self.frame_names[index])
        except DataError as error:
            raise DataError(f"clip {self.name}: {error}") from error

    def eye(self) -> EyeTrack:
        """Read its eye rows, from the cache after the first time; DataError when the sheet can't be used."""
        try:
            return read_sheet(self.sheet_path)
        except DataError as error:
            raise DataError(f"clip {self.name}: {error}") from error
