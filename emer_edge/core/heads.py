"""The outputs of EMERT and the protocols they are scored by.

A head is one output of the network: class logits or one value. A protocol is one row of the paper's tables; valence and
arousal share one. A protocol is added by one entry of `PROTOCOLS`: the heads, the columns of label files, what training
fits and what bench scores follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast

from emer_edge.core.errors import ConfigurationError

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


@dataclass(frozen=True)
class _Named:
    """What every head has.

    Attributes:
        name: view and target, for example `er-7` or `fer-valence`.
        column: its column in label files that hold both views, for example `ER_Emotion`; files of one view leave the
            view out.
    """

    name: str
    column: str

    @property
    def view(self) -> View:
        """Whose emotion it names, `er` or `fer`."""
        return cast("View", self.name.partition("-")[0])

    @property
    def target(self) -> str:
        """What is named: `7` or `3` classes, `valence`, `arousal` or `intensity`."""
        return self.name.partition("-")[2]


@dataclass(frozen=True)
class ClassHead(_Named):
    """A head of class logits.

    Attributes:
        name, column: see `_Named`.
        classes: class names in output order.
    """

    classes: tuple[str, ...]
    kind: Literal["class"] = "class"

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.classes)


@dataclass(frozen=True)
class ValueHead(_Named):
    """A head of one value.

    Attributes:
        name, column: see `_Named`.
        low, high: range of the label.
    """

    low: float
    high: float
    kind: Literal["value"] = "value"
    width: int = 1


Head = ClassHead | ValueHead


@dataclass(frozen=True)
class Protocol:
    """One of the protocols of the paper.

    Attributes:
        name: for example `ER-7`.
        outputs: the heads it scores (two for valence and arousal, one otherwise).
    """

    name: str
    outputs: tuple[Head, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads it scores."""
        return tuple(each.name for each in self.outputs)


PROTOCOLS: Final = (
    Protocol("ER-7", (ClassHead("er-7", "ER_Emotion", EMOTIONS),)),
    Protocol("ER-3", (ClassHead("er-3", "ER_Polarity", POLARITIES),)),
    Protocol(
        "ER-VA",
        (ValueHead("er-valence", "ER_Valence", *VALENCE_RANGE), ValueHead("er-arousal", "ER_Arousal", *AROUSAL_RANGE)),
    ),
    Protocol("FER-7", (ClassHead("fer-7", "FER_Emotion", EMOTIONS),)),
    Protocol("FER-3", (ClassHead("fer-3", "FER_Polarity", POLARITIES),)),
    Protocol(
        "FER-VA",
        (
            ValueHead("fer-valence", "FER_Valence", *VALENCE_RANGE),
            ValueHead("fer-arousal", "FER_Arousal", *AROUSAL_RANGE),
        ),
    ),
    Protocol("FER-intensity", (ValueHead("fer-intensity", "FER_Intensity", *INTENSITY_RANGE),)),
)

HEADS: Final[dict[str, Head]] = {each.name: each for protocol in PROTOCOLS for each in protocol.outputs}

GAP_HEADS: Final = ("er-7", "fer-7")
"""Felt and shown, whose distributions the gap lies between."""


def head(name: str) -> Head:
    """Return the head of that name; raise ConfigurationError naming those that exist."""
    try:
        return HEADS[name]
    except KeyError:
        raise ConfigurationError(f"no head is called {name!r}; the heads are {', '.join(HEADS)}") from None


def protocols_of(heads: tuple[str, ...]) -> tuple[Protocol, ...]:
    """Return the protocols whose every head is among `heads`, in the paper's order."""
    return tuple(each for each in PROTOCOLS if set(each.heads) <= set(heads))
