"""The label targets of EMER: seven emotions, three polarities, valence, arousal and expression intensity.

Orders are this project's own: EMER's integer codes are unpublished, so a reader maps a data set's codes to these names
(see `emer_edge.data.labels`). Ranges are those of the paper (arXiv 2512.16485).
"""

from __future__ import annotations

from typing import Final, Literal

__all__ = [
    "AROUSAL_RANGE",
    "EMOTIONS",
    "INTENSITY_RANGE",
    "POLARITIES",
    "POLARITY_OF_EMOTION",
    "VALENCE_RANGE",
    "View",
]

View = Literal["er", "fer"]
"""`er`: what the person feels. `fer`: what the face shows."""

EMOTIONS: Final = ("happiness", "sadness", "fear", "surprise", "disgust", "anger", "neutral")
POLARITIES: Final = ("positive", "negative", "neutral")

# Surprise counts as positive in both published examples of it.
POLARITY_OF_EMOTION: Final = {
    "happiness": "positive",
    "sadness": "negative",
    "fear": "negative",
    "surprise": "positive",
    "disgust": "negative",
    "anger": "negative",
    "neutral": "neutral",
}

VALENCE_RANGE: Final = (-1.0, 1.0)
AROUSAL_RANGE: Final = (-1.0, 1.0)
INTENSITY_RANGE: Final = (0.0, 3.0)
