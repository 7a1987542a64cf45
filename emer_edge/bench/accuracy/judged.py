"""One head's answers beside the labels, in this project's order of classes, so that bundles can be put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.encoded import Reading
from emer_edge.bench.accuracy.known import owner
from emer_edge.bench.accuracy.scores import FoldScores
from emer_edge.bundle.manifest import BundledHead
from emer_edge.data.clips import Clip
from emer_edge.errors import DataError
from emer_edge.metrics.summed import Summed, summed_classes, summed_values
from emer_edge.spec.heads import HEADS, PROTOCOLS

__all__ = ["JudgedHead", "class_order", "join", "judge", "protocol_of", "truth_of"]


@dataclass(frozen=True, eq=False)
class JudgedHead:
    """The clips that are labelled for one head, and what was said about them.

    Attributes:
        name: the head.
        classes: class names in this project's order; empty for a value head.
        clips: n labelled clips.
        truth: (n,) class indices (int64) or values (float64).
        given: reading -> (t, C) float64 probabilities, or (t, 1) values, of all their windows.
        owners: reading -> (t,) int64, index of the clip.
        guesses: baseline -> (n, C) probabilities with which a class is guessed, or (n, 1) guessed values.
    """

    name: str
    classes: tuple[str, ...]
    clips: tuple[Clip, ...]
    truth: NDArray[np.int64] | NDArray[np.float64]
    given: dict[Reading, NDArray[np.float64]]
    owners: dict[Reading, NDArray[np.int64]]
    guesses: dict[str, NDArray[np.float64]]

    @property
    def people(self) -> list[str]:
        """(n,) whose clip each is."""
        return [owner(clip) for clip in self.clips]

    def summed(self, rows: NDArray[np.float64], clips: NDArray[np.int64] | None = None) -> Summed:
        """Figures of (m, C) answers about the clips (m,), by default about all."""
        truth = self.truth if clips is None else self.truth[clips]
        return summed_classes(truth, rows) if self.classes else summed_values(truth, rows[:, 0])

    def drawn(self, reading: Reading, count: int) -> NDArray[np.float64]:
        """The first `count` windows of each clip, (n, count, C), of a reading that has as many of each clip."""
        rows = self.given[reading]
        found: NDArray[np.float64] = rows.reshape(len(self.clips), -1, rows.shape[1])[:, :count]
        return found


def protocol_of(head: str) -> str:
    """The protocol that a head belongs to."""
    return next(each.name for each in PROTOCOLS if head in each.heads)


def class_order(head: BundledHead) -> tuple[str, ...]:
    """The bundle's classes in this project's order; empty for a value head."""
    named = HEADS[head.name]
    return tuple(each for each in named.classes if each in head.classes) if named.kind == "class" else ()


def truth_of(name: str, classes: Sequence[str], clips: Sequence[Clip]) -> NDArray[np.int64] | NDArray[np.float64]:
    """(n,) class indices in `classes`, or values, of clips that are labelled for the head.

    Raises:
        DataError: a label is a class that is not among them.
    """
    labels = [clip.labels[name] for clip in clips]
    named = HEADS[name]
    if named.kind == "value":
        return np.array(labels, np.float64)
    names = [named.classes[int(each)] for each in labels]
    missing = sorted(set(names) - set(classes))
    if missing:
        raise DataError(f"the data hold the class {', '.join(missing)}, which the bundle's {name} lacks")
    return np.array([classes.index(each) for each in names], np.int64)


def judge(
    head: BundledHead, scores: FoldScores, guesses: dict[str, NDArray[np.float64]] | None = None
) -> JudgedHead | None:
    """Put a head's answers beside the labels; None when no clip is labelled for it.

    Args:
        head: as the bundle has it.
        scores: of its fold.
        guesses: baseline -> (C,) probabilities or (1,) value, the same for every clip of the fold.

    Raises:
        DataError: a label is a class that the bundle lacks.
    """
    clips = scores.windows.clips
    having = np.array([at for at, clip in enumerate(clips) if head.name in clip.labels], np.int64)
    if not len(having):
        return None
    classes = class_order(head)
    columns = [head.classes.index(each) for each in classes] if classes else [0]
    labelled = tuple(clips[at] for at in having)
    given: dict[Reading, NDArray[np.float64]] = {}
    owners: dict[Reading, NDArray[np.int64]] = {}
    for reading, rows in scores.outputs.items():
        kept = np.isin(scores.owners[reading], having)
        given[reading] = rows[head.name][kept][:, columns].astype(np.float64)
        owners[reading] = np.searchsorted(having, scores.owners[reading][kept])
    repeated = {name: np.broadcast_to(each, (len(labelled), len(each))) for name, each in (guesses or {}).items()}
    return JudgedHead(head.name, classes, labelled, truth_of(head.name, classes, labelled), given, owners, repeated)


def join(parts: Sequence[JudgedHead]) -> JudgedHead | None:
    """One head over several folds, each judged by its own bundle; None where the classes differ.

    Readings and guesses that not all of them have are left out.
    """
    first = parts[0]
    if any(each.classes != first.classes for each in parts):
        return None
    starts = np.cumsum([0, *(len(each.clips) for each in parts)])
    readings = [each for each in first.given if all(each in other.given for other in parts)]
    return JudgedHead(
        first.name,
        first.classes,
        tuple(clip for each in parts for clip in each.clips),
        np.concatenate([each.truth for each in parts]),
        {reading: np.concatenate([each.given[reading] for each in parts]) for reading in readings},
        {
            reading: np.concatenate([each.owners[reading] + at for each, at in zip(parts, starts, strict=False)])
            for reading in readings
        },
        {
            name: np.concatenate([each.guesses[name] for each in parts])
            for name in first.guesses
            if all(name in each.guesses for each in parts)
        },
    )
