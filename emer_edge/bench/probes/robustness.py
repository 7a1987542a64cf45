"""How figures fall as the input gets worse: one curve for each way in which it does.

A level changes one stream and leaves the other, so an eye curve encodes no crop, and a face curve cuts no eye window.
Random numbers depend on the seed, the clip's content and the curve, not on the level: levels differ by how much, not by
luck. Level 0 is not computed again: it is the untouched reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.encoded import EncodedWindows, clip_generator
from emer_edge.bench.probes.judging import Judge, Outputs
from emer_edge.bench.probes.worse_eyes import dropped_bursts, dropped_samples, tracker_noise
from emer_edge.bench.probes.worse_faces import AlterImage, bar, blur, compression, low_light, square
from emer_edge.bench.records import Curve, Level
from emer_edge.bundle import Manifest
from emer_edge.data.windows import AlterRows, PreparedClip, stack_faces
from emer_edge.runtime.session import Session
from emer_edge.spec.columns import EVENTS
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.samples import Display

__all__ = ["EYE_WAYS", "FACE_WAYS", "PROBE_CLIPS", "EyeWay", "FaceWay", "Way", "robustness", "subsample"]

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

PROBE_CLIPS: Final = 60
_CLIPS_AT_ONCE: Final = 16  # fused together; the images of one clip are held at a time
_NOISE_PX: Final = (5, 10, 20, 50, 100)
_LOST: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
_HIDDEN: Final = (0.1, 0.2, 0.3, 0.4)


@dataclass(frozen=True)
class Way:
    """One way for the input to get worse.

    Attributes:
        name, about, axis, unit: as in `Curve`.
        levels: ascending, above 0.
    """

    name: str
    about: str
    axis: str
    unit: str
    levels: tuple[float, ...]


@dataclass(frozen=True)
class EyeWay(Way):
    """One way for eye rows to get worse.

    Attributes:
        alter: level, random numbers, display -> what happens to the rows.
        keeps_events: columns 33 to 39 of the window stay as they are without it.
        draws_of: name of the curve whose random numbers it shares; its own by default.
    """

    alter: Callable[[float, np.random.Generator, Display], AlterRows]
    keeps_events: bool = False
    draws_of: str = ""


@dataclass(frozen=True)
class FaceWay(Way):
    """One way for face crops to get worse.

    Attributes:
        alter: level, random numbers, rows of eyes and mouth in the crop -> what happens to a crop.
    """

    alter: Callable[[float, np.random.Generator, tuple[float, float]], AlterImage]


EYE_WAYS: Final = (
    EyeWay(
        "tracker noise", "white noise on each eye's gaze point, and what it does to eye movements", "SD of the noise",
        "px", _NOISE_PX, tracker_noise,
    ),
    EyeWay(
        "noise, movements kept", "the same noise, columns 33 to 39 as without it", "SD of the noise",
        "px", _NOISE_PX, tracker_noise, keeps_events=True, draws_of="tracker noise",
    ),
    EyeWay(
        "dropped samples", "samples lost one by one", "share of samples lost", "share", _LOST,
        lambda level, rng, _: dropped_samples(level, rng),
    ),
    EyeWay(
        "dropped bursts", "samples lost in bursts of 0.5 s on average", "share of samples lost", "share", _LOST,
        lambda level, rng, _: dropped_bursts(level, rng),
    ),
)  # fmt: skip
FACE_WAYS: Final = (
    FaceWay(
        "low light", "less light, up to 16 times amplified, with the noise of a small sensor", "light lost", "stops",
        (2, 4, 6, 8), lambda level, rng, _: low_light(level, rng),
    ),
    FaceWay(
        "bar over eyes", "a grey bar across the crop", "share of the crop hidden", "share", _HIDDEN,
        lambda level, _, rows: bar(level, rows[0]),
    ),
    FaceWay(
        "bar over mouth", "a grey bar across the crop", "share of the crop hidden", "share", _HIDDEN,
        lambda level, _, rows: bar(level, rows[1]),
    ),
    FaceWay(
        "square", "a grey square somewhere in the crop, the same place in all of a clip's", "share of the crop hidden",
        "share", (0.1, 0.25, 0.5, 0.75), lambda level, rng, _: square(level, rng),
    ),
    FaceWay(
        "blur", "a Gaussian", "SD of the blur", "px", (1, 2, 4), lambda level, _, __: blur(level),
    ),
    FaceWay(
        "compression", "JPEG, once more", "100 minus the quality", "", (50, 80, 95),
        lambda level, _, __: compression(level),
    ),
)  # fmt: skip


def subsample(owners: Sequence[str], count: int, seed: int) -> Indices:
    """Ascending indices of `count` items, as evenly over their owners as can be; all when there are no more."""
    if count >= len(owners):
        return np.arange(len(owners), dtype=np.int64)
    rng = np.random.default_rng(seed)
    turn: dict[str, int] = {}
    rank = np.empty(len(owners), np.int64)
    for at in rng.permutation(len(owners)):
        rank[at] = turn.setdefault(owners[at], 0)
        turn[owners[at]] += 1
    order = np.lexsort((rng.random(len(owners)), rank))
    return np.sort(order[:count]).astype(np.int64)


def robustness(
    session: Session,
    windows: EncodedWindows,
    judge: Judge,
    before: Outputs,
    count: int = PROBE_CLIPS,
    eye_ways: Sequence[EyeWay] = EYE_WAYS,
    face_ways: Sequence[FaceWay] = FACE_WAYS,
    progress: Progress = silent,
) -> tuple[Curve, ...]:
    """Draw every curve over the same clips.

    Args:
        session: the loaded bundle.
        windows: the clips.
        judge: of these clips.
        before: what the network says about them untouched, head -> (n, C).
        count: clips to use at most, see `subsample`.
        eye_ways: curves of the eye rows.
        face_ways: curves of the face crops.
        progress: told after every clip.

    Raises:
        DataError: a clip that could be read can't be read again.
    """
    manifest = session.bundle.manifest
    ways: tuple[Way, ...] = (*eye_ways, *face_ways)
    chosen = subsample(judge.owners, count, judge.seed)
    after = {
        (way.name, level): ({name: each.copy() for name, each in before.items()}, windows.eye_slots.copy())
        for way in ways
        for level in way.levels
    }
    done = 0
    for start in range(0, len(chosen), _CLIPS_AT_ONCE):
        part = chosen[start : start + _CLIPS_AT_ONCE]
        held: dict[tuple[str, float], list[_Changed]] = {}
        for at in part:
            for key, changed in _changed(session, windows, int(at), eye_ways, face_ways, judge.seed):
                held.setdefault(key, []).append(changed)
            done += 1
            progress("making clips worse", done, len(chosen))
        for key, found in held.items():
            outputs, slots = after[key]
            fused = session.fuse(
                *(np.stack([getattr(each, name) for each in found]) for name in ("face", "eye", "gaze"))
            )
            for name, rows in fused.items():
                outputs[name][part] = rows
            slots[part] = [each.eye_slots for each in found]

    def level_of(level: float, outputs: Outputs, slots: Indices) -> Level:
        low = (windows.face_slots < manifest.window.min_face_slots) | (slots < manifest.window.min_eye_slots)
        return Level(level=level, uncovered=int(low[chosen].sum()), heads=judge.effects(before, [outputs], chosen))

    return tuple(
        Curve(
            name=way.name,
            about=way.about,
            axis=way.axis,
            unit=way.unit,
            touches="eyes" if isinstance(way, EyeWay) else "face",
            clips=len(chosen),
            levels=(
                level_of(0.0, before, windows.eye_slots),
                *(level_of(level, *after[way.name, level]) for level in way.levels),
            ),
        )
        for way in ways
    )


@dataclass(frozen=True, eq=False)
class _Changed:
    """One clip at one level."""

    face: Floats
    eye: Floats
    gaze: Floats
    eye_slots: int


def _changed(
    session: Session,
    windows: EncodedWindows,
    at: int,
    eye_ways: Sequence[EyeWay],
    face_ways: Sequence[FaceWay],
    seed: int,
) -> list[tuple[tuple[str, float], _Changed]]:
    manifest, clip = session.bundle.manifest, windows.clips[at]
    face, eye, gaze, slots = windows.face[at], windows.eye[at], windows.gaze[at], int(windows.eye_slots[at])
    number = int(clip_generator(seed, clip, "robustness").integers(2**62))
    display = manifest.display or Display()
    found: list[tuple[tuple[str, float], _Changed]] = []
    for way in eye_ways:
        for level in way.levels:
            alter = way.alter(level, _generator(number, way.draws_of or way.name), display)
            window = PreparedClip(clip, manifest.window, manifest.events, alter=alter).window()
            if way.keeps_events:
                window.eye[:, EVENTS] = eye[:, EVENTS]
            changed = _Changed(face, window.eye, window.gaze, int(window.covered_eye.sum()))
            found.append(((way.name, level), changed))
    if face_ways:
        frames = PreparedClip(clip, manifest.window, manifest.events).window().frames
        images = {int(each): clip.frame(int(each)) for each in dict.fromkeys(frames)}
        places = {each: place for place, each in enumerate(images)}
        slot = np.array([places[int(each)] for each in frames])
        rows = _eyes_and_mouth(manifest)
        for face_way in face_ways:
            for level in face_way.levels:
                alter_image = face_way.alter(level, _generator(number, face_way.name), rows)
                embeddings = session.encode(stack_faces(alter_image(each) for each in images.values()))
                found.append(((face_way.name, level), _Changed(embeddings[slot], eye, gaze, slots)))
    return found


def _generator(number: int, name: str) -> np.random.Generator:
    return np.random.default_rng([number, *name.encode()])


def _eyes_and_mouth(manifest: Manifest) -> tuple[float, float]:
    """Rows of a crop: the eyes' and the mouth's middle, from the landmarks that faces are aligned to."""
    points = np.array(manifest.face.template_px)
    return float(points[:2, 1].mean()), float(points[3:, 1].mean())
