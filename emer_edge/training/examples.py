"""Training examples: clips ready for thousands of draws, batches of drawn windows, and their augmentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emer_edge.core.columns import EVENTS, GAZE_POINT, VALIDITY
from emer_edge.core.heads import HEADS
from emer_edge.core.progress import Progress, silent
from emer_edge.core.samples import Display
from emer_edge.core.window import EventsRule, WindowSpec
from emer_edge.data.dataset import Clip
from emer_edge.data.windows import AlterRows, ClipWindow, PreparedClip
from emer_edge.data.worse_eyes import dropped_bursts, dropped_samples, moved_gaze
from emer_edge.model.emert import Emert
from emer_edge.signals.profiles import DROPPED_GROUPS, TrackerProfile
from emer_edge.training.face_features import FaceSource

_CHANCE: Final = 0.4  # of each group, in a window that loses any
_SMALLEST: Final = 1e-6
_AUGMENTED: Final = 0.5  # of the windows: the other half stays as it is
_NOISE_PX: Final = (1.0, 20.0)
_ERROR_PX: Final = 20.0  # half a degree
_MOST_LOST: Final = 0.3
_LIGHT: Final = 0.3  # at most, of gain and gamma


@dataclass(frozen=True)
class Batch:
    """Windows ready for the network.

    Attributes:
        face: (b, 8, 3, 112, 112) crops in [0, 1], or (b, 8, 512 or 256) features of a frozen backbone.
        eye: (b, 32, 39).
        gaze: (b, 32, 2).
        labels: head -> (b,) float32, or (b, C) where shares of its classes are known; NaN where a clip has no label.
    """

    face: Tensor
    eye: Tensor
    gaze: Tensor
    labels: dict[str, Tensor]

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        labels = {name: values.to(device) for name, values in self.labels.items()}
        return Batch(self.face.to(device), self.eye.to(device), self.gaze.to(device), labels)


class Examples:
    """The clips of one slice.

    Args:
        clips: the clips.
        heads: heads to take labels of.
        spec: the window.
        events: how columns 33 to 39 are filled.
        progress: called after every clip.
        label: of the progress.

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
        self._targets = self.labels | {
            name: _shares(self.clips, name) for name in heads if any(name in clip.shares for clip in self.clips)
        }

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def candidates(self) -> list[NDArray[np.int64]]:
        """Per clip the frames that a live run would encode."""
        return [clip.candidates for clip in self._prepared]

    def windows(self) -> list[ClipWindow]:
        """Return the one deterministic window of every clip."""
        return [clip.window() for clip in self._prepared]

    def draw(
        self, rng: np.random.Generator, *, published: bool, candidates_only: bool, augment: bool = False
    ) -> list[ClipWindow]:
        """Draw a random item of each slot: one window per clip, half of them by `worse_eyes` with `augment`."""
        if published:
            return [clip.published_draw(rng) for clip in self._prepared]
        return [
            clip.draw(
                rng,
                candidates_only=candidates_only,
                alter=worse_eyes(rng) if augment and rng.random() < _AUGMENTED else None,
            )
            for clip in self._prepared
        ]

    def batches(
        self,
        windows: Sequence[ClipWindow],
        faces: FaceSource,
        size: int,
        device: torch.device,
        *,
        order: NDArray[np.int64] | None = None,
    ) -> Iterator[Batch]:
        """Batches of about `size` windows, one per clip, in `order` or in that of the clips.

        A window without eyes has no ER labels: what is felt can't be told from the face alone.
        """
        order = np.arange(len(self.clips)) if order is None else order
        eye = torch.from_numpy(np.stack([window.eye for window in windows]))
        gaze = torch.from_numpy(np.stack([window.gaze for window in windows]))
        blind = torch.tensor([not window.covered_eye.any() for window in windows])
        labels = {name: torch.from_numpy(values.copy()) for name, values in self._targets.items()}
        for name in (name for name in labels if HEADS[name].view == "er"):
            labels[name][blind] = torch.nan
        for chosen in np.array_split(order, max(1, round(len(order) / size))):
            at = torch.from_numpy(chosen)
            crops = faces.batch([self.clips[at] for at in chosen], [windows[at].frames for at in chosen])
            yield Batch(crops, eye[at], gaze[at], {name: values[at] for name, values in labels.items()}).to(device)


def _shares(clips: Sequence[Clip], head: str) -> NDArray[np.float32]:
    """(n, C) shares of a head's classes: those of raters, else 1 for the label, NaN without one."""
    certain = np.vstack([np.eye(HEADS[head].width), np.full(HEADS[head].width, np.nan)])
    return np.array([clip.shares.get(head, certain[int(clip.labels.get(head, -1))]) for clip in clips], np.float32)


def worse_eyes(rng: np.random.Generator) -> AlterRows:
    """A worse tracker of a clip: noise of 1 to 20 px an eye, a constant error of each, up to 30 % of samples lost."""
    sd_px = float(np.exp(rng.uniform(*np.log(_NOISE_PX))))
    error_px, share = rng.normal(0.0, _ERROR_PX, (2, 1, 2)), float(rng.uniform(0.0, _MOST_LOST))
    lose = (dropped_samples, dropped_bursts)[rng.integers(2)](share, rng)

    def alter(
        rows: NDArray[np.float32], times_ns: NDArray[np.int64], seen: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        off_px = error_px + sd_px * rng.standard_normal((2, len(rows), 2))
        return lose(moved_gaze(rows, off_px, Display()), times_ns, seen)

    return alter


def augment_faces(face: Tensor) -> Tensor:
    """Mirror half of the windows (b, 8, 3, 112, 112) and light each otherwise; features stay as they are."""
    if face.dim() == 3:
        return face
    mirrored = torch.rand(len(face), device=face.device) < _AUGMENTED
    gain, power = (1 + _LIGHT * (2 * torch.rand(len(face), 1, 1, 1, 1, device=face.device) - 1) for _ in range(2))
    return (gain * torch.where(mirrored[:, None, None, None, None], face.flip(-1), face) ** power).clamp(0.0, 1.0)


def drop_columns(windows: Sequence[ClipWindow], share: float, rng: np.random.Generator) -> list[ClipWindow]:
    """Remove groups of columns from a share of windows (0 to 1), as trackers without them would.

    Each group is removed at random, never both eyes; some of these windows may stay whole.
    """
    names = list(DROPPED_GROUPS)
    kept = []
    for window in windows:
        # Every window draws the same numbers, so that its losses do not depend on other windows.
        chosen, chances, eye = rng.random(), rng.random(len(names)), rng.integers(2)
        if chosen >= share:
            kept.append(window)
            continue
        spared = ("left eye", "right eye")[eye]
        lacks = tuple(name for name, chance in zip(names, chances, strict=True) if chance < _CHANCE and name != spared)
        rows, still = TrackerProfile("training", "", 0.0, lacks).rows(window.eye, window.covered_eye)
        kept.append(replace(window, eye=rows, gaze=rows[:, GAZE_POINT].copy(), covered_eye=still))
    return kept


def fit_standardisation(model: Emert, windows: Sequence[ClipWindow]) -> None:
    """Set a network's column constants to the mean and standard deviation of drawn training windows.

    A missing cell is 0 and would pull both, so measured columns count only cells that are not 0; validity and the
    columns of eye movements, where 0 means something, count all. A column that never varies keeps scale 1.
    """
    eye = np.concatenate([window.eye for window in windows]).astype(np.float64)
    gaze = np.concatenate([window.gaze for window in windows]).astype(np.float64)
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
