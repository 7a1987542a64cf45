"""Clips held ready for thousands of draws, and the batches drawn from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emer_edge.data.clips import Clip
from emer_edge.data.windows import ClipWindow, PreparedClip
from emer_edge.spec.progress import Progress
from emer_edge.spec.window import EventsRule, WindowSpec
from emer_edge.training.faces import FaceSource

__all__ = ["Batch", "Examples"]


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
        progress: Progress,
        label: str,
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
            yield Batch(
                crops.to(device),
                eye[at].to(device),
                gaze[at].to(device),
                {name: each[at].to(device) for name, each in labels.items()},
            )
