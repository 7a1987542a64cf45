"""Where the eyes point: fixations and saccades on a film, 120 times a second, without noise or losses.

Saccades follow the main sequence, duration = 2.2 ms/deg x amplitude + 21 ms (Carpenter, "Movements of the Eyes", 1988),
with a minimum-jerk course, whose peak velocity is 1.875 times the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.spec.columns import MovementType

__all__ = ["Scanpath", "film_luminance", "film_target_px", "scan"]

Floats = NDArray[np.float64]

_MS_PER_DEGREE: Final = 2.2
_SHORTEST_MS: Final = 21.0


@dataclass(frozen=True)
class Scanpath:
    """A gaze path.

    Attributes:
        point_px: (n, 2) where the eyes point, display pixels.
        movement: (n,) `MovementType` of each sample: fixation or saccade.
    """

    point_px: Floats
    movement: NDArray[np.int64]


def film_luminance(number: int, times_s: Floats) -> Floats:
    """Return the mean luminance of a film, 0 to 1: steps at its cuts and a slow wave. Same for every viewer."""
    rng = np.random.default_rng([77, number])
    cuts = np.cumsum(rng.uniform(1.5, 4.5, 400))
    level = rng.uniform(0.25, 0.75, 401)
    wave = 0.08 * np.sin(2 * np.pi * times_s / rng.uniform(4, 9) + rng.uniform(0, 6))
    luminance: Floats = np.clip(level[np.searchsorted(cuts, times_s)] + wave, 0.0, 1.0)
    return luminance


def film_target_px(number: int, times_s: Floats, size_px: tuple[int, int]) -> Floats:
    """Return (n, 2) where a film draws the gaze: a point that jumps at its cuts. Same for every viewer."""
    rng = np.random.default_rng([78, number])
    cuts = np.cumsum(rng.uniform(1.5, 4.5, 400))
    places = rng.normal(0, (0.075, 0.055), (401, 2)) * (1.0, 16 / 9)
    target: Floats = (0.5 + places[np.searchsorted(cuts, times_s)]) * size_px
    return target


def scan(
    target_px: Floats,
    spread_px: Floats,
    fixation_ms: Floats,
    px_per_degree: float,
    rate_hz: float,
    rng: np.random.Generator,
) -> Scanpath:
    """Walk over a display.

    Args:
        target_px: (n, 2) centre of interest at each sample.
        spread_px: (n,) standard deviation of fixations around it.
        fixation_ms: (n,) median duration of a fixation that starts there.
        px_per_degree: pixels of a degree of visual angle.
        rate_hz: samples a second.
        rng: source of chance.
    """
    count = len(target_px)
    point = np.empty((count, 2))
    movement = np.full(count, int(MovementType.FIXATION), np.int64)
    here = target_px[0] + rng.normal(0, 1, 2) * spread_px[0] * (1.0, 0.6)
    at = 0
    while at < count:
        lasting_ms = max(90.0, fixation_ms[at] * float(np.exp(rng.normal(0, 0.35))))
        stop = min(count, at + max(2, round(lasting_ms * 1e-3 * rate_hz)))
        point[at:stop] = here
        if stop == count:
            break
        there = target_px[stop] + rng.normal(0, 1, 2) * spread_px[stop] * (1.0, 0.6)
        degrees = float(np.hypot(*(there - here))) / px_per_degree
        lasting = max(2, round((_MS_PER_DEGREE * degrees + _SHORTEST_MS) * 1e-3 * rate_hz))
        end = min(count, stop + lasting)
        phase = (np.arange(stop, end) - stop + 1) / (lasting + 1)
        course = phase**3 * (10 - 15 * phase + 6 * phase**2)
        point[stop:end] = here + course[:, None] * (there - here)
        movement[stop:end] = int(MovementType.SACCADE)
        here, at = there, end
    return Scanpath(point, movement)
