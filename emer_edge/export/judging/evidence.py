"""The windows that choices are made on: eye rows, labels, whose they are, and where their crops are read.

A clip gives its one deterministic window and many random draws of its slots, so that a window that tips over weighs
little: what is compared is the mean over windows that a live run might as well have seen. All of them share the clip's
few candidate crops; these are read and encoded once for each precision, one clip at a time, and only embeddings are
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.clips import Clip
from emer_edge.data.windows import PreparedClip, stack_faces
from emer_edge.runtime.engines.base import Engine
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS, EventsRule, WindowSpec

__all__ = ["DRAWS", "MOST_CLIPS", "Evidence", "Outputs", "ReadCrops", "embeddings_of", "outputs_of", "read_evidence"]

MOST_CLIPS: Final = 240
"""Clips that are judged on at most: 24 crops each are encoded in every precision that is tried."""
DRAWS: Final = 24
"""Random windows a clip beside its deterministic one; they cost a fusion each, about a millisecond."""

_ENCODE_AT_ONCE: Final = 32
_FUSE_AT_ONCE: Final = 64

Outputs = dict[str, NDArray[np.float32]]
ReadCrops = Callable[[], NDArray[np.uint8]]
"""Reads the crops of one clip: (m, 112, 112, 3) uint8, B, G, R."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Labelled windows.

    Attributes:
        readers: one a clip; all their crops one after another are the crops that `frames` numbers.
        frames: (n, 8) int64, number of the crop in each face slot.
        eye: (n, 32, 39) float32.
        gaze: (n, 32, 2) float32.
        labels: head -> (n,) float64, NaN where a clip has no such label.
        participants: (n,) whose window it is.
        clips: (n,) int64, number of the clip that each window is cut from, whose first is the deterministic one.
    """

    readers: tuple[ReadCrops, ...]
    frames: NDArray[np.int64]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    labels: Mapping[str, NDArray[np.float64]]
    participants: tuple[str, ...]
    clips: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.participants)

    @property
    def people(self) -> int:
        """Number of participants."""
        return len(set(self.participants))

    def first_of_clips(self, count: int) -> NDArray[np.int64]:
        """Numbers of the deterministic windows of `count` clips, spread over all of them."""
        first = np.unique(self.clips, return_index=True)[1]
        return first[np.unique(np.linspace(0, len(first) - 1, min(count, len(first))).astype(np.int64))]

    def faces(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the crops of some windows: (k, 8, 3, 112, 112) float32 in [0, 1]; DataError when one can't be read."""
        found = []
        for window in windows:
            mine = self.frames[self.clips == self.clips[window]]
            crops = self.readers[int(self.clips[window])]()
            # The crops of a clip are numbered without gaps, and each is in one of its windows.
            found.append(stack_faces(crops[self.frames[window] - mine.min()]))
        return np.stack(found)


def read_evidence(
    clips: Sequence[Clip],
    heads: Sequence[str],
    spec: WindowSpec,
    events: EventsRule,
    progress: Progress = silent,
    draws: int = DRAWS,
    seed: int = 0,
) -> Evidence:
    """Cut the windows of clips; DataError when one can't be read.

    Args:
        clips: whose windows.
        heads: whose labels.
        spec: the window.
        events: how columns 33 to 39 are filled.
        progress: told after every clip.
        draws: windows a clip beside its deterministic one, a random item in each slot.
        seed: of these draws.
    """
    each_has = 1 + draws
    count = each_has * len(clips)
    frames = np.zeros((count, FACE_SLOTS), np.int64)
    eye = np.zeros((count, EYE_SLOTS, EYE_COLUMN_COUNT), np.float32)
    gaze = np.zeros((count, EYE_SLOTS, 2), np.float32)
    rng = np.random.default_rng(seed)
    readers: list[ReadCrops] = []
    crops = 0
    for number, clip in enumerate(clips):
        prepared = PreparedClip(clip, spec, events)
        windows = [prepared.window(), *(prepared.draw(rng, candidates_only=True) for _ in range(draws))]
        chosen = slice(each_has * number, each_has * (number + 1))
        used, place = np.unique([each.frames for each in windows], return_inverse=True)
        frames[chosen] = crops + place.reshape(each_has, -1)
        crops += len(used)
        readers.append(partial(_read, clip, tuple(int(index) for index in used)))
        eye[chosen] = [each.eye for each in windows]
        gaze[chosen] = [each.gaze for each in windows]
        progress("cutting selection windows", number + 1, len(clips))
    owners = [clip for clip in clips for _ in range(each_has)]
    labels = {name: np.array([clip.labels.get(name, np.nan) for clip in owners], np.float64) for name in heads}
    whose = tuple(clip.participant if clip.participant is not None else clip.name for clip in owners)
    return Evidence(tuple(readers), frames, eye, gaze, labels, whose, np.repeat(np.arange(len(clips)), each_has))


def embeddings_of(
    encoder: Engine, evidence: Evidence, progress: Progress = silent, label: str = "encoding selection crops"
) -> NDArray[np.float32]:
    """Encode every crop once, clip by clip: (m, 128) float32; DataError when a clip can't be read."""
    found = []
    for number, read in enumerate(evidence.readers):
        crops = read()
        for at in range(0, len(crops), _ENCODE_AT_ONCE):
            found.append(encoder.run({"face": stack_faces(crops[at : at + _ENCODE_AT_ONCE])})["embedding"])
        progress(label, number + 1, len(evidence.readers))
    return np.concatenate(found)


def outputs_of(fusion: Engine, embeddings: NDArray[np.float32], evidence: Evidence) -> Outputs:
    """Raw outputs of the fusion part given the crops' embeddings (m, 128): head -> (n, C) float32."""
    parts = []
    for at in range(0, len(evidence), _FUSE_AT_ONCE):
        part = slice(at, at + _FUSE_AT_ONCE)
        faces = embeddings[evidence.frames[part]]
        parts.append(fusion.run({"embeddings": faces, "eye": evidence.eye[part], "gaze": evidence.gaze[part]}))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _read(clip: Clip, indices: Sequence[int]) -> NDArray[np.uint8]:
    return np.stack([clip.frame(index) for index in indices])
