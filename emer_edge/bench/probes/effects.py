"""Figures of a network on changed input, beside those of the same clips untouched."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.judged import truth_of
from emer_edge.bench.records import Estimated
from emer_edge.bench.records.probe_records import Effect, Effects
from emer_edge.bundle.manifest import BundledHead
from emer_edge.data.dataset import Clip
from emer_edge.metrics import RESAMPLES
from emer_edge.metrics.intervals import paired_mean, paired_recalls
from emer_edge.metrics.prediction_metrics import uar

Outputs = dict[str, NDArray[np.float32]]
"""Head -> (n, C) probabilities or (n, 1) values."""
Fuse = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]], Outputs]
"""Embeddings (n, 8, width), eye (n, 32, 39), gaze (n, 32, 2) -> outputs, as `Session.fuse`."""
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Target:
    """What one head should say about the clips that are labelled for it.

    Attributes:
        name: the head.
        classes: class names in the bundle's order; empty for a value head.
        rows: (m,) int64, ascending indices of these clips.
        truth: (m,) class indices in the bundle's order, or values.
    """

    name: str
    classes: tuple[str, ...]
    rows: Indices
    truth: Floats

    def among(self, chosen: Indices) -> Target:
        """The same for some clips only, by their indices."""
        kept = np.isin(self.rows, chosen)
        return Target(self.name, self.classes, self.rows[kept], self.truth[kept])

    def marks(self, outputs: NDArray[np.float32]) -> Floats:
        """(m,) 1 where (n, C) outputs hit the class, else 0; absolute errors of (n, 1) values."""
        given = outputs[self.rows]
        if self.classes:
            return np.asarray(given.argmax(axis=1) == self.truth, np.float64)
        return np.abs(given[:, 0].astype(np.float64) - self.truth)

    def figures(self, outputs: NDArray[np.float32]) -> dict[str, float]:
        """Metric -> figure; UAR needs no more than the hits."""
        marks = self.marks(outputs)
        if not self.classes:
            return {"mae": float(marks.mean())}
        missed = (self.truth + 1) % len(self.classes)
        return {"war": float(marks.mean()), "uar": uar(self.truth, np.where(marks > 0, self.truth, missed))}


def targets_of(heads: Sequence[BundledHead | Target], clips: Sequence[Clip]) -> tuple[Target, ...]:
    """What each head should say, heads that no clip is labelled for left out.

    Raises:
        DataError: a label is a class that the bundle lacks.
    """
    targets = []
    for head in heads:
        rows = np.array([at for at, clip in enumerate(clips) if head.name in clip.labels], np.int64)
        if len(rows):
            truth = truth_of(head.name, head.classes, [clips[at] for at in rows])
            targets.append(Target(head.name, head.classes, rows, truth.astype(np.float64)))
    return tuple(targets)


@dataclass(frozen=True, eq=False)
class Judge:
    """Compares outputs with those of the same clips untouched, or of another guess.

    Attributes:
        targets: what each head should say.
        owners: (n,) participant of each clip: intervals are by bootstrap over them.
        resamples, seed: of the bootstrap.
    """

    targets: tuple[Target, ...]
    owners: Sequence[str]
    resamples: int = RESAMPLES
    seed: int = 0

    def effects(self, before: Outputs, after: Sequence[Outputs], chosen: Indices | None = None) -> Effects:
        """Figures after, and their changes.

        Args:
            before: outputs of the clips untouched, head -> (n, C).
            after: outputs of the same clips, one per draw of what was done to them. Figures are means over these draws,
                taken clip by clip, so that the interval is over people alone; `sd` is over the draws.
            chosen: (m,) clips to judge by; all by default.
        """
        effects: Effects = {}
        for whole in self.targets:
            target = whole if chosen is None else whole.among(chosen)
            if not len(target.rows) or any(target.name not in outputs for outputs in (before, *after)):
                continue
            marks = [target.marks(outputs[target.name]) for outputs in after]
            old, new = target.marks(before[target.name]), np.mean(marks, axis=0)
            pairs = {"war" if target.classes else "mae": paired_mean(old, new)}
            if target.classes:
                pairs["uar"] = paired_recalls(target.truth, old, new)
            drawn = [target.figures(outputs[target.name]) for outputs in after]
            owners = [self.owners[at] for at in target.rows]
            effects[target.name] = {
                metric: Effect(
                    value=Estimated.of(pair.after(owners, self.seed, self.resamples)),
                    change=Estimated.of(pair.change(owners, self.seed, self.resamples)),
                    sd=statistics.stdev(figures[metric] for figures in drawn) if len(drawn) > 1 else None,
                )
                for metric, pair in pairs.items()
            }
        return effects
