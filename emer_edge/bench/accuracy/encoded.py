"""Clips with every crop encoded once: what all readings and all probes are read from.

Clips are streamed: the images of sixteen crops are held at a time, and of a clip that is done only the numbers stay.
The work on a clip is a function of the bundle, the clip and the plan, draws included, so any partition of the clips
over processes or machines of one kind gives the same numbers to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.clips import Clip, SkippedClip
from emer_edge.data.hashes import clip_hash
from emer_edge.data.windows import ClipWindow, PreparedClip, load_faces
from emer_edge.errors import ConfigurationError, DataError
from emer_edge.runtime.session import Session
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS

__all__ = [
    "DRAWS",
    "READINGS",
    "REPEATS",
    "ClipWindows",
    "EncodedClip",
    "EncodedWindows",
    "Loader",
    "Reading",
    "ReadingPlan",
    "clip_generator",
    "encode_clip",
    "encode_clips",
]

Reading = Literal["newest", "draws", "live", "published"]
"""How windows are read from a clip: `newest`, its one deterministic window; `draws`, random items of each slot, as in
training; `live`, a window each hop; `published`, random items as the authors' loader draws them."""

Loader = Literal["default", "published"]

READINGS: Final[tuple[Reading, ...]] = ("newest", "draws", "live", "published")
DRAWS: Final = 10
REPEATS: Final = 20
"""Clip orders and draws over which the published reduction is ranged."""

_AT_ONCE: Final = 16  # crops held as images


@dataclass(frozen=True, kw_only=True)
class ReadingPlan:
    """Which readings are wanted.

    Attributes:
        draws: random draws a clip that are scored, at least 1.
        loader: whose draws the published reduction is taken over; `published` adds the reading of that name.
        seed: of the draws.

    Raises:
        ConfigurationError: no draws, or an unknown loader.
    """

    draws: int = DRAWS
    loader: Loader = "default"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or self.seed < 0:
            raise ConfigurationError(f"draws are at least 1 and a seed at least 0, not {self.draws} and {self.seed}")
        if self.loader not in ("default", "published"):
            raise ConfigurationError(f"the loader is default or published, not {self.loader!r}")


@dataclass(frozen=True, eq=False)
class ClipWindows:
    """The windows of one reading of one clip.

    Attributes:
        frames: (k, 8) int64, indices of the clip's frames.
        eye: (k, 32, 39) float32.
        gaze: (k, 32, 2) float32.
        face_slots, eye_slots: (k,) int64, covered slots.
    """

    frames: NDArray[np.int64]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    face_slots: NDArray[np.int64]
    eye_slots: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frames)

    @classmethod
    def of(cls, windows: Sequence[ClipWindow]) -> ClipWindows:
        """Stack windows; there may be none."""
        return cls(
            np.array([each.frames for each in windows], np.int64).reshape(-1, FACE_SLOTS),
            np.array([each.eye for each in windows], np.float32).reshape(-1, EYE_SLOTS, EYE_COLUMN_COUNT),
            np.array([each.gaze for each in windows], np.float32).reshape(-1, EYE_SLOTS, 2),
            np.array([each.covered_face.sum() for each in windows], np.int64),
            np.array([each.covered_eye.sum() for each in windows], np.int64),
        )


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """One clip, its crops encoded; about 0.3 MB, and picklable.

    Attributes:
        clip: the clip.
        frames: (m,) int64, ascending, the frames that any reading needs.
        embeddings: (m, width) float32, one a frame; width is 128 for each face encoder of the bundle.
        windows: reading -> windows.
    """

    clip: Clip
    frames: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    windows: dict[Reading, ClipWindows]

    def face(self, reading: Reading) -> NDArray[np.float32]:
        """Embeddings of a reading's windows, (k, 8, width) float32."""
        found: NDArray[np.float32] = self.embeddings[np.searchsorted(self.frames, self.windows[reading].frames)]
        return found


@dataclass(frozen=True, eq=False)
class EncodedWindows:
    """The deterministic windows of many clips, 10 kB a clip: what probes change and fuse again; picklable.

    Attributes:
        clips: those that could be read, in the order given.
        face: (n, 8, width) float32 embeddings.
        eye: (n, 32, 39) float32.
        gaze: (n, 32, 2) float32, display pixels.
        face_slots, eye_slots: (n,) int64, covered slots.
        skipped: clips that could not be read.
    """

    clips: tuple[Clip, ...]
    face: NDArray[np.float32]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    face_slots: NDArray[np.int64]
    eye_slots: NDArray[np.int64]
    skipped: tuple[SkippedClip, ...] = ()

    def __len__(self) -> int:
        return len(self.clips)

    @classmethod
    def of(cls, found: Iterable[EncodedClip | SkippedClip]) -> EncodedWindows:
        """Keep the deterministic window of each clip, and which clips could not be read."""
        clips: list[Clip] = []
        faces: list[NDArray[np.float32]] = []
        windows: list[ClipWindows] = []
        skipped: list[SkippedClip] = []
        for each in found:
            if isinstance(each, SkippedClip):
                skipped.append(each)
                continue
            clips.append(each.clip)
            faces.append(each.face("newest"))
            windows.append(each.windows["newest"])
        if not clips:
            none = ClipWindows.of(())
            face = np.zeros((0, FACE_SLOTS, 0), np.float32)
            return cls((), face, none.eye, none.gaze, none.face_slots, none.eye_slots, tuple(skipped))
        return cls(
            tuple(clips),
            np.concatenate(faces),
            np.concatenate([each.eye for each in windows]),
            np.concatenate([each.gaze for each in windows]),
            np.concatenate([each.face_slots for each in windows]),
            np.concatenate([each.eye_slots for each in windows]),
            tuple(skipped),
        )


def clip_generator(seed: int, clip: Clip, purpose: str) -> np.random.Generator:
    """Random numbers that depend on a seed, a clip's content and what they are for, and on nothing else.

    Raises:
        DataError: the clip's frames can't be read.
    """
    digest = clip_hash(purpose, clip)
    return np.random.default_rng([seed, *(int(digest[at : at + 8], 16) for at in range(0, len(digest), 8))])


def encode_clip(session: Session, clip: Clip, plan: ReadingPlan | None = None) -> EncodedClip:
    """Cut the windows of every reading from a clip and encode the crops that they need, each once.

    Args:
        session: the loaded bundle; its manifest names the window and the rule of eye movements.
        clip: the clip.
        plan: the readings; None reads `newest` alone.

    Raises:
        DataError: its frames or its eye sheet can't be read.
    """
    manifest = session.bundle.manifest
    prepared = PreparedClip(clip, manifest.window, manifest.events)
    windows: dict[Reading, ClipWindows] = {"newest": ClipWindows.of([prepared.window()])}
    if plan is not None:
        rng = clip_generator(plan.seed, clip, "draws")
        count = plan.draws if plan.loader == "published" else max(plan.draws, REPEATS)
        windows["draws"] = ClipWindows.of([prepared.draw(rng) for _ in range(count)])
        windows["live"] = ClipWindows.of(prepared.live())
        if plan.loader == "published":
            rng = clip_generator(plan.seed, clip, "published")
            windows["published"] = ClipWindows.of([prepared.published_draw(rng) for _ in range(REPEATS)])
    frames = np.unique(np.concatenate([each.frames.ravel() for each in windows.values()]))
    embeddings = np.zeros((len(frames), session.embedding_width), np.float32)
    for at in range(0, len(frames), _AT_ONCE):
        embeddings[at : at + _AT_ONCE] = session.encode(load_faces(clip, frames[at : at + _AT_ONCE]))
    return EncodedClip(clip, frames, embeddings, windows)


def encode_clips(
    session: Session,
    clips: Sequence[Clip],
    plan: ReadingPlan | None = None,
    progress: Progress = silent,
) -> Iterator[EncodedClip | SkippedClip]:
    """Encode clips one after the other, in order; a clip that can't be read is given with the reason."""
    for at, clip in enumerate(clips):
        try:
            yield encode_clip(session, clip, plan)
        except DataError as error:
            yield SkippedClip(clip.name, str(error).removeprefix(f"clip {clip.name}: "))
        progress("scoring clips", at + 1, len(clips))
