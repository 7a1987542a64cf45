"""Eye movements without looking ahead: columns 33 to 39 as a live stream can know them.

Tobii's I-VT filter writes an event's whole duration and centroid on every row of it and counts events over the
recording; a live stream knows neither the end of an event nor the recording's start. The causal rule keeps I-VT's
threshold of 30 degrees a second and its velocity window of 20 ms, looking backwards only, and writes the elapsed
duration, the running centroid and an index counted from the window's start. A row's type is final at once: the only
delay is half the velocity window, 10 ms. Source of the defaults: Olsen, "The Tobii I-VT Fixation Filter" (2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.spec.columns import MovementType

__all__ = ["CAUSAL_RULE", "CausalRule", "MovementClassifier"]


@dataclass(frozen=True)
class CausalRule:
    """Constants of the causal I-VT.

    Attributes:
        saccade_deg_s: rows at or above this angular velocity are saccades.
        velocity_window_ns: span over which the velocity is taken, backwards from the row.
        viewing_distance_mm: used where a tracker gives no eye position.
        mm_per_px: size of a display pixel, used where a tracker gives no gaze direction.
    """

    saccade_deg_s: float = 30.0
    velocity_window_ns: int = 20_000_000
    viewing_distance_mm: float = 650.0
    mm_per_px: float = 527.0 / 1920.0

    @property
    def delay_ns(self) -> int:
        """How far behind the eye the rule runs."""
        return self.velocity_window_ns // 2


CAUSAL_RULE: Final = CausalRule()


class MovementClassifier:
    """Names the movement type of each row as it arrives.

    Feed rows in order of time; each answer depends on the rows of the last 20 ms alone.
    """

    def __init__(self, rule: CausalRule = CAUSAL_RULE) -> None:
        self._rule = rule
        self._recent: list[tuple[int, tuple[float, float, float]]] = []

    def classify(self, row: NDArray[np.float32], time_ns: int, seen: bool) -> MovementType:
        """Return the type of one row.

        Args:
            row: (39,) columns 1 to 32 filled.
            time_ns: the row's time, later than that of any row before it.
            seen: whether any eye was seen.
        """
        if not seen:
            self._recent.clear()
            return MovementType.EYES_NOT_FOUND
        ray = self._direction(row)
        oldest = time_ns - self._rule.velocity_window_ns
        recent = [each for each in self._recent if each[0] >= oldest]
        if not recent and self._recent and time_ns - self._recent[-1][0] <= 3 * self._rule.velocity_window_ns:
            recent = self._recent[-1:]  # slower trackers: the row before is the best there is
        self._recent = [*recent, (time_ns, ray)]
        if not recent:
            return MovementType.UNCLASSIFIED
        since_ns, before = recent[0]
        cosine = sum(a * b for a, b in zip(ray, before, strict=True))
        sine = math.dist(ray, before) / 2.0  # chord: exact for small angles, where acos of a float32 cosine is not
        angle = 2.0 * math.asin(min(1.0, sine)) if cosine > 0 else math.acos(max(-1.0, min(1.0, cosine)))
        velocity_deg_s = math.degrees(angle) / ((time_ns - since_ns) * 1e-9)
        return MovementType.SACCADE if velocity_deg_s >= self._rule.saccade_deg_s else MovementType.FIXATION

    def _direction(self, row: NDArray[np.float32]) -> tuple[float, float, float]:
        values = row[:22].tolist()
        left, right = values[6:9], values[9:12]
        rays = [each for each in (left, right) if any(each)]
        if rays:
            total = [sum(axis) for axis in zip(*rays, strict=True)]
        else:
            distances = [each for each in (values[18], values[21]) if each > 0]
            distance = sum(distances) / len(distances) if distances else self._rule.viewing_distance_mm
            total = [values[0] * self._rule.mm_per_px, values[1] * self._rule.mm_per_px, distance]
        length = math.hypot(*total)
        if length == 0.0 or not math.isfinite(length):
            return (0.0, 0.0, 1.0)
        return (total[0] / length, total[1] / length, total[2] / length)
