"""A histogram that widens as it meets larger values, so that one pass in bounded memory is enough."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINS", "RunningHistogram"]

BINS: Final = 4096


class RunningHistogram:
    """Counts of values over [-reach, reach) in `BINS` equal bins; `reach` doubles when a value lies outside.

    Attributes:
        counts: (BINS,) int64.
        reach: half the width, a power of two times the first batch's largest magnitude; 0 while all values are 0.
        low, high: the smallest and largest value met.
        total: number of values.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.reach = 0.0
        self.low = np.inf
        self.high = -np.inf
        self.total = 0

    def add(self, values: NDArray[Any]) -> None:
        """Count values of any shape; raise FloatingPointError, nothing counted, when one is not finite."""
        flat = np.asarray(values, np.float32).reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise FloatingPointError("values that are not finite can't be counted")
        self.low, self.high = min(self.low, low), max(self.high, high)
        largest = max(-low, high)
        if self.reach == 0.0:
            # All zeros say nothing about scale yet: they are counted once a scale is known.
            if largest == 0.0:
                self.total += flat.size
                return
            self.reach = largest * 1.0001
            self.counts[BINS // 2] = self.total
        while largest >= self.reach:
            self._double()
        # In place, and multiplied instead of divided: this runs over a million activations a crop.
        scaled = flat * np.float32(BINS / 2 / self.reach)
        scaled += np.float32(BINS / 2)
        bins = scaled.astype(np.int32)
        np.clip(bins, 0, BINS - 1, out=bins)
        self.counts += np.bincount(bins, minlength=BINS)
        self.total += flat.size

    def _double(self) -> None:
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.zeros(BINS, np.int64)
        self.counts[BINS // 4 : BINS * 3 // 4] = merged
        self.reach *= 2.0

    @property
    def edges(self) -> NDArray[np.float64]:
        """The BINS + 1 edges."""
        return np.linspace(-self.reach, self.reach, BINS + 1)

    @property
    def dead(self) -> bool:
        """Whether every value met was the same, so that a range has no width."""
        return self.low >= self.high

    @property
    def mean_square(self) -> float:
        """Mean of the squared values, in squared units of the tensor; each bin counts as its middle, zeros as zeros."""
        middles = (self.edges[1:] + self.edges[:-1]) / 2
        middles[BINS // 2] = 0.0
        return float(np.square(middles) @ self.counts) / max(self.total, 1)

    def share_outside(self, low: float, high: float) -> float:
        """Share of the values in bins that lie wholly outside of (low, high)."""
        edges = self.edges
        outside = self.counts[(edges[1:] < low) | (edges[:-1] > high)].sum()
        return float(outside) / max(self.total, 1)

    @property
    def state(self) -> tuple[NDArray[np.int64], tuple[float, float, float, int]]:
        """Counts, and reach, low, high and total: all there is to it, for `restored`."""
        return self.counts, (self.reach, self.low, self.high, self.total)

    @classmethod
    def restored(cls, counts: NDArray[np.int64], scalars: tuple[float, float, float, int]) -> RunningHistogram:
        """Make one from its `state`; raise ValueError when that can't be the state of a histogram that has counted."""
        made = cls()
        made.counts = np.array(counts)
        made.reach, made.low, made.high, made.total = scalars
        sane = (
            counts.shape == (BINS,)
            and counts.dtype == np.int64
            and bool((counts >= 0).all())
            and made.low <= made.high
            and max(-made.low, made.high) <= made.reach < math.inf
            and made.total > 0
            and int(counts.sum()) == (made.total if made.reach else 0)
        )
        if not sane:
            raise ValueError("not the state of a histogram")
        return made
