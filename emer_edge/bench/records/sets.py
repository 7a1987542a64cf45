"""What several bundles say together: five folds as one set, and precisions side by side."""

from __future__ import annotations

import msgspec

from emer_edge.bench.records.accuracy import HeadAccuracy
from emer_edge.bench.records.base import Estimated, Record
from emer_edge.bench.records.gap import GapAccuracy

__all__ = ["FoldSet", "FoldSpread", "PairedSets"]


class FoldSpread(Record, frozen=True):
    """One figure over the folds of a set.

    Attributes:
        values: one a bundle, in the order of `FoldSet.folds`.
        mean: their mean.
        sd: their standard deviation with n - 1; None for one.
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None


class FoldSet(Record, frozen=True):
    """Bundles of one precision, each on a fold of its own.

    Attributes:
        name: the precision that export was asked for (`fp32`, `fp16`, `int8`, `auto`); a second set of the same
            precision is `int8 2`.
        bundles: their names, in the order of the folds.
        folds: ascending.
        clips, participants: of all folds.
        spread: `<head>/<reading>/<metric>` -> spread over the folds; readings are `newest`, those of
            `HeadAccuracy.readings` and `published_batch`. `gap/auroc`, too.
        pooled: head -> figures over the clips of all folds, each scored by the bundle that has not seen it;
            participants drawn across folds.
        gap: over the clips of all folds.
    """

    name: str
    bundles: tuple[str, ...]
    folds: tuple[int, ...]
    clips: int
    participants: int
    spread: dict[str, FoldSpread]
    pooled: dict[str, HeadAccuracy] = msgspec.field(default_factory=dict)
    gap: GapAccuracy | None = None


class PairedSets(Record, frozen=True):
    """Two sets on the clips that both scored, newest-in-slot.

    Attributes:
        first, second: names of the sets.
        head: what is compared; `gap` for the gap, whose figure is its `auroc`.
        clips, participants: that both scored.
        both, only_first, only_second, neither: clips that were named right; 0 for a value head and the gap.
        mcnemar_p: exact two-sided McNemar test of `only_first` against `only_second`; None for these. Clips of a
            person are not independent, so this describes and does not test.
        change: metric -> the second's figure minus the first's, interval paired over participants.
    """

    first: str
    second: str
    head: str
    clips: int
    participants: int
    both: int
    only_first: int
    only_second: int
    neither: int
    mcnemar_p: float | None
    change: dict[str, Estimated]
