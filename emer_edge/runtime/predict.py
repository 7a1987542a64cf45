"""Offline scoring: EMER clips, a window each, and recordings, a window each hop, both in batches.

A recording goes through the same evidence and the same lattice as a live run; only the arithmetic is batched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.clips import Clip, SkippedClip
from emer_edge.data.windows import PreparedClip, load_faces, stack_faces
from emer_edge.errors import ConfigurationError, DataError
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.compose import compose, standing_notes
from emer_edge.runtime.evidence import ARRIVAL_ALLOWANCE_NS, Evidence, HopWindow, replay
from emer_edge.runtime.faces import Subject
from emer_edge.runtime.pipeline.pairing import synchrony_notes
from emer_edge.runtime.session import Session
from emer_edge.runtime.trackers import Tracker
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.results import Result, State
from emer_edge.spec.samples import Display, StimulusRect
from emer_edge.spec.window import NANOSECONDS, EventsRule

__all__ = ["ClipScores", "score_clips", "score_recording"]

_CLIPS_AT_ONCE: Final = 4
_HOPS_AT_ONCE: Final = 24


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
    return ClipScores(tuple(done), outputs, slots[:, 0], slots[:, 1], tuple(skipped))


def score_recording(
    session: Session,
    camera: Camera,
    tracker: Tracker,
    *,
    display: Display | None = None,
    stimulus: StimulusRect | None = None,
    detect_every: int = 5,
    allowance_ns: int = ARRIVAL_ALLOWANCE_NS,
    subject: Subject = "largest",
    progress: Progress = silent,
) -> Iterator[Result]:
    """Score a recording, a result each hop; the numbers are those of a replay through the pipeline.

    Args:
        session: the loaded bundle.
        camera: a video opened with pace `fast`.
        tracker: a tracker file opened with pace `fast`.
        display: what gaze pixels refer to; the bundle's training display by default.
        stimulus: frame of the MCS columns; the whole display by default.
        detect_every: faces are looked for at least on every n-th frame.
        allowance_ns: arrival allowance D of the run that this stands for.
        subject: who is followed when several faces are seen at first.
        progress: told the seconds scored; their total is unknown, so it is given as 0.

    Raises:
        ConfigurationError: a source is live.
    """
    live = [name for name, each in (("camera", camera), ("tracker", tracker)) if each.live]
    if live:
        raise ConfigurationError(f"a recording has an end, but the {live[0]} is live; use emer-edge run")
    manifest = session.bundle.manifest
    display = display or manifest.display or Display()
    evidence = Evidence(
        manifest, session.detector, tracker.rate_hz, display, stimulus, detect_every, allowance_ns, subject
    )
    notes = (*standing_notes(manifest), *synchrony_notes(camera, tracker), *evidence.columns.notes(manifest.display))
    batch = _Batch(session, notes)
    frame_period_ns, sample_period_ns = (round(NANOSECONDS / max(each, 1.0)) for each in (camera.fps, tracker.rate_hz))
    for end_ns in replay(evidence, camera, tracker, frame_period_ns, sample_period_ns):
        batch.add(evidence.cut(end_ns))
        if len(batch) == _HOPS_AT_ONCE:
            yield from batch.results()
            progress("scoring a recording", (end_ns - evidence.origin_ns) // NANOSECONDS, 0)
    yield from batch.results()


class _Batch:
    """Windows waiting for one call of the encoder and one of the fusion."""

    def __init__(self, session: Session, notes: tuple[str, ...]) -> None:
        self._session = session
        self._notes = notes
        self._windows: list[HopWindow] = []
        kept = session.bundle.manifest.window.hops + _HOPS_AT_ONCE + 1
        self._embeddings = np.zeros((kept, session.embedding_width), np.float32)

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, window: HopWindow) -> None:
        self._windows.append(window)

    def results(self) -> Iterator[Result]:
        """Give the results of all windows added since the last call."""
        windows, self._windows = self._windows, []
        faces = [(each.faces_taken - 1, each.face.crop) for each in windows if each.face is not None]
        if faces:
            numbers = np.array([number for number, _ in faces])
            encoded = self._session.encode(stack_faces(crop for _, crop in faces))
            self._embeddings[numbers % len(self._embeddings)] = encoded
        whole = [each for each in windows if each.state is State.OK]
        outputs: dict[str, NDArray[np.float32]] = {}
        if whole:
            numbers = np.stack([each.face_numbers for each in whole])
            eye, gaze = np.stack([each.eye.eye for each in whole]), np.stack([each.eye.gaze for each in whole])
            outputs = self._session.fuse(self._embeddings[numbers % len(self._embeddings)], eye, gaze)
        at = 0
        manifest = self._session.bundle.manifest
        for window in windows:
            row = None
            if window.state is State.OK:
                row, at = {name: each[at] for name, each in outputs.items()}, at + 1
            yield compose(manifest, window, row, {}, {}, self._notes)
