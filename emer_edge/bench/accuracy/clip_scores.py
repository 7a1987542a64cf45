"""What a bundle says about each clip: windows cut, every crop encoded once, every reading scored.

Clips are streamed: the images of sixteen crops are held at a time, and of a clip that is done only the numbers stay.
The work on a clip is a function of the bundle, the clip and the options, draws included, so any partition of the clips
over processes or machines of one kind gives the same numbers to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.bench_options import ScoringOptions
from emer_edge.bundle import Manifest
from emer_edge.core.errors import DataError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS
from emer_edge.data.dataset import Clip, SkippedClip, clip_hash
from emer_edge.data.windows import ClipWindow, PreparedClip, load_faces
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Spread

Reading = Literal["newest", "draws", "live", "published"]
"""How windows are read from a clip: `newest`, its one deterministic window; `draws`, random items of each slot, as in
training; `live`, a window each hop; `published`, random items as the authors' loader draws them."""

READINGS: Final[tuple[Reading, ...]] = ("newest", "draws", "live", "published")
REPEATS: Final = 20
"""Clip orders and draws over which the published reduction is ranged."""

_AT_ONCE: Final = 16  # crops held as images


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
            frames=np.array([window.frames for window in windows], np.int64).reshape(-1, FACE_SLOTS),
            eye=np.array([window.eye for window in windows], np.float32).reshape(-1, EYE_SLOTS, EYE_COLUMN_COUNT),
            gaze=np.array([window.gaze for window in windows], np.float32).reshape(-1, EYE_SLOTS, 2),
            face_slots=np.array([window.covered_face.sum() for window in windows], np.int64),
            eye_slots=np.array([window.covered_eye.sum() for window in windows], np.int64),
        )


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """One clip, its crops encoded, its windows scored by `score_clip`; about 0.3 MB, and picklable.

    Attributes:
        clip: the clip.
        frames: (m,) int64, ascending, the frames that any reading needs.
        embeddings: (m, width) float32, one per frame; width is 128 for each face encoder of the bundle.
        windows: reading -> windows.
        outputs: reading -> head -> (k, C) float32: calibrated probabilities in the bundle's order of classes, or the
            value (k, 1); k windows, which may be none in `live`. Empty until they are scored.
    """

    clip: Clip
    frames: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    windows: dict[Reading, ClipWindows]
    outputs: dict[Reading, dict[str, NDArray[np.float32]]] = field(default_factory=dict)

    def face(self, reading: Reading) -> NDArray[np.float32]:
        """Embeddings of a reading's windows, (k, 8, width) float32."""
        face: NDArray[np.float32] = self.embeddings[np.searchsorted(self.frames, self.windows[reading].frames)]
        return face


@dataclass(frozen=True, eq=False)
class EncodedWindows:
    """The deterministic windows of many clips, 10 kB each: what probes change and fuse again; picklable.

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
    def of(cls, encoded: Iterable[EncodedClip], skipped: Sequence[SkippedClip] = ()) -> EncodedWindows:
        """Keep the deterministic window of each clip."""
        clips = list(encoded)
        windows = [clip.windows["newest"] for clip in clips] or [ClipWindows.of(())]
        faces = [clip.face("newest") for clip in clips] or [np.zeros((0, FACE_SLOTS, 0), np.float32)]
        joined = {
            name: np.concatenate([getattr(window, name) for window in windows])
            for name in ("eye", "gaze", "face_slots", "eye_slots")
        }
        return cls(
            clips=tuple(clip.clip for clip in clips), face=np.concatenate(faces), skipped=tuple(skipped), **joined
        )


def clip_generator(seed: int, clip: Clip, purpose: str) -> np.random.Generator:
    """Random numbers that depend on a seed, a clip's content and what they are for, and on nothing else.

    Raises:
        DataError: the clip's frames can't be read.
    """
    digest = clip_hash(purpose, clip)
    return np.random.default_rng([seed, *(int(digest[at : at + 8], 16) for at in range(0, len(digest), 8))])


def encode_clip(session: Session, clip: Clip, options: ScoringOptions | None = None) -> EncodedClip:
    """Cut the windows of every reading from a clip and encode the crops that they need, each once.

    Args:
        session: the loaded bundle; its manifest names the window and the rule of eye movements.
        clip: the clip.
        options: the readings; None reads `newest` alone.

    Raises:
        DataError: its frames or its eye sheet can't be read.
    """
    manifest = session.bundle.manifest
    prepared = PreparedClip(clip, manifest.window, manifest.events)
    windows: dict[Reading, ClipWindows] = {"newest": ClipWindows.of([prepared.window()])}
    if options is not None:
        rng = clip_generator(options.seed, clip, "draws")
        count = options.draws if options.loader == "published" else max(options.draws, REPEATS)
        windows["draws"] = ClipWindows.of([prepared.draw(rng) for _ in range(count)])
        windows["live"] = ClipWindows.of(prepared.live())
        if options.loader == "published":
            rng = clip_generator(options.seed, clip, "published")
            windows["published"] = ClipWindows.of([prepared.published_draw(rng) for _ in range(REPEATS)])
    frames = np.unique(np.concatenate([reading.frames.ravel() for reading in windows.values()]))
    embeddings = np.zeros((len(frames), session.embedding_width), np.float32)
    for at in range(0, len(frames), _AT_ONCE):
        embeddings[at : at + _AT_ONCE] = session.encode(load_faces(clip, frames[at : at + _AT_ONCE]))
    return EncodedClip(clip, frames, embeddings, windows)


@dataclass(frozen=True, eq=False)
class FoldScores:
    """Many clips, scored: about 20 kB each.

    Attributes:
        windows: their deterministic windows, and the clips that could not be read.
        outputs: reading -> head -> (t, C) float32, the windows of all clips one after the other.
        owners: reading -> (t,) int64, ascending indices of the clips that the windows belong to.
    """

    windows: EncodedWindows
    outputs: dict[Reading, dict[str, NDArray[np.float32]]]
    owners: dict[Reading, NDArray[np.int64]]

    @classmethod
    def of(cls, results: Iterable[EncodedClip | SkippedClip], manifest: Manifest) -> FoldScores:
        """Collect clips; the order is that in which they come."""
        outputs: dict[Reading, dict[str, list[NDArray[np.float32]]]] = {}
        owners: dict[Reading, list[NDArray[np.int64]]] = {}
        clips: list[EncodedClip] = []
        skipped: list[SkippedClip] = []
        for score in results:
            if isinstance(score, SkippedClip):
                skipped.append(score)
                continue
            for reading, heads in score.outputs.items():
                for head, rows in heads.items():
                    outputs.setdefault(reading, {}).setdefault(head, []).append(rows)
                count = len(next(iter(heads.values()), ()))
                owners.setdefault(reading, []).append(np.full(count, len(clips), np.int64))
            clips.append(score)
        if not clips:
            outputs["newest"] = {
                head.name: [np.zeros((0, len(head.classes) or 1), np.float32)] for head in manifest.heads
            }
            owners["newest"] = [np.zeros(0, np.int64)]
        return cls(
            EncodedWindows.of(clips, skipped),
            {
                reading: {head: np.concatenate(rows) for head, rows in heads.items()}
                for reading, heads in outputs.items()
            },
            {reading: np.concatenate(rows) for reading, rows in owners.items()},
        )


def score_clip(session: Session, clip: Clip, options: ScoringOptions | None = None) -> EncodedClip:
    """Encode a clip's crops once and score its windows in every reading.

    A function of the bundle, the clip and the options alone: each reading of each clip is one batch of its own, since
    what else lies in a batch can change the last digit.

    Raises:
        DataError: the clip can't be read.
    """
    encoded = encode_clip(session, clip, options)
    windows = encoded.windows.items()
    outputs = {reading: session.fuse(encoded.face(reading), cut.eye, cut.gaze) for reading, cut in windows}
    return replace(encoded, outputs=outputs)


def score_readings(
    spread: Spread, clips: Sequence[Clip], options: ScoringOptions | None = None, progress: Progress = silent
) -> Iterator[EncodedClip | SkippedClip]:
    """Score clips in order; a clip that can't be read is given with the reason.

    Of a clip's windows the deterministic one alone is given: the others are in the outputs. Without `options` the
    reading is `newest` alone.
    """
    work = partial(_scored_or_skipped, options=options)
    for at, (clip, score) in enumerate(zip(clips, spread.map_ordered(work, clips), strict=True)):
        if isinstance(score, SkippedClip):
            # What another machine can't read, this one may: its copy is the data set that is reported.
            yield work(spread.session, clip)
        else:
            yield replace(score, clip=clip)
        progress("scoring clips", at + 1, len(clips))


def _scored_or_skipped(session: Session, clip: Clip, options: ScoringOptions | None) -> EncodedClip | SkippedClip:
    try:
        score = score_clip(session, clip, options)
    except DataError as error:
        return SkippedClip(clip.name, str(error).removeprefix(f"clip {clip.name}: "))
    newest = score.windows["newest"]
    frames = np.unique(newest.frames)
    rows = np.searchsorted(score.frames, frames)
    bare = replace(clip)  # without the list of its frames
    return EncodedClip(bare, frames, score.embeddings[rows], {"newest": newest}, outputs=score.outputs)
