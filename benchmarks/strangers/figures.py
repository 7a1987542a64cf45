"""From windows, and what the judge says of their crops, to figures with intervals over people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.reading import Reading, Window
from emer_edge.core.heads import EMOTIONS
from emer_edge.metrics.intervals import Interval, bootstrap, grouped
from emer_edge.metrics.prediction_metrics import confusion

SURE: Final = 0.5
"""The judge is sure where one emotion has more than half of its probability; what it is unsure of is counted apart."""
_SMILE: Final = EMOTIONS.index("happiness")


@dataclass(frozen=True, eq=False)
class Items:
    """Windows or clips, n of them.

    Attributes:
        person: (n,) whose.
        judge: (n,) class that the judge sees, of `EMOTIONS`.
        sure: (n,) whether it is sure.
        product: (n,) class that the product reads.
        quiet: (n,) whether the guard is.
    """

    person: NDArray[np.int64]
    judge: NDArray[np.int64]
    sure: NDArray[np.bool_]
    product: NDArray[np.int64]
    quiet: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        readings: Sequence[Reading],
        judged: Sequence[NDArray[np.float64]],
        pick: Callable[[Reading], Sequence[Window]],
    ) -> Items:
        """Those windows of each reading that `pick` takes; the judge's word on one is its mean over the crops in it."""
        rows = []
        for reading, probabilities in zip(readings, judged, strict=True):
            for window in pick(reading):
                if window.crops:
                    mean = probabilities[list(window.crops)].mean(axis=0)
                    top = mean.argmax(), mean.max() > SURE * mean.sum(), window.shown.argmax(), window.quiet
                    rows.append((reading.shown.person, *top))
        columns = list(map(np.array, zip(*rows, strict=True)))
        return cls(*(column.astype(kind) for column, kind in zip(columns, (int, int, bool, int, bool), strict=True)))

    def only(self, kept: NDArray[np.bool_]) -> Items:
        """Some of them."""
        return Items(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,) whether product and judge say the same."""
        return self.judge == self.product


def figures_of(items: Items) -> dict[str, Interval]:
    """All figures of windows or clips; `by person` weighs people alike, however many clips they have."""
    weights = np.ones(len(items.person))
    for members in grouped(items.person.tolist()).values():
        weights[members] = 1 / len(members)
    right = items.only(items.right)
    by_person = weights[items.right]
    return {
        "smile balanced accuracy": _smile(items, np.ones(len(weights))),
        "smile balanced accuracy, by person": _smile(items, weights),
        "seven classes": _share(items.person, items.right, np.ones(len(weights))),
        "seven classes, by person": _share(items.person, items.right, weights),
        "guard quiet on what is right": _share(right.person, right.quiet, np.ones(len(by_person))),
        "guard quiet on what is right, by person": _share(right.person, right.quiet, by_person),
        "guard quiet on all": _share(items.person, items.quiet, np.ones(len(weights))),
    }


def agreement(items: Items) -> dict[str, dict[str, int]]:
    """Judge's class -> product's class -> how many; classes that the judge never sees are left out."""
    table = confusion(items.judge, items.product, len(EMOTIONS))
    return {
        EMOTIONS[row]: {EMOTIONS[column]: int(count) for column, count in enumerate(table[row]) if count}
        for row in range(len(EMOTIONS))
        if table[row].any()
    }


def plain(figures: dict[str, Interval]) -> dict[str, Any]:
    """Figures for JSON, four digits; null where a figure or its interval is undefined."""
    return {
        name: {key: _rounded(value) for key, value in asdict(interval).items()} for name, interval in figures.items()
    }


def counts(items: Items) -> dict[str, int]:
    """How many people, items and smiles there are, and how many the judge is unsure of."""
    return {
        "people": len(Counter(items.person.tolist())),
        "items": len(items.person),
        "smiles": int((items.judge == _SMILE).sum()),
        "unsure": int((~items.sure).sum()),
    }


def _smile(items: Items, weights: NDArray[np.float64]) -> Interval:
    """Mean of the shares of smiles and of other faces that are read as such."""
    truth, given = items.judge == _SMILE, items.product == _SMILE

    def balanced(true: NDArray[Any], said: NDArray[Any], weight: NDArray[Any]) -> float:
        shares = [
            float(weight[(true == each) & (said == each)].sum() / total)
            if (total := weight[true == each].sum())
            else np.nan
            for each in (True, False)
        ]
        return float(np.mean(shares))

    return _interval(balanced, items.person, truth, given, weights)


def _share(person: NDArray[np.int64], hit: NDArray[np.bool_], weights: NDArray[np.float64]) -> Interval:
    return _interval(lambda yes, weight: float(weight[yes].sum() / weight.sum()), person, hit, weights)


def _interval(metric: Callable[..., float], person: NDArray[np.int64], *arrays: NDArray[Any]) -> Interval:
    return bootstrap(metric, person.tolist(), *arrays) if len(person) else Interval(np.nan, np.nan, np.nan, 0)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
