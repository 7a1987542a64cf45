"""The plan of a synthetic data set: participants, films, felt and shown emotions, and labels.

A clip's shown emotion is one of a few that its film evokes; the felt one (ER) equals it in about two thirds of the
clips and otherwise hides behind it, after display rules (Ekman and Friesen, 1969). The FER labels are not the plan's:
they are what a teacher network sees in the face, on average over the clip, with its doubts. The time course of
expressions is here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import EMOTIONS, POLARITY_OF_EMOTION
from emer_edge.data.labels import SHARE_COLUMNS
from emer_edge.data.synth.faces import face_of, packaged, seen

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

_CLEAR: Final = 0.5
_RARE: Final = {"fear": 4.0, "disgust": 2.0}  # shown more often by the few in whom the teacher sees it
_LEAKS: Final = 0.3  # of the clips
_LOOKS: Final = 16  # of the teacher at a clip, at equal intervals
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
        shown_strength: share of the face's peak, 0 to 1.
        course: of the expression, with a micro expression of the felt emotion in some clips.
        labels: column of the label file -> word or value, of both views.
    """

    participant: int
    film: int
    fold: int
    felt: str
    shown: str
    felt_strength: float
    shown_strength: float
    course: ExpressionCourse
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
    faces = min(participants, len(packaged().points))
    order = rng.permutation(faces)
    films = max(len(_SHOWN), clips_per_participant)
    plans = []
    for participant in range(1, participants + 1):
        fold = int(order[(participant - 1) % faces]) % _FOLDS + 1  # people with one face share a fold
        for number in sorted(rng.permutation(films)[:clips_per_participant] + 1):
            plans.append(_plan(participant, int(number), fold, seed, rng=rng))
    return plans


def _plan(participant: int, film: int, fold: int, seed: int, *, rng: np.random.Generator) -> ClipPlan:
    face = face_of(seed, participant)
    shown = str(rng.choice(_shown_during(film), p=_shares_of_shown(face, film)))
    felt_strength, vigour = rng.uniform(0.6, 1.2), rng.uniform(0.0, 1.0)
    shown_strength = 0.12 * vigour if shown == "neutral" else 0.75 + 0.25 * vigour
    course = ExpressionCourse.draw(rng, CLIP_SECONDS, leaks=bool(rng.random() < _LEAKS))
    times_s = (np.arange(_LOOKS) + 0.5) * CLIP_SECONDS / _LOOKS
    looks = [seen(face, shown, shown_strength * course.shown(time_s)) for time_s in times_s.tolist()]
    sight = dict(zip(EMOTIONS, np.mean(looks, axis=0).tolist(), strict=True))
    label = max(sight, key=lambda emotion: sight[emotion])
    masked = rng.random() < _MASKED.get(label, _MASKED_OTHERWISE)
    hidden, noise = _hidden_behind(label, rng), rng.normal(0, 1, 5)
    felt = hidden if masked else label
    valence, arousal = (sum(sight[each] * of[each] for each in EMOTIONS) for of in (_VALENCE, _AROUSAL))
    intensity = (1.0 - sight["neutral"]) * (0.8 + 2.0 * vigour) + sight["neutral"] * 0.3 * vigour
    labels: dict[str, str | float] = {
        "ER_Emotion": felt,
        "ER_Polarity": POLARITY_OF_EMOTION[felt],
        "ER_Valence": _rated(_VALENCE[felt] * (0.4 + 0.6 * felt_strength) + 0.1 * noise[0]),
        "ER_Arousal": _rated(_AROUSAL[felt] * (0.4 + 0.6 * felt_strength) + 0.1 * noise[1]),
        "FER_Emotion": label,
        "FER_Polarity": POLARITY_OF_EMOTION[label],
        "FER_Valence": _rated(valence * (0.5 + 0.5 * vigour) + 0.08 * noise[2]),
        "FER_Arousal": _rated(arousal * (0.5 + 0.5 * vigour) + 0.08 * noise[3]),
        "FER_Intensity": _rated(intensity + 0.12 * noise[4], 0.0, 3.0),
        **{column: round(sight[emotion], 4) for emotion, column in SHARE_COLUMNS.items()},
    }
    return ClipPlan(
        participant, film, fold, felt,
        shown=shown, felt_strength=felt_strength, shown_strength=shown_strength, course=course, labels=labels,
    )  # fmt: skip


def _shares_of_shown(face: int, film: int) -> NDArray[np.float64]:
    """Of the emotions of a film those count that the teacher can recognise in this face, the rarest of them more."""
    shares = np.array([by * _RARE.get(each, 1.0) for by, each in zip(_SHOWN_WEIGHTS, _shown_during(film), strict=True)])
    peaks = [seen(face, emotion, 1.0)[EMOTIONS.index(emotion)] for emotion in _shown_during(film)]
    clear = np.where(np.array(peaks) >= _CLEAR, shares, 0.0)
    chosen = clear if clear.any() else shares
    return np.asarray(chosen / chosen.sum())


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
            half_life_s=rng.uniform(3.0, 9.0) * length_s,
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
