"""Who watches what, feels what and shows what: every label of a synthetic data set, decided before anything is drawn.

A clip's shown emotion (FER) comes from a few that its film evokes; the felt one (ER) equals it in about two thirds of
the clips and otherwise hides behind it, as display rules have it (Ekman and Friesen, 1969). How an expression comes and
goes during a clip is decided here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import EMOTIONS

CLIP_SECONDS: Final = 12.0
_FOLDS: Final = 5
_WORDS: Final = dict(zip(EMOTIONS, ("happy", "sad", "fear", "surprise", "disgust", "anger", "neutral"), strict=True))

# What faces show during each film, the induced emotion first. Chosen so that all seven are about equally common.
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
# Feelings that hide behind each face, with weights; a tenth of the hidden feelings follow no rule.
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

# What annotators take a shown emotion for when they err, and how often they do.
_MISTAKEN: Final = {
    "happiness": "neutral", "sadness": "neutral", "fear": "surprise", "surprise": "fear", "disgust": "anger",
    "anger": "disgust", "neutral": "sadness",
}  # fmt: skip
_MISLABELLED: Final = 0.05

VALENCE: Final = dict(zip(EMOTIONS, (0.75, -0.6, -0.55, 0.3, -0.65, -0.75, 0.02), strict=True))
AROUSAL: Final = dict(zip(EMOTIONS, (0.35, -0.4, 0.55, 0.7, 0.3, 0.7, -0.05), strict=True))


@dataclass(frozen=True)
class Film:
    """A stimulus.

    Attributes:
        number: 1 and up.
        induced: the emotion it was chosen to induce.
    """

    number: int
    induced: str

    @property
    def name(self) -> str:
        """Name inside clip names: `film04`."""
        return f"film{self.number:02d}"


@dataclass(frozen=True)
class ClipPlan:
    """Everything that is decided about one clip.

    Attributes:
        participant: 1 and up.
        film: the stimulus.
        fold: 1 to 5.
        felt, shown: the emotions that drive the eyes and the face.
        felt_strength: 0.6 to 1.2.
        shown_strength: share of the prototype expression, 0 to 1.
        leaks: whether a micro expression of the felt emotion appears.
        er_emotion, er_valence, er_arousal: labels of the first view.
        fer_emotion, fer_valence, fer_arousal, fer_intensity: labels of the second.
    """

    participant: int
    film: Film
    fold: int
    felt: str
    shown: str
    felt_strength: float
    shown_strength: float
    leaks: bool
    er_emotion: str
    er_valence: float
    er_arousal: float
    fer_emotion: str
    fer_valence: float
    fer_arousal: float
    fer_intensity: float

    @property
    def name(self) -> str:
        """Name of the clip: participant, stimulus, induced emotion, as in `3_film04_surprise`."""
        return f"{self.participant}_{self.film.name}_{_WORDS[self.film.induced]}"


def film(number: int) -> Film:
    """Return film 1, 2, ...; the ten combinations of induced and shown emotions repeat."""
    return Film(number, _SHOWN[(number - 1) % len(_SHOWN)][0])


def plan_clips(participants: int, clips_per_participant: int, seed: int) -> list[ClipPlan]:
    """Plan a data set.

    Args:
        participants: 5 or more, so that every fold has one.
        clips_per_participant: 1 or more, each of another film.
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
            plans.append(_plan(participant, film(int(number)), fold, rng))
    return plans


def _plan(participant: int, seen: Film, fold: int, rng: np.random.Generator) -> ClipPlan:
    shown = str(rng.choice(_SHOWN[(seen.number - 1) % len(_SHOWN)], p=_SHOWN_WEIGHTS))
    masked = rng.random() < _MASKED.get(shown, _MASKED_OTHERWISE)
    hidden = _hidden_behind(shown, rng)
    felt = hidden if masked else shown
    felt_strength, vigour = rng.uniform(0.6, 1.2), rng.uniform(0.0, 1.0)
    shown_strength = 0.12 * vigour if shown == "neutral" else 0.58 + 0.42 * vigour
    label = _MISTAKEN[shown] if rng.random() < _MISLABELLED else shown
    intensity = 0.3 * vigour if shown == "neutral" else 0.8 + 2.0 * vigour
    noise = rng.normal(0, 1, 5)
    return ClipPlan(
        participant=participant,
        film=seen,
        fold=fold,
        felt=felt,
        shown=shown,
        felt_strength=felt_strength,
        shown_strength=shown_strength,
        leaks=bool(masked and rng.random() < 0.3),
        er_emotion=felt,
        er_valence=_rated(VALENCE[felt] * (0.4 + 0.6 * felt_strength) + 0.1 * noise[0]),
        er_arousal=_rated(AROUSAL[felt] * (0.4 + 0.6 * felt_strength) + 0.1 * noise[1]),
        fer_emotion=label,
        fer_valence=_rated(VALENCE[shown] * (0.5 + 0.5 * vigour) + 0.08 * noise[2]),
        fer_arousal=_rated(AROUSAL[shown] * (0.5 + 0.5 * vigour) + 0.08 * noise[3]),
        fer_intensity=_rated(intensity + 0.12 * noise[4], 0.0, 3.0),
    )


def _hidden_behind(shown: str, rng: np.random.Generator) -> str:
    if rng.random() < _UNRULY:
        return str(rng.choice([each for each in EMOTIONS if each != shown]))
    rule = _HIDDEN[shown]
    return str(rng.choice(list(rule), p=list(rule.values())))


def _rated(value: float, low: float = -1.0, high: float = 1.0) -> float:
    return round(float(np.clip(value, low, high)), 2)


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
