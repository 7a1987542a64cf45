"""How figures fall as the input gets worse: one curve for each way in which it does.

A level changes one stream and leaves the other, so an eye curve encodes no crop, and a face curve cuts no eye window.
Random numbers depend on the seed, the clip's content and the curve, not on the level: levels differ by how much, not by
luck. Level 0 is not computed again: it is the untouched reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.clip_scores import EncodedWindows, clip_generator
from emer_edge.bench.probes.effects import Indices, Judge, Outputs
from emer_edge.bench.probes.worse_input import WAYS, Way
from emer_edge.bench.records.probe_records import Curve, Level
from emer_edge.core.columns import EVENTS
from emer_edge.core.progress import Progress, silent
from emer_edge.core.results import State
from emer_edge.core.samples import Display
from emer_edge.data.dataset import Clip
from emer_edge.data.images import stack_faces
from emer_edge.data.windows import PreparedClip
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Spread

Floats = NDArray[np.float32]

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
    spread: Spread,
    windows: EncodedWindows,
    judge: Judge,
    *,
    count: int,
    ways: Sequence[Way] = WAYS,
    progress: Progress = silent,
) -> tuple[Curve, ...]:
    """Draw every curve over the same clips.

    Args:
        spread: the loaded bundle, and who changes clips and encodes them.
        windows: the clips.
        judge: of these clips.
        count: clips to use at most, see `subsample`.
        ways: one curve each.
        progress: called after every clip.

    Raises:
        DataError: a clip that could be read can't be read again.
        WorkerError: a process or machine that shares the work ended, or can't be used.
    """
    session, manifest = spread.session, spread.session.bundle.manifest
    before = session.fuse(windows.face, windows.eye, windows.gaze)
    chosen = subsample(judge.owners, count, judge.seed)
    after = {
        (way.name, level): ({name: rows.copy() for name, rows in before.items()}, windows.eye_slots.copy())
        for way in ways
        for level in way.levels
    }
    items = [
        (windows.clips[at], _Window(windows.face[at], windows.eye[at], windows.gaze[at], int(windows.eye_slots[at])))
        for at in chosen
    ]
    answers = spread.map_ordered(partial(_changed, ways=tuple(ways), seed=judge.seed), items)
    for start in range(0, len(chosen), _CLIPS_AT_ONCE):
        part = chosen[start : start + _CLIPS_AT_ONCE]
        held: dict[tuple[str, float], list[_Window]] = {}
        for done, answer in enumerate(islice(answers, len(part)), start=start + 1):
            for key, changed in answer:
                held.setdefault(key, []).append(changed)
            progress("making clips worse", done, len(chosen))
        for key, changed_windows in held.items():
            outputs, slots = after[key]
            fused = session.fuse(
                *(np.stack([getattr(window, name) for window in changed_windows]) for name in ("face", "eye", "gaze"))
            )
            for name, rows in fused.items():
                outputs[name][part] = rows
            slots[part] = [window.eye_slots for window in changed_windows]

    def level_of(level: float, outputs: Outputs, slots: Indices) -> Level:
        covered = zip(windows.face_slots[chosen].tolist(), slots[chosen].tolist(), strict=True)
        low = sum(manifest.window.coverage(*slots) is not State.OK for slots in covered)
        return Level(level=level, uncovered=low, heads=judge.effects(before, [outputs], chosen))

    return tuple(
        Curve(
            name=way.name,
            about=way.about,
            axis=way.axis,
            unit=way.unit,
            touches="eyes" if way.eyes is not None else "face",
            clips=len(chosen),
            levels=(
                level_of(0.0, before, windows.eye_slots),
                *(level_of(level, *after[way.name, level]) for level in way.levels),
            ),
        )
        for way in ways
    )


@dataclass(frozen=True, eq=False)
class _Window:
    """One clip, untouched or at one level: (8, width), (32, 39) and (32, 2) float32, and covered eye slots."""

    face: Floats
    eye: Floats
    gaze: Floats
    eye_slots: int


def _changed(
    session: Session, item: tuple[Clip, _Window], ways: Sequence[Way], seed: int
) -> list[tuple[tuple[str, float], _Window]]:
    manifest, (clip, was) = session.bundle.manifest, item
    number = int(clip_generator(seed, clip, "robustness").integers(2**62))
    display = manifest.display or Display()
    changed_windows: list[tuple[tuple[str, float], _Window]] = []
    for way in ways:
        if way.eyes is None:
            continue
        for level in way.levels:
            alter = way.eyes(level, _generator(number, way.draws_of or way.name), display)
            window = PreparedClip(clip, manifest.window, manifest.events, alter=alter).window()
            if way.keeps_events:
                window.eye[:, EVENTS] = was.eye[:, EVENTS]
            changed = _Window(was.face, window.eye, window.gaze, int(window.covered_eye.sum()))
            changed_windows.append(((way.name, level), changed))
    if any(way.face is not None for way in ways):
        frames = PreparedClip(clip, manifest.window, manifest.events).window().frames
        images = {int(frame): clip.frame(int(frame)) for frame in dict.fromkeys(frames)}
        places = {image: place for place, image in enumerate(images)}
        slot = np.array([places[int(frame)] for frame in frames])
        # Rows of a crop: the eyes' and the mouth's middle, from the landmarks that faces are aligned to.
        points = np.array(manifest.face.template_px)
        rows = float(points[:2, 1].mean()), float(points[3:, 1].mean())
        for way in ways:
            if way.face is None:
                continue
            for level in way.levels:
                alter_image = way.face(level, _generator(number, way.name), rows)
                embeddings = session.encode(stack_faces(alter_image(image) for image in images.values()))
                changed_windows.append(((way.name, level), replace(was, face=embeddings[slot])))
    return changed_windows


def _generator(number: int, name: str) -> np.random.Generator:
    return np.random.default_rng([number, *name.encode()])
