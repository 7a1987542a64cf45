"""Gaze paths without noise or losses, and the effect of felt emotions on the eyes.

Saccades follow the main sequence, duration = 2.2 ms/deg x amplitude + 21 ms (Carpenter, "Movements of the Eyes", 1988),
with a minimum-jerk course, whose peak velocity is 1.875 times the mean.

Arousal dilates the pupil (Bradley et al., 2008); emotions also shift, narrow or widen the gaze, change the length of
fixations, and make people lean in or back. The effect sizes are invented, so that a few hundred clips are enough to
learn them: synthetic data shows that a pipeline uses the eyes, not how people behave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import MovementType
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import EMOTIONS

Floats = NDArray[np.float64]

_MS_PER_DEGREE: Final = 2.2
_SHORTEST_MS: Final = 21.0


def film_luminance(number: int, times_s: Floats) -> Floats:
    """Mean luminance of a film, 0 to 1: steps at its cuts and a slow wave. Same for every viewer."""
    rng = np.random.default_rng([77, number])
    cuts = np.cumsum(rng.uniform(1.5, 4.5, 400))
    level = rng.uniform(0.25, 0.75, 401)
    wave = 0.08 * np.sin(2 * np.pi * times_s / rng.uniform(4, 9) + rng.uniform(0, 6))
    return np.asarray(np.clip(level[np.searchsorted(cuts, times_s)] + wave, 0.0, 1.0))


def film_target_px(number: int, times_s: Floats, size_px: tuple[int, int]) -> Floats:
    """(n, 2) gaze target of a film: a point that jumps at its cuts. Same for every viewer."""
    rng = np.random.default_rng([78, number])
    cuts = np.cumsum(rng.uniform(1.5, 4.5, 400))
    places = rng.normal(0, (0.075, 0.055), (401, 2)) * (1.0, 16 / 9)
    return np.asarray((0.5 + places[np.searchsorted(cuts, times_s)]) * size_px)


def scan(
    target_px: Floats,
    spread_px: Floats,
    fixation_ms: Floats,
    px_per_degree: float,
    rate_hz: float,
    rng: np.random.Generator,
) -> tuple[Floats, NDArray[np.int64]]:
    """Walk over a display: (n, 2) where the eyes point, px, and the (n,) `MovementType`, fixation or saccade.

    Args:
        target_px: (n, 2) centre of interest at each sample.
        spread_px: (n,) standard deviation of fixations around it.
        fixation_ms: (n,) median duration of a fixation that starts there.
        px_per_degree: of visual angle.
        rate_hz: samples per second.
        rng: random numbers.
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
    return point, movement


@dataclass(frozen=True)
class Feeling:
    """One of `EMOTIONS`, felt from `start_s` on, with strength 0.6 to 1.2."""

    start_s: float
    emotion: str
    strength: float = 1.0


# Dilation mm, shift right px, shift down px, log spread, log fixation length, lean back mm; at strength 1.
_SIGNATURES: Final[dict[str, tuple[float, ...]]] = {
    "happiness": (0.30, -10, -165, 0.0, 0.0, -32),
    "surprise": (0.42, 10, -165, -0.05, -0.1, -32),
    "sadness": (-0.05, 0, 160, -0.1, 0.35, 5),
    "neutral": (-0.10, 20, 135, 0.0, 0.2, 0),
    "fear": (0.48, 90, 10, 0.45, -0.3, 50),
    "disgust": (0.32, 135, 10, 0.35, -0.2, 50),
    "anger": (0.40, -150, 0, -0.7, 0.25, -50),
}
_VARIATION: Final = (0.10, 60, 60, 0.22, 0.16, 14)  # standard deviation over clips
_BUILD_UP_S: Final = (1.2, 0.4, 0.4, 0.2, 0.2, 1.2)  # time constants


def course(
    feelings: Sequence[Feeling], latency_s: float, times_s: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """The effect of feelings, in order of time, at (n,) times.

    Returns:
        (n,) dilation of the pupil, mm; (n, 2) shift of the gaze right and down, px; (n,) factors on the spread and the
        length of fixations; (n,) change of the eyes' distance from the display, mm.

    Raises:
        ConfigurationError: no feeling, or an unknown emotion.
    """
    unknown = [feeling.emotion for feeling in feelings if feeling.emotion not in EMOTIONS]
    if unknown or not feelings:
        raise ConfigurationError(
            f"can't feel {', '.join(unknown) or 'nothing'}; the emotions are {', '.join(EMOTIONS)}"
        )
    build_up = np.array(_BUILD_UP_S)
    level = np.zeros((len(times_s), len(build_up)))
    before = np.zeros(len(build_up))
    for feeling in feelings:
        target = np.array(_SIGNATURES[feeling.emotion]) * feeling.strength + rng.normal(0, 1, 6) * _VARIATION
        since = times_s - feeling.start_s - latency_s
        reached = 1.0 - np.exp(-np.maximum(since, 0.0)[:, None] / build_up)
        begun = since >= 0
        level[begun] = (before + reached * (target - before))[begun]
        before = target
    return level[:, 0], level[:, 1:3], np.exp(level[:, 3]), np.exp(level[:, 4]), level[:, 5]
