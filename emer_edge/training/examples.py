"""Clips held ready for thousands of draws, the batches drawn from them, and what is done to drawn windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emer_edge.core.columns import EVENTS, GAZE_POINT, VALIDITY
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import EventsRule, WindowSpec
from emer_edge.data.dataset import Clip
from emer_edge.data.windows import ClipWindow, PreparedClip
from emer_edge.model.emert import Emert
from emer_edge.signals.profiles import DROPPED_GROUPS, TrackerProfile
from emer_edge.training.face_features import FaceSource

_CHANCE: Final = 0.4  # of each group, in a window that loses any
_SMALLEST: Final = 1e-6


@dataclass(frozen=True)
class Batch:
    """Windows ready for the network.

    Attributes:
        face: (b, 8, 3, 112, 112) crops in [0, 1], or (b, 8, 512) features of a frozen backbone.
        eye: (b, 32, 39).
        gaze: (b, 32, 2).
        labels: head -> (b,) float32, NaN where a clip has no such label.
    """

    face: Tensor
    eye: Tensor
    gaze: Tensor
    labels: dict[str, Tensor]

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        labels = {name: each.to(device) for name, each in self.labels.items()}
        return Batch(self.face.to(device), self.eye.to(device), self.gaze.to(device), labels)


class Examples:
    """The clips of one slice.

    Args:
        clips: the clips.
        heads: heads to take labels of.
        spec: the window.
        events: how columns 33 to 39 are filled.
        progress: told of the clips that have been read.
        label: what the progress is called.

    Raises:
        DataError: an eye sheet or a folder of frames can't be read.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        heads: Sequence[str],
        spec: WindowSpec,
        events: EventsRule,
        *,
        progress: Progress = silent,
        label: str = "reading clips",
    ) -> None:
        self.clips = tuple(clips)
        self._prepared: list[PreparedClip] = []
        for done, clip in enumerate(self.clips, start=1):
            self._prepared.append(PreparedClip(clip, spec, events))
            progress(label, done, len(self.clips))
        self.labels = {
            name: np.array([clip.labels.get(name, np.nan) for clip in self.clips], np.float32) for name in heads
        }

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def candidates(self) -> list[NDArray[np.int64]]:
        """Per clip the frames that a live run would encode."""
        return [each.candidates for each in self._prepared]

    def windows(self) -> list[ClipWindow]:
        """Return the one deterministic window of every clip."""
        return [each.window() for each in self._prepared]

    def draw(self, rng: np.random.Generator, *, published: bool, candidates_only: bool) -> list[ClipWindow]:
        """Draw a random item of each slot, a window a clip."""
        if published:
            return [each.published_draw(rng) for each in self._prepared]
        return [each.draw(rng, candidates_only=candidates_only) for each in self._prepared]

    def batches(
        self,
        windows: Sequence[ClipWindow],
        faces: FaceSource,
        size: int,
        device: torch.device,
        *,
        order: NDArray[np.int64] | None = None,
    ) -> Iterator[Batch]:
        """Cut windows, one a clip, into batches of about `size`, in the given order or in that of the clips."""
        order = np.arange(len(self.clips)) if order is None else order
        eye = torch.from_numpy(np.stack([each.eye for each in windows]))
        gaze = torch.from_numpy(np.stack([each.gaze for each in windows]))
        labels = {name: torch.from_numpy(each) for name, each in self.labels.items()}
        for chosen in np.array_split(order, max(1, round(len(order) / size))):
            at = torch.from_numpy(chosen)
            crops = faces.batch([self.clips[each] for each in chosen], [windows[each].frames for each in chosen])
            yield Batch(crops, eye[at], gaze[at], {name: each[at] for name, each in labels.items()}).to(device)


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
