"""How an expression comes and goes during a clip."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["ExpressionCourse"]

_MICRO_S = 0.2  # to either side: micro expressions last less than half a second (Ekman)


@dataclass(frozen=True)
class ExpressionCourse:
    """Onset, rise, apex and slow decay of what is shown, and perhaps a micro expression of what is felt.

    Attributes:
        onset_s: when it starts.
        rise_s: from onset to apex.
        half_life_s: of the decay after the apex.
        micro_s: centre of the micro expression, or None.
    """

    onset_s: float
    rise_s: float
    half_life_s: float
    micro_s: float | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator, length_s: float, leaks: bool) -> ExpressionCourse:
        """Draw the course of a clip of `length_s`; `leaks` gives it a micro expression."""
        micro_s = rng.uniform(0.2, 0.8) * length_s
        return cls(
            onset_s=rng.uniform(0.02, 0.12) * length_s,
            rise_s=rng.uniform(0.4, 1.2),
            half_life_s=rng.uniform(1.0, 4.0) * length_s,
            micro_s=micro_s if leaks else None,
        )

    def shown(self, time_s: float) -> float:
        """Return the strength of the shown expression at a time, 0 to 1."""
        since = time_s - self.onset_s
        if since <= 0:
            return 0.0
        if since < self.rise_s:
            return 0.5 - 0.5 * math.cos(math.pi * since / self.rise_s)
        return float(0.5 ** ((since - self.rise_s) / self.half_life_s))

    def leaked(self, time_s: float) -> float:
        """Return the strength of the micro expression at a time, 0 to 1."""
        return 0.0 if self.micro_s is None else max(0.0, 1.0 - abs(time_s - self.micro_s) / _MICRO_S)
