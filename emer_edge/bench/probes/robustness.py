"""How figures fall as the input gets worse: one curve for each way in which it does.

A level changes one stream and leaves the other, so an eye curve encodes no crop, and a face curve cuts no eye window.
Random numbers depend on the seed, the clip's content and the curve, not on the level: levels differ by how much, not by
luck. Level 0 is not computed again: it is the untouched reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.encoded import EncodedWindows, clip_generator
from emer_edge.bench.probes.judging import Judge, Outputs
from emer_edge.bench.probes.ways import EYE_WAYS, FACE_WAYS, CropRows, EyeWay, FaceWay, Way
from emer_edge.bench.records import Curve, Level
from emer_edge.bench.spreading.base import InTurn, Spread
from emer_edge.bundle import Manifest
from emer_edge.data.clips import Clip
from emer_edge.data.windows import PreparedClip, stack_faces
from emer_edge.runtime.session import Session
from emer_edge.spec.columns import EVENTS
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.samples import Display

__all__ = ["PROBE_CLIPS", "robustness", "subsample"]

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

PROBE_CLIPS: Final = 60
_CLIPS_AT_ONCE: Final = 16  # fused together; the images of one clip are held at a time


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
    spread: Spread | None = None,
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
        spread: who changes clips and encodes them; this process by default.

    Raises:
        DataError: a clip that could be read can't be read again.
        WorkerError: a process or machine that shares the work ended, or can't be used.
    """
    manifest = session.bundle.manifest
    ways: tuple[Way, ...] = (*eye_ways, *face_ways)
    chosen = subsample(judge.owners, count, judge.seed)
    after = {
        (way.name, level): ({name: each.copy() for name, each in before.items()}, windows.eye_slots.copy())
        for way in ways
        for level in way.levels
    }
    asked = [
        _Untouched(windows.clips[at], windows.face[at], windows.eye[at], windows.gaze[at], int(windows.eye_slots[at]))
        for at in chosen
    ]
    work = partial(_changed, eye_ways=tuple(eye_ways), face_ways=tuple(face_ways), seed=judge.seed)
    answers = (spread or InTurn(session)).map_ordered(work, asked)
    for start in range(0, len(chosen), _CLIPS_AT_ONCE):
        part = chosen[start : start + _CLIPS_AT_ONCE]
        held: dict[tuple[str, float], list[_Changed]] = {}
        for done, each in enumerate(islice(answers, len(part)), start=start + 1):
            for key, changed in each:
                held.setdefault(key, []).append(changed)
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
class _Untouched:
    """One clip as `EncodedWindows` has it."""

    clip: Clip
    face: Floats
    eye: Floats
    gaze: Floats
    eye_slots: int


@dataclass(frozen=True, eq=False)
class _Changed:
    """One clip at one level."""

    face: Floats
    eye: Floats
    gaze: Floats
    eye_slots: int


def _changed(
    session: Session, asked: _Untouched, eye_ways: Sequence[EyeWay], face_ways: Sequence[FaceWay], seed: int
) -> list[tuple[tuple[str, float], _Changed]]:
    manifest, clip = session.bundle.manifest, asked.clip
    face, eye, gaze, slots = asked.face, asked.eye, asked.gaze, asked.eye_slots
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


def _eyes_and_mouth(manifest: Manifest) -> CropRows:
    """Rows of a crop: the eyes' and the mouth's middle, from the landmarks that faces are aligned to."""
    points = np.array(manifest.face.template_px)
    return float(points[:2, 1].mean()), float(points[3:, 1].mean())
