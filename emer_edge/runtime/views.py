"""The same clips as other trackers, or the other rule of eye movements, would have shown them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.clips import Clip
from emer_edge.data.windows import ClipWindow, PreparedClip, load_faces
from emer_edge.runtime.session import Session
from emer_edge.signals.profiles import TrackerProfile
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.window import EventsRule

__all__ = ["EyeView", "ViewScores", "score_views"]

_CLIPS_AT_ONCE = 4


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
        progress: told after every batch.
        faces: (n, 8, width) float32, the embeddings of the clips' windows where they are known.

    Raises:
        DataError: a clip can't be read.
    """
    manifest = session.bundle.manifest
    batches: list[list[dict[str, NDArray[np.float32]]]] = [[] for _ in views]
    covered: list[list[int]] = [[] for _ in views]
    for start in range(0, len(clips), _CLIPS_AT_ONCE):
        chosen = clips[start : start + _CLIPS_AT_ONCE]
        embeddings = None if faces is None else faces[start : start + _CLIPS_AT_ONCE]
        for at, view in enumerate(views):
            windows = [PreparedClip(clip, manifest.window, view.events, view.profile).window() for clip in chosen]
            if embeddings is None:
                embeddings = _embeddings(session, chosen, windows)
            eye, gaze = np.stack([each.eye for each in windows]), np.stack([each.gaze for each in windows])
            batches[at].append(session.fuse(embeddings, eye, gaze))
            covered[at] += [int(each.covered_eye.sum()) for each in windows]
        progress("scoring other trackers", min(start + _CLIPS_AT_ONCE, len(clips)), len(clips))
    return [
        ViewScores(
            view,
            {each.name: np.concatenate([batch[each.name] for batch in found]) for each in manifest.heads},
            np.array(slots, np.int64),
        )
        for view, found, slots in zip(views, batches, covered, strict=True)
        if found
    ]


def _embeddings(session: Session, clips: Sequence[Clip], windows: Sequence[ClipWindow]) -> NDArray[np.float32]:
    """(n, 8, width): the faces do not depend on the view."""
    faces = np.stack([load_faces(clip, each.frames) for clip, each in zip(clips, windows, strict=True)])
    return session.encode(faces.reshape(-1, *faces.shape[2:])).reshape(*faces.shape[:2], -1)
