"""A histogram that widens as it meets larger values, so that one pass in bounded memory is enough."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINS", "RunningHistogram"]

BINS: Final = 4096


class RunningHistogram:
    """Counts of values over [-reach, reach) in `BINS` equal bins; `reach` doubles when a value lies outside.

    Attributes:
        counts: (BINS,) int64.
        reach: half the width, a power of two times the first batch's largest magnitude.
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
        """Count values of any shape; they must be finite."""
        flat = np.asarray(values, np.float32).reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
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
