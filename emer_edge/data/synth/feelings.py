"""What felt emotions do to the eyes, and how it builds up over time.

Arousal dilates the pupil (Bradley et al., 2008); emotions also shift, narrow or widen the gaze, change the length of
fixations, and make people lean in or back. The sizes are this project's own, chosen so that they can be learnt from a
few hundred clips: synthetic data shows that a pipeline uses the eyes, not how people behave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import ConfigurationError
from emer_edge.spec.labels import EMOTIONS

__all__ = ["EyeCourse", "Feeling", "course"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Feeling:
    """An emotion felt from some second on.

    Attributes:
        start_s: when it begins.
        emotion: one of `EMOTIONS`.
        strength: 0.6 to 1.2.
    """

    start_s: float
    emotion: str
    strength: float = 1.0


@dataclass(frozen=True)
class EyeCourse:
    """What feelings do to the eyes, sample by sample.

    Attributes:
        pupil_mm: (n,) dilation.
        shift_px: (n, 2) shift of the gaze, right and down.
        spread: (n,) factor on the spread of fixations.
        fixation: (n,) factor on the length of fixations.
        lean_mm: (n,) change of the eyes' distance from the display.
    """

    pupil_mm: Floats
    shift_px: Floats
    spread: Floats
    fixation: Floats
    lean_mm: Floats


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
_VARIATION: Final = (0.10, 60, 60, 0.22, 0.16, 14)  # from clip to clip, whatever is felt
# Seconds until two thirds of each are there.
_BUILD_UP_S: Final = (1.2, 0.4, 0.4, 0.2, 0.2, 1.2)


def course(feelings: Sequence[Feeling], latency_s: float, times_s: Floats, rng: np.random.Generator) -> EyeCourse:
    """Turn feelings into what they do to the eyes.

    Args:
        feelings: in order of time, the first from second 0 on.
        latency_s: the participant's delay.
        times_s: (n,) times of the samples.
        rng: source of the variation from clip to clip.

    Raises:
        ConfigurationError: no feeling, or an unknown emotion.
    """
    unknown = [each.emotion for each in feelings if each.emotion not in EMOTIONS]
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
    return EyeCourse(level[:, 0], level[:, 1:3], np.exp(level[:, 3]), np.exp(level[:, 4]), level[:, 5])
