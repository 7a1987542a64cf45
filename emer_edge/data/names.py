"""What names tell: words for emotions and polarities, and clip names such as `3_film_happy`."""

from __future__ import annotations

from typing import Final

from emer_edge.spec.labels import EMOTIONS, POLARITIES

__all__ = ["describe_clip", "emotion_of", "polarity_of"]

_EMOTION_WORDS: Final = {
    **{name: name for name in EMOTIONS},
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "afraid": "fear",
    "scared": "fear",
    "fearful": "fear",
    "surprised": "surprise",
    "disgusted": "disgust",
    "angry": "anger",
    "calm": "neutral",
}
_POLARITY_WORDS: Final = {**{name: name for name in POLARITIES}, "pos": "positive", "neg": "negative", "neu": "neutral"}


def emotion_of(word: str) -> str | None:
    """The emotion a word stands for, or None."""
    return _EMOTION_WORDS.get(word.strip().lower())


def polarity_of(word: str) -> str | None:
    """The polarity a word stands for, or None."""
    return _POLARITY_WORDS.get(word.strip().lower())


def describe_clip(name: str) -> tuple[str | None, str | None, str | None]:
    """Read `<participant>_<stimulus>_<induced emotion>`, such as `3_film_happy`.

    Returns:
        participant, stimulus and emotion; the first two are None when the name has fewer than two parts, the last where
        no part from the end is a word for an emotion.
    """
    parts = [part for part in name.split("_") if part]
    if len(parts) < 2:
        return None, None, None
    emotion = emotion_of(parts[-1])
    middle = parts[1:-1] if emotion and len(parts) > 2 else parts[1:]
    return parts[0], "_".join(middle), emotion
