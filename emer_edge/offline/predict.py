"""Offline scoring: EMER clips, a window each, and recordings, a window each hop, both in batches.

A recording takes the same steps as a live run; only the arithmetic of several hops is batched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.results import Result
from emer_edge.core.window import NANOSECONDS, EventsRule
from emer_edge.data.dataset import Clip, SkippedClip
from emer_edge.data.windows import PreparedClip, load_faces
from emer_edge.runtime.options import MachineOptions, Source
from emer_edge.runtime.pipeline.core import HOPS_AT_ONCE, Stepper
from emer_edge.runtime.pipeline.replay import Replay, replayed
from emer_edge.runtime.pipeline.stream import Stream
from emer_edge.runtime.session import Session

_CLIPS_AT_ONCE: Final = 4


@dataclass(frozen=True, eq=False)
class ClipScores:
    """What a bundle says about clips.

    Attributes:
        clips: those that could be read, in the order given.
        outputs: head -> (n, C) float32: calibrated probabilities or the value (n, 1).
        face_slots, eye_slots: (n,) int64, covered slots of each clip's window.
        skipped: clips that could not be read.
    """

    clips: tuple[Clip, ...]
    outputs: dict[str, NDArray[np.float32]]
    face_slots: NDArray[np.int64]
    eye_slots: NDArray[np.int64]
    skipped: tuple[SkippedClip, ...]


def score_clips(
    session: Session,
    clips: Sequence[Clip],
    *,
    events: EventsRule | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> ClipScores:
    """Score the one deterministic window of each clip.

    Args:
        session: the loaded bundle.
        clips: what to score.
        events: how columns 33 to 39 are filled; as the bundle was trained by default.
        strict: fail on the first clip that can't be read instead of skipping it.
        progress: told after every batch.

    Raises:
        DataError: with `strict`, a clip can't be read.
    """
    manifest = session.bundle.manifest
    done: list[Clip] = []
    skipped: list[SkippedClip] = []
    batches: list[dict[str, NDArray[np.float32]]] = []
    covered: list[tuple[int, int]] = []
    for start in range(0, len(clips), _CLIPS_AT_ONCE):
        faces, windows = [], []
        for clip in clips[start : start + _CLIPS_AT_ONCE]:
            try:
                window = PreparedClip(clip, manifest.window, events or manifest.events).window()
                faces.append(load_faces(clip, window.frames))
            except DataError as error:
                reason = str(error).removeprefix(f"clip {clip.name}: ")
                if strict:
                    raise DataError(f"clip {clip.name}: {reason}") from error
                skipped.append(SkippedClip(clip.name, reason))
                continue
            windows.append(window)
            done.append(clip)
            covered.append((int(window.covered_face.sum()), int(window.covered_eye.sum())))
        if windows:
            eye, gaze = np.stack([each.eye for each in windows]), np.stack([each.gaze for each in windows])
            batches.append(session.predict(np.stack(faces), eye, gaze))
        progress("scoring clips", min(start + _CLIPS_AT_ONCE, len(clips)), len(clips))
    outputs = {
        each.name: np.concatenate([batch[each.name] for batch in batches])
        if batches
        else np.zeros((0, len(each.classes) or 1), np.float32)
        for each in manifest.heads
    }
    slots = np.array(covered, np.int64).reshape(-1, 2)
    return ClipScores(tuple(done), outputs, face_slots=slots[:, 0], eye_slots=slots[:, 1], skipped=tuple(skipped))


def score_recording(session: Session, source: Source, progress: Progress = silent) -> Iterator[Result]:
    """Score a recording, a result each hop; the numbers are those of a replay through the pipeline.

    Args:
        session: the loaded bundle.
        source: a video and a tracker file, and how they are read; sources that are open have the pace `fast`.
        progress: told the seconds scored; their total is unknown, so it is given as 0.

    Raises:
        CameraError, TrackerError: what can't be opened.
        ConfigurationError: a source is live.
    """
    stream = Stream(session.bundle, source, MachineOptions(pace="fast"))
    try:
        core = stream.open_core(session, session.detector)
        replay = Replay.of(core, stream.camera, stream.tracker)
        for result in replayed(Stepper(session), [core], [replay], HOPS_AT_ONCE):
            yield result
            progress("scoring a recording", (result.end_ns - core.evidence.origin_ns) // NANOSECONDS, 0)
    finally:
        stream.close_sources()
