"""What moved since an older report."""

from __future__ import annotations

from typing import Literal

from emer_edge.bench.records.base import Record

__all__ = ["Comparison", "Moved"]


class Moved(Record, frozen=True):
    """One figure, then and now.

    Attributes:
        bundle: whose.
        figure: for example `latency/live step/p50_ms` or `accuracy/fold 1/er-7/war`.
        old, new: then and now.
        change: (new - old) / |old|.
        verdict: `worse` or `better` by more than the limit, else `same`; `unjudged` where noise alone could do it: a
            tail percentile of too few measurements, a calibration error.
    """

    bundle: str
    figure: str
    old: float
    new: float
    change: float
    verdict: Literal["same", "better", "worse", "unjudged"]


class Comparison(Record, frozen=True):
    """This report against an older one.

    Attributes:
        path: the older report.
        created: when it was made.
        max_regression: by how much a figure may be worse.
        figures: every figure that both have and that can be compared.
        incomparable: what can't be compared, and why.
    """

    path: str
    created: str
    max_regression: float
    figures: tuple[Moved, ...]
    incomparable: tuple[str, ...] = ()

    @property
    def worse(self) -> tuple[Moved, ...]:
        """The figures that got worse by more than the limit."""
        return tuple(each for each in self.figures if each.verdict == "worse")
