"""One stranger read by the whole product: file camera, detector, aligner, encoder, windows, heads and guard.

A photograph becomes a still clip of 13 s, a short video is played to and fro as long. All are read without an eye
tracker, as `--tracker none`; some once more with a simulated one, since a gap needs eyes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.material import Shown
from emer_edge.bundle import Bundle
from emer_edge.bundle.reading_records import WithoutEyesRecord
from emer_edge.core.errors import DataError
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.results import Result, State
from emer_edge.core.window import NANOSECONDS
from emer_edge.offline.predict import HOPS_AT_ONCE
from emer_edge.runtime.options import MachineOptions, Source
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.pipeline.replay import Replay, replayed
from emer_edge.runtime.pipeline.stream import Stream
from emer_edge.runtime.session import Session

STILL_S: Final = 13.0
LONGEST_S: Final = 48.0
_STILL_FPS: Final = 3
_CROPS_APART_NS: Final = NANOSECONDS // 4
_SIDE_PX: Final = 480
_AROUND: Final = 2.6  # sides of a picture around a face, in those of the face


@dataclass(frozen=True)
class Box:
    """A face in a picture, pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def x(self) -> float:
        """Of its centre."""
        return (self.left + self.right) / 2

    @property
    def y(self) -> float:
        """Of its centre."""
        return (self.top + self.bottom) / 2

    @property
    def side(self) -> float:
        """The longer one."""
        return max(self.right - self.left, self.bottom - self.top)


@dataclass(frozen=True, eq=False)
class Window:
    """One window of a stranger.

    Attributes:
        end_s: its end, in seconds of the clip.
        shown: (7,) probabilities of `EMOTIONS` by the FER head.
        quiet: whether the guard is.
        crops: numbers of the crops that lie in it.
    """

    end_s: float
    shown: NDArray[np.float64]
    quiet: bool
    crops: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """A person in a file, read.

    Attributes:
        shown: who, where.
        windows: those that were read, a hop apart.
        crops: (n, 112, 112, 3) uint8 that the product cut.
        compared: of the pass with eyes, if any, whether the guard was quiet and whether `larger_than` was given, for
            each window.
    """

    shown: Shown
    windows: tuple[Window, ...]
    crops: NDArray[np.uint8]
    compared: tuple[tuple[bool, bool], ...]

    def pieces(self, length_s: float) -> tuple[Window, ...]:
        """Windows that share no second: a clip each."""
        kept: list[Window] = []
        for window in self.windows:
            if not kept or window.end_s >= kept[-1].end_s + length_s - 1e-6:
                kept.append(window)
        return tuple(kept)


def readable(bundle: Bundle) -> tuple[Bundle, str | None]:
    """The bundle as it reads faces without eyes, and why the product would refuse that."""
    refusal = bundle.manifest.blind_refusal
    if "fer-7" not in bundle.manifest.head_names:
        sys.exit(f"{bundle.path} has no head fer-7, which is what is compared here")
    if refusal is None:
        return bundle, None
    loses_nothing = WithoutEyesRecord(clips=0, before={}, after={}, lost_points=0.0, worst="")
    return replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, without_eyes=loses_nothing)), refusal


def read(session: Session, shown: Shown, tracker: Path | None, work: Path) -> Reading | str:
    """Read one, with a second pass where a tracker is given, or say why there is nothing to read."""
    at = "" if shown.centre is None else f"-{shown.centre[0]:.3f}-{shown.centre[1]:.3f}"
    clip = work / "clips" / f"{shown.path.stem}{at}.avi"
    clip.parent.mkdir(parents=True, exist_ok=True)
    images, fps = _moving(shown.path) if shown.moving else _still(session, shown)
    if not images:
        return "no face found at its place"
    _write(clip, images, fps)
    try:
        blind, crops = _pass(session, clip, None)
        seeing = [] if tracker is None else _pass(session, clip, tracker)[0]
    except DataError as error:
        return str(error)
    begin_ns = min((result.end_ns for result in blind), default=0) - session.bundle.manifest.window.hop_ns
    length_ns = session.bundle.manifest.window.length_ns
    windows = tuple(
        Window(
            (result.end_ns - begin_ns) / NANOSECONDS,
            np.array([heads[name] for name in EMOTIONS], np.float64),
            result.face_distance is not None and not result.unlike,
            tuple(number for number, (at_ns, _) in enumerate(crops) if 0 <= result.end_ns - at_ns < length_ns),
        )
        for result in blind
        if isinstance(heads := result.heads.get("fer-7"), dict)
    )
    compared = tuple(
        (result.face_distance is not None and not result.unlike, result.gap.larger_than is not None)
        for result in seeing
        if result.state is State.OK and result.gap is not None
    )
    if not windows:
        states = ", ".join(sorted({result.state.value for result in blind})) or "none"
        return f"no window was read (states: {states})"
    return Reading(shown, windows, np.stack([crop for _, crop in crops]), compared)


def _pass(
    session: Session, clip: Path, tracker: Path | None
) -> tuple[list[Result], list[tuple[int, NDArray[np.uint8]]]]:
    """Play a clip through the pipeline at the fast pace: results, and crops with their times."""
    crops: list[tuple[int, NDArray[np.uint8]]] = []

    def listen(kind: str, *given: object) -> None:
        look = given[1] if kind == "frame" else None
        candidate = getattr(look, "candidate", None)
        if candidate is not None and (not crops or candidate.stamp_ns - crops[-1][0] >= _CROPS_APART_NS):
            crops.append((candidate.stamp_ns, candidate.crop))

    source = Source(str(clip), None if tracker is None else str(tracker), offset_ms=None if tracker is None else 0.0)
    stream = Stream(session.bundle, source, MachineOptions(pace="fast"), say=lambda text: None)
    try:
        core = stream.open_core(session, session.detector)
        core.evidence.listeners.append(listen)
        replay = Replay.of(core, stream.camera, stream.tracker)
        return list(replayed(Stepper(session), [core], [replay], HOPS_AT_ONCE)), crops
    finally:
        stream.close_sources()


def _still(session: Session, shown: Shown) -> tuple[Sequence[NDArray[np.uint8]], float]:
    image = cv2.imread(str(shown.path), cv2.IMREAD_COLOR)
    if image is None:
        sys.exit(f"{shown.path} is no picture that OpenCV reads")
    high, wide = image.shape[:2]
    if shown.centre is not None:  # one of several: the picture around that face alone
        faces = session.detector.detect(image)
        x, y = shown.centre[0] * wide, shown.centre[1] * high
        boxes = [Box(*face.box_px) for face in faces]
        near = [box for box in boxes if abs(box.x - x) < box.side / 2 and abs(box.y - y) < box.side / 2]
        if not near:
            return (), _STILL_FPS
        face = min(near, key=lambda box: abs(box.x - x) + abs(box.y - y))
        half = round(_AROUND / 2 * face.side)
        image = cv2.copyMakeBorder(image, half, half, half, half, cv2.BORDER_REPLICATE)
        image = image[round(face.y) : round(face.y) + 2 * half, round(face.x) : round(face.x) + 2 * half]
    else:
        border = max(high, wide) // 4
        image = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
    scale = _SIDE_PX / max(image.shape[:2])
    size = tuple(2 * round(side * scale / 2) for side in image.shape[1::-1])
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return [image] * round(STILL_S * _STILL_FPS), _STILL_FPS


def _moving(path: Path) -> tuple[Sequence[NDArray[np.uint8]], float]:
    video = cv2.VideoCapture(str(path))
    fps = video.get(cv2.CAP_PROP_FPS)
    frames = list(_frames(video, round(LONGEST_S * fps)))
    video.release()
    once = frames
    while frames and len(frames) < STILL_S * fps:
        frames = [*frames, *once[::-1], *once]
    return frames, fps


def _frames(video: cv2.VideoCapture, most: int) -> Iterator[NDArray[np.uint8]]:
    for _ in range(most):
        there, frame = video.read()
        if not there:
            return
        yield frame


def _write(path: Path, images: Sequence[NDArray[np.uint8]], fps: float) -> None:
    high, wide = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (wide, high))
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 97)
    for image in images:
        writer.write(image)
    writer.release()
    os.chmod(path, 0o600)
