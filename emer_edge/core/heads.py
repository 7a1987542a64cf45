"""The outputs of EMERT and the protocols that score them.

A head is one output of the network: class logits or one value. A protocol is one row of the paper's tables; valence and
arousal share one. One entry of `PROTOCOLS` adds a protocol: heads, label columns, training and bench follow from it.
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
POLARITY_OF_EMOTION: Final = dict.fromkeys(EMOTIONS, "negative") | {
    "happiness": "positive", "surprise": "positive", "neutral": "neutral"
}  # fmt: skip

AFFECT_RANGE: Final = (-1.0, 1.0)  # of valence and arousal
INTENSITY_RANGE: Final = (0.0, 3.0)


@dataclass(frozen=True)
class _Named:
    """What every head has.

    Attributes:
        name: view and target, for example `er-7` or `fer-valence`.
        column: its column in label files of both views, for example `ER_Emotion`; files of one view omit the view.
    """

    name: str
    column: str

    @property
    def view(self) -> View:
        """`er` or `fer`."""
        return cast("View", self.name.partition("-")[0])

    @property
    def target(self) -> str:
        """`7` or `3` (classes), `valence`, `arousal` or `intensity`."""
        return self.name.partition("-")[2]


@dataclass(frozen=True)
class ClassHead(_Named):
    """A head of class logits, `classes` in output order."""

    classes: tuple[str, ...]
    kind: Literal["class"] = "class"

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.classes)


@dataclass(frozen=True)
class ValueHead(_Named):
    """A head of one value, labelled from `low` to `high`."""

    low: float
    high: float
    kind: Literal["value"] = "value"
    width: int = 1


Head = ClassHead | ValueHead


@dataclass(frozen=True)
class Protocol:
    """A protocol of the paper, for example `ER-7`, and the heads that it scores."""

    name: str
    outputs: tuple[Head, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads."""
        return tuple(head.name for head in self.outputs)


PROTOCOLS: Final = (
    Protocol("ER-7", (ClassHead("er-7", "ER_Emotion", EMOTIONS),)),
    Protocol("ER-3", (ClassHead("er-3", "ER_Polarity", POLARITIES),)),
    Protocol(
        "ER-VA",
        (ValueHead("er-valence", "ER_Valence", *AFFECT_RANGE), ValueHead("er-arousal", "ER_Arousal", *AFFECT_RANGE)),
    ),
    Protocol("FER-7", (ClassHead("fer-7", "FER_Emotion", EMOTIONS),)),
    Protocol("FER-3", (ClassHead("fer-3", "FER_Polarity", POLARITIES),)),
    Protocol(
        "FER-VA",
        (
            ValueHead("fer-valence", "FER_Valence", *AFFECT_RANGE),
            ValueHead("fer-arousal", "FER_Arousal", *AFFECT_RANGE),
        ),
    ),
    Protocol("FER-intensity", (ValueHead("fer-intensity", "FER_Intensity", *INTENSITY_RANGE),)),
)

HEADS: Final[dict[str, Head]] = {head.name: head for protocol in PROTOCOLS for head in protocol.outputs}

GAP_HEADS: Final = ("er-7", "fer-7")
"""Felt and shown: the gap is the distance between their distributions."""


def head(name: str) -> Head:
    """Return the head of that name; ConfigurationError, which lists the heads, if there is none."""
    try:
        return HEADS[name]
    except KeyError:
        raise ConfigurationError(f"no head is called {name!r}; the heads are {', '.join(HEADS)}") from None


def protocols_of(heads: tuple[str, ...]) -> tuple[Protocol, ...]:
    """Return the protocols that have all their heads among `heads`, in the paper's order."""
    return tuple(protocol for protocol in PROTOCOLS if set(protocol.heads) <= set(heads))
