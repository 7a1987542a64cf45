"""The windows that choices are made on, read once: crops, eye rows, labels, whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.clips import Clip
from emer_edge.data.windows import PreparedClip
from emer_edge.runtime.engines.base import Engine
from emer_edge.spec.progress import Progress
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS, EventsRule, WindowSpec

__all__ = ["MOST_DRAWS", "MOST_WINDOWS", "Evidence", "embeddings_of", "outputs_of", "read_evidence"]

MOST_WINDOWS: Final = 400
"""Windows that are read at most: 300 KB of crops each."""
MOST_DRAWS: Final = 3
"""Random windows a selection clip beside its deterministic one: one window that tips over then weighs less."""

_ENCODE_AT_ONCE: Final = 16
_FUSE_AT_ONCE: Final = 64

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Labelled windows.

    Attributes:
        crops: (n, 8, 112, 112, 3) uint8, B, G, R.
        eye: (n, 32, 39) float32.
        gaze: (n, 32, 2) float32.
        covered_eye: (n, 32) bool.
        labels: head -> (n,) float64, NaN where a clip has no such label.
        participants: (n,) whose window it is.
    """

    crops: NDArray[np.uint8]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    covered_eye: NDArray[np.bool_]
    labels: Mapping[str, NDArray[np.float64]]
    participants: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.participants)


def read_evidence(
    clips: Sequence[Clip],
    heads: Sequence[str],
    spec: WindowSpec,
    events: EventsRule,
    progress: Progress,
    label: str = "reading selection windows",
    draws: int = 0,
    seed: int = 0,
) -> Evidence:
    """Read the windows of clips; DataError when one can't be read.

    Args:
        clips: whose windows.
        heads: whose labels.
        spec, events: how windows are cut.
        progress: told after every clip.
        label: what it is told.
        draws: windows a clip beside its deterministic one, a random item in each slot.
        seed: of these draws.
    """
    each_has = 1 + draws
    count = each_has * len(clips)
    crops = np.zeros((count, FACE_SLOTS, FACE_SIZE_PX, FACE_SIZE_PX, 3), np.uint8)
    eye = np.zeros((count, EYE_SLOTS, EYE_COLUMN_COUNT), np.float32)
    gaze = np.zeros((count, EYE_SLOTS, 2), np.float32)
    covered = np.zeros((count, EYE_SLOTS), np.bool_)
    rng = np.random.default_rng(seed)
    for number, clip in enumerate(clips):
        prepared = PreparedClip(clip, spec, events)
        windows = [prepared.window(), *(prepared.draw(rng, candidates_only=True) for _ in range(draws))]
        read = {int(index): clip.frame(int(index)) for index in np.unique([each.frames for each in windows])}
        for at, window in enumerate(windows, start=each_has * number):
            crops[at] = np.stack([read[int(index)] for index in window.frames])
            eye[at], gaze[at], covered[at] = window.eye, window.gaze, window.covered_eye
        progress(label, number + 1, len(clips))
    owners = [clip for clip in clips for _ in range(each_has)]
    labels = {name: np.array([clip.labels.get(name, np.nan) for clip in owners], np.float64) for name in heads}
    whose = tuple(clip.participant if clip.participant is not None else clip.name for clip in owners)
    return Evidence(crops, eye, gaze, covered, labels, whose)


def embeddings_of(encoder: Engine, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Encode (n, 8, 112, 112, 3) uint8 crops -> (n, 8, 128) float32."""
    flat = crops.reshape(-1, FACE_SIZE_PX, FACE_SIZE_PX, 3)
    found = []
    for at in range(0, len(flat), _ENCODE_AT_ONCE):
        batch = flat[at : at + _ENCODE_AT_ONCE].transpose(0, 3, 1, 2)
        face = np.ascontiguousarray(batch, np.float32) / np.float32(255.0)
        found.append(encoder.run({"face": face})["embedding"])
    return np.concatenate(found).reshape(len(crops), FACE_SLOTS, -1)


def outputs_of(fusion: Engine, embeddings: NDArray[np.float32], evidence: Evidence) -> Outputs:
    """Raw outputs of the fusion part: head -> (n, C) float32."""
    parts = []
    for at in range(0, len(evidence), _FUSE_AT_ONCE):
        part = slice(at, at + _FUSE_AT_ONCE)
        given = {"embeddings": embeddings[part], "eye": evidence.eye[part], "gaze": evidence.gaze[part]}
        parts.append(fusion.run(given))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
