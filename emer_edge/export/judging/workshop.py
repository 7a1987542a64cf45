"""The evidence that the choices of an export are based on: the parts, and labelled windows to judge them on.

Each clip gives its deterministic window and many random draws of its slots, so that one window that changes class
weighs little. All of them share the clip's few candidate crops; these are read and encoded once per precision, one clip
at a time, and only embeddings are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from emer_edge.bundle.artefact import Part
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS, EventsRule, WindowSpec
from emer_edge.data.dataset import Clip
from emer_edge.data.images import stack_faces
from emer_edge.data.windows import PreparedClip
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.sources import Slices
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.runtime.engines import CPU_ENGINE, open_engine
from emer_edge.signals.no_eyes import no_eyes

MOST_CLIPS: Final = 240
"""Clips that are judged on at most: 24 crops each are encoded in every precision that is tried."""
DRAWS: Final = 24
"""Random windows per clip besides its deterministic one; each costs a fusion, about a millisecond."""

_ENCODE_AT_ONCE: Final = 32
_FUSE_AT_ONCE: Final = 64

Outputs = dict[str, NDArray[np.float32]]
"""Head -> (n, C) raw outputs."""
ReadCrops = Callable[[], NDArray[np.uint8]]
"""Reads the crops of one clip: (m, 112, 112, 3) uint8, B, G, R."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Labels of n windows.

    Attributes:
        labels: head -> (n,) float64, class index in the project's order or value, NaN without a label.
        participants: (n,).
        clips: (n,) int64, number of the clip; the first window of a clip is its deterministic one.
        classes: class head -> class names in output order.
    """

    labels: Mapping[str, NDArray[np.float64]]
    participants: tuple[str, ...]
    clips: NDArray[np.int64]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def people(self) -> int:
        """Number of participants."""
        return len(set(self.participants))

    def known(self, head: str) -> NDArray[np.bool_]:
        """(n,) which windows are labelled for a head."""
        return np.isfinite(self.labels[head]) if head in self.labels else np.zeros(len(self.clips), np.bool_)

    def only(self, windows: NDArray[np.bool_]) -> Truth:
        """The same of some windows, (n,) bool."""
        people = tuple(participant for participant, kept in zip(self.participants, windows, strict=True) if kept)
        labels = {name: values[windows] for name, values in self.labels.items()}
        return Truth(labels, people, self.clips[windows], self.classes)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Labelled windows.

    Attributes:
        readers: one per clip; `frames` numbers their crops one after another.
        frames: (n, 8) int64, number of the crop in each face slot.
        eye: (n, 32, 39) float32.
        gaze: (n, 32, 2) float32.
        truth: their labels.
        embedded: SHA-256 of an encoder's file -> embeddings of all crops.
    """

    readers: tuple[ReadCrops, ...]
    frames: NDArray[np.int64]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]
    truth: Truth
    embedded: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    def first_of_clips(self, count: int) -> NDArray[np.int64]:
        """Numbers of the deterministic windows of `count` clips, spread over all of them."""
        first = np.unique(self.truth.clips, return_index=True)[1]
        return first[np.unique(np.linspace(0, len(first) - 1, min(count, len(first))).astype(np.int64))]

    def faces(self, windows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the crops of some windows: (k, 8, 3, 112, 112) float32 in [0, 1]; DataError when one can't be read."""
        crops = []
        for window in windows:
            clip = self.truth.clips[window]
            # The crops of a clip are numbered without gaps, and each is in one of its windows.
            first = self.frames[self.truth.clips == clip].min()
            crops.append(stack_faces(self.readers[int(clip)]()[self.frames[window] - first]))
        return np.stack(crops)


@dataclass(frozen=True, eq=False)
class FullOutputs:
    """Outputs of the FP32 parts on the selection windows: embeddings (m, 128) of their crops, and head -> (n, C)."""

    embeddings: NDArray[np.float32]
    outputs: Outputs


@dataclass(frozen=True, eq=False)
class Workshop:
    """The inputs of a choice.

    Attributes:
        encoder, fusion: FP32 parts.
        target: gives the file for a path inside the bundle.
        metadata: of the checkpoint.
        options: of the export.
        slices: clips, or None.
        evidence: selection windows, or None.
        threads: of the engines that run selection windows.
        progress: called during long work.
    """

    encoder: onnx.ModelProto
    fusion: onnx.ModelProto
    target: Callable[[str], Path]
    metadata: CheckpointMetadata
    options: ExportOptions
    slices: Slices | None = None
    evidence: Evidence | None = None
    threads: int = 1
    progress: Progress = silent


def read_evidence(
    clips: Sequence[Clip],
    spec: WindowSpec,
    events: EventsRule,
    *,
    heads: Sequence[str] = (),
    classes: Mapping[str, Sequence[str]] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress = silent,
) -> Evidence:
    """Cut the windows of clips; DataError when one can't be read.

    Args:
        clips: the clips.
        spec: the window.
        events: how columns 33 to 39 are filled.
        heads: heads to take labels of.
        classes: class head -> class names in output order.
        draws: random windows per clip, besides its deterministic one.
        seed: of these draws.
        progress: called after every clip.
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
        used, place = np.unique([window.frames for window in windows], return_inverse=True)
        frames[chosen] = crops + place.reshape(each_has, -1)
        crops += len(used)
        readers.append(partial(_read, clip, tuple(int(index) for index in used)))
        eye[chosen] = [window.eye for window in windows]
        gaze[chosen] = [window.gaze for window in windows]
        progress("cutting selection windows", number + 1, len(clips))
    labels = {
        name: np.array([clip.labels.get(name, np.nan) for clip in clips], np.float64).repeat(each_has) for name in heads
    }
    people = [clip.participant if clip.participant is not None else clip.name for clip in clips]
    owners = tuple(participant for participant in people for _ in range(each_has))
    truth = Truth(labels, owners, np.repeat(np.arange(len(clips)), each_has), classes or {})
    return Evidence(tuple(readers), frames, eye, gaze, truth=truth)


def embeddings_of(
    part: Path, evidence: Evidence, threads: int = 1, *, progress: Progress = silent, label: str = "encoding"
) -> NDArray[np.float32]:
    """Encode every crop once, clip by clip, by an encoder's file: (m, 128); DataError when one can't be read."""
    read_part = Part.of(part)
    if read_part.sha256 in evidence.embedded:
        return evidence.embedded[read_part.sha256]
    embeddings = []
    with closing(open_engine(CPU_ENGINE, read_part, threads)) as engine:
        for number, read in enumerate(evidence.readers):
            crops = read()
            for at in range(0, len(crops), _ENCODE_AT_ONCE):
                embeddings.append(engine.run({"face": stack_faces(crops[at : at + _ENCODE_AT_ONCE])})["embedding"])
            progress(label, number + 1, len(evidence.readers))
    return evidence.embedded.setdefault(read_part.sha256, np.concatenate(embeddings))


def outputs_of(part: Path, embeddings: NDArray[np.float32], evidence: Evidence, threads: int = 1) -> Outputs:
    """Raw outputs of a fusion's file given the crops' embeddings (m, 128): head -> (n, C) float32."""
    parts = []
    with closing(open_engine(CPU_ENGINE, part, threads)) as engine:
        for at in range(0, len(evidence), _FUSE_AT_ONCE):
            some = slice(at, at + _FUSE_AT_ONCE)
            faces = embeddings[evidence.frames[some]]
            parts.append(engine.run({"embeddings": faces, "eye": evidence.eye[some], "gaze": evidence.gaze[some]}))
    return {name: np.concatenate([outputs[name] for outputs in parts]) for name in parts[0]}


def blind_outputs(part: Path, embeddings: NDArray[np.float32], evidence: Evidence, threads: int = 1) -> Outputs:
    """`outputs_of` for windows in which no eye is found."""
    eye, gaze = no_eyes(len(evidence))
    return outputs_of(part, embeddings, replace(evidence, eye=eye, gaze=gaze), threads)


def _read(clip: Clip, indices: Sequence[int]) -> NDArray[np.uint8]:
    return np.stack([clip.frame(index) for index in indices])
