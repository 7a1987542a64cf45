"""The same clips as other trackers, or the other rule of eye movements, would have shown them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import EventsRule
from emer_edge.data.dataset import Clip
from emer_edge.data.windows import PreparedClip, load_faces
from emer_edge.runtime.session import Session
from emer_edge.signals.profiles import TrackerProfile


@dataclass(frozen=True)
class EyeView:
    """One way to see the eye rows of a clip.

    Attributes:
        events: how columns 33 to 39 are filled.
        profile: the tracker, None for all that the sheet holds.
    """

    events: EventsRule
    profile: TrackerProfile | None = None

    @property
    def name(self) -> str:
        """The tracker's name, or the rule's where all columns are there."""
        return self.profile.name if self.profile is not None else f"{self.events} events"


@dataclass(frozen=True, eq=False)
class ViewScores:
    """What a bundle says about clips in one view.

    Attributes:
        view: the view.
        outputs: head -> (n, C) float32: calibrated probabilities or the value (n, 1).
        eye_slots: (n,) int64, covered eye slots of each clip's window.
    """

    view: EyeView
    outputs: dict[str, NDArray[np.float32]]
    eye_slots: NDArray[np.int64]


def score_views(
    session: Session,
    clips: Sequence[Clip],
    views: Sequence[EyeView],
    progress: Progress = silent,
    faces: NDArray[np.float32] | None = None,
) -> list[ViewScores]:
    """Score the one deterministic window of each clip in each view; faces are encoded once.

    Args:
        session: the loaded bundle.
        clips: clips that can be read, such as `ClipScores.clips`.
        views: what to see.
        progress: called after every clip.
        faces: (n, 8, width) float32, the embeddings of the clips' windows where they are known.

    Raises:
        DataError: a clip can't be read.
    """
    if not views:
        return []
    manifest = session.bundle.manifest
    batches: list[list[dict[str, NDArray[np.float32]]]] = [[] for _ in views]
    covered: list[list[int]] = [[] for _ in views]
    for done, clip in enumerate(clips):
        embeddings = None if faces is None else faces[done : done + 1]
        for at, view in enumerate(views):
            window = PreparedClip(clip, manifest.window, view.events, view.profile).window()
            if embeddings is None:
                embeddings = session.encode(load_faces(clip, window.frames))[None]  # the same in every view
            # One clip per call: what else is in a batch can change the last digit.
            batches[at].append(session.fuse(embeddings, window.eye[None], window.gaze[None]))
            covered[at].append(int(window.covered_eye.sum()))
        progress("scoring other trackers", done + 1, len(clips))
    return [
        ViewScores(
            view,
            {head.name: np.concatenate([batch[head.name] for batch in batch_outputs]) for head in manifest.heads},
            np.array(slots, np.int64),
        )
        for view, batch_outputs, slots in zip(views, batches, covered, strict=True)
        if batch_outputs
    ]
