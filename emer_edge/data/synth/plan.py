"""The plan of a synthetic data set: participants, films, felt and shown emotions, and labels.

A clip's shown emotion (FER) is one of a few that its film evokes; the felt one (ER) equals it in about two thirds of
the clips and otherwise hides behind it, after display rules (Ekman and Friesen, 1969). The time course of expressions
is here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import EMOTIONS, POLARITY_OF_EMOTION

CLIP_SECONDS: Final = 12.0
_FOLDS: Final = 5
_WORDS: Final = dict(zip(EMOTIONS, ("happy", "sad", "fear", "surprise", "disgust", "anger", "neutral"), strict=True))

# Shown emotions of each film, the induced one first; all seven are about equally common.
_SHOWN: Final = (
    ("happiness", "surprise", "neutral"),
    ("sadness", "neutral", "anger"),
    ("fear", "surprise", "disgust"),
    ("surprise", "happiness", "fear"),
    ("disgust", "anger", "happiness"),
    ("anger", "disgust", "sadness"),
    ("neutral", "happiness", "sadness"),
    ("happiness", "surprise", "anger"),
    ("sadness", "fear", "disgust"),
    ("fear", "neutral", "anger"),
)
_SHOWN_WEIGHTS: Final = (0.40, 0.33, 0.27)

_MASKED: Final = {"neutral": 0.38, "happiness": 0.33}
_MASKED_OTHERWISE: Final = 0.28
# Feelings behind each face, with weights; a tenth of the hidden feelings follow no rule.
_HIDDEN: Final[dict[str, dict[str, float]]] = {
    "happiness": {"sadness": 0.4, "anger": 0.3, "fear": 0.3},
    "sadness": {"anger": 0.4, "disgust": 0.3, "happiness": 0.3},
    "fear": {"surprise": 0.4, "sadness": 0.35, "anger": 0.25},
    "surprise": {"fear": 0.4, "anger": 0.3, "neutral": 0.3},
    "disgust": {"happiness": 0.4, "sadness": 0.3, "anger": 0.3},
    "anger": {"sadness": 0.4, "disgust": 0.35, "happiness": 0.25},
    "neutral": {"fear": 0.35, "anger": 0.3, "happiness": 0.35},
}
_UNRULY: Final = 0.1

# Wrong labels of shown emotions, and their share.
_MISTAKEN: Final = {
    "happiness": "neutral", "sadness": "neutral", "fear": "surprise", "surprise": "fear", "disgust": "anger",
    "anger": "disgust", "neutral": "sadness",
}  # fmt: skip
_MISLABELLED: Final = 0.05

_VALENCE: Final = dict(zip(EMOTIONS, (0.75, -0.6, -0.55, 0.3, -0.65, -0.75, 0.02), strict=True))
_AROUSAL: Final = dict(zip(EMOTIONS, (0.35, -0.4, 0.55, 0.7, 0.3, 0.7, -0.05), strict=True))


@dataclass(frozen=True)
class ClipPlan:
    """The plan of one clip.

    Attributes:
        participant, film: numbers from 1.
        fold: 1 to 5.
        felt, shown: the emotions that drive the eyes and the face.
        felt_strength: 0.6 to 1.2.
        shown_strength: share of the prototype expression, 0 to 1.
        leaks: whether a micro expression of the felt emotion appears.
        labels: column of the label file -> word or value, of both views.
    """

    participant: int
    film: int
    fold: int
    felt: str
    shown: str
    felt_strength: float
    shown_strength: float
    leaks: bool
    labels: dict[str, str | float]

    @property
    def name(self) -> str:
        """Name of the clip: participant, stimulus, induced emotion, as in `3_film04_surprise`."""
        return f"{self.participant}_film{self.film:02d}_{_WORDS[_shown_during(self.film)[0]]}"


def _shown_during(film: int) -> tuple[str, ...]:
    """Shown emotions of a film; the ten combinations repeat."""
    return _SHOWN[(film - 1) % len(_SHOWN)]


def plan_clips(participants: int, clips_per_participant: int, seed: int) -> list[ClipPlan]:
    """Plan a data set.

    Args:
        participants: 5 or more, one per fold.
        clips_per_participant: 1 or more, of different films.
        seed: same seed, same plan.

    Raises:
        ConfigurationError: a number out of range.
    """
    if participants < _FOLDS:
        raise ConfigurationError(f"five folds need at least 5 participants, not {participants}")
    if clips_per_participant < 1:
        raise ConfigurationError(f"clips per participant must be 1 or more, not {clips_per_participant}")
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(participants)
    films = max(len(_SHOWN), clips_per_participant)
    plans = []
    for participant in range(1, participants + 1):
        fold = int(order[participant - 1]) % _FOLDS + 1
        for number in sorted(rng.permutation(films)[:clips_per_participant] + 1):
            plans.append(_plan(participant, int(number), fold, rng))
    return plans


def _plan(participant: int, film: int, fold: int, rng: np.random.Generator) -> ClipPlan:
    shown = str(rng.choice(_shown_during(film), p=_SHOWN_WEIGHTS))
    masked = rng.random() < _MASKED.get(shown, _MASKED_OTHERWISE)
    hidden = _hidden_behind(shown, rng)
    felt = hidden if masked else shown
    felt_strength, vigour = rng.uniform(0.6, 1.2), rng.uniform(0.0, 1.0)
    shown_strength = 0.12 * vigour if shown == "neutral" else 0.58 + 0.42 * vigour
    label = _MISTAKEN[shown] if rng.random() < _MISLABELLED else shown
    intensity = 0.3 * vigour if shown == "neutral" else 0.8 + 2.0 * vigour
    noise = rng.normal(0, 1, 5)
    leaks = bool(masked and rng.random() < 0.3)
    labels: dict[str, str | float] = {
        "ER_Emotion": felt,
        "ER_Polarity": POLARITY_OF_EMOTION[felt],
        "ER_Valence": _rated(_VALENCE[felt] * (0.4 + 0.6 * felt_strength) + 0.1 * noise[0]),
        "ER_Arousal": _rated(_AROUSAL[felt] * (0.4 + 0.6 * felt_strength) + 0.1 * noise[1]),
        "FER_Emotion": label,
        "FER_Polarity": POLARITY_OF_EMOTION[label],
        "FER_Valence": _rated(_VALENCE[shown] * (0.5 + 0.5 * vigour) + 0.08 * noise[2]),
        "FER_Arousal": _rated(_AROUSAL[shown] * (0.5 + 0.5 * vigour) + 0.08 * noise[3]),
        "FER_Intensity": _rated(intensity + 0.12 * noise[4], 0.0, 3.0),
    }
    return ClipPlan(
        participant, film, fold, felt,
        shown=shown, felt_strength=felt_strength, shown_strength=shown_strength, leaks=leaks, labels=labels,
    )  # fmt: skip


def _hidden_behind(shown: str, rng: np.random.Generator) -> str:
    if rng.random() < _UNRULY:
        return str(rng.choice([emotion for emotion in EMOTIONS if emotion != shown]))
    rule = _HIDDEN[shown]
    return str(rng.choice(list(rule), p=list(rule.values())))


def _rated(value: float, low: float = -1.0, high: float = 1.0) -> float:
    return round(float(np.clip(value, low, high)), 2)


_MICRO_S = 0.2  # to either side: micro expressions last less than half a second (Ekman)


@dataclass(frozen=True)
class ExpressionCourse:
    """Onset, rise to the apex and decay of the shown expression; centre of a micro expression of the felt one."""

    onset_s: float
    rise_s: float
    half_life_s: float
    micro_s: float | None = None

    @classmethod
    def draw(cls, rng: np.random.Generator, length_s: float, leaks: bool) -> ExpressionCourse:
        """Draw the course of a clip of `length_s`, with a micro expression if it `leaks`."""
        micro_s = rng.uniform(0.2, 0.8) * length_s
        return cls(
            onset_s=rng.uniform(0.02, 0.12) * length_s,
            rise_s=rng.uniform(0.4, 1.2),
            half_life_s=rng.uniform(1.0, 4.0) * length_s,
            micro_s=micro_s if leaks else None,
        )

    def shown(self, time_s: float) -> float:
        """Strength of the shown expression, 0 to 1."""
        since = time_s - self.onset_s
        if since <= 0:
            return 0.0
        if since < self.rise_s:
            return 0.5 - 0.5 * math.cos(math.pi * since / self.rise_s)
        return float(0.5 ** ((since - self.rise_s) / self.half_life_s))

    def leaked(self, time_s: float) -> float:
        """Strength of the micro expression, 0 to 1."""
        return 0.0 if self.micro_s is None else max(0.0, 1.0 - abs(time_s - self.micro_s) / _MICRO_S)
