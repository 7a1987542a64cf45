"""The nine outputs of EMERT and the seven protocols they are scored by.

A head is one output of the network: class logits or one value. A protocol is one row of the paper's tables; valence and
arousal share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from emer_edge.errors import ConfigurationError
from emer_edge.spec.labels import AROUSAL_RANGE, EMOTIONS, INTENSITY_RANGE, POLARITIES, VALENCE_RANGE, View

__all__ = ["HEADS", "PROTOCOLS", "ClassHead", "Head", "Protocol", "ValueHead", "head", "protocols_of"]


@dataclass(frozen=True)
class ClassHead:
    """A head of class logits.

    Attributes:
        name: `er-7`, `er-3`, `fer-7` or `fer-3`.
        view: whose emotion it names, `er` or `fer`.
        classes: class names in output order.
    """

    name: str
    view: View
    classes: tuple[str, ...]
    kind: Literal["class"] = "class"

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.classes)


@dataclass(frozen=True)
class ValueHead:
    """A head of one value.

    Attributes:
        name: for example `er-valence`.
        view: `er` or `fer`.
        target: `valence`, `arousal` or `intensity`.
        low, high: range of the label.
    """

    name: str
    view: View
    target: Literal["valence", "arousal", "intensity"]
    low: float
    high: float
    kind: Literal["value"] = "value"

    @property
    def width(self) -> int:
        """Number of outputs."""
        return 1


Head = ClassHead | ValueHead

HEADS: Final[dict[str, Head]] = {
    each.name: each
    for each in (
        ClassHead("er-7", "er", EMOTIONS),
        ClassHead("er-3", "er", POLARITIES),
        ValueHead("er-valence", "er", "valence", *VALENCE_RANGE),
        ValueHead("er-arousal", "er", "arousal", *AROUSAL_RANGE),
        ClassHead("fer-7", "fer", EMOTIONS),
        ClassHead("fer-3", "fer", POLARITIES),
        ValueHead("fer-valence", "fer", "valence", *VALENCE_RANGE),
        ValueHead("fer-arousal", "fer", "arousal", *AROUSAL_RANGE),
        ValueHead("fer-intensity", "fer", "intensity", *INTENSITY_RANGE),
    )
}


@dataclass(frozen=True)
class Protocol:
    """One of the seven protocols of the paper.

    Attributes:
        name: for example `ER-7`.
        heads: names of the heads it scores (two for valence and arousal, one otherwise).
    """

    name: str
    heads: tuple[str, ...]


PROTOCOLS: Final = (
    Protocol("ER-7", ("er-7",)),
    Protocol("ER-3", ("er-3",)),
    Protocol("ER-VA", ("er-valence", "er-arousal")),
    Protocol("FER-7", ("fer-7",)),
    Protocol("FER-3", ("fer-3",)),
    Protocol("FER-VA", ("fer-valence", "fer-arousal")),
    Protocol("FER-intensity", ("fer-intensity",)),
)


def head(name: str) -> Head:
    """Return the head of that name; raise ConfigurationError naming the nine that exist."""
    try:
        return HEADS[name]
    except KeyError:
        raise ConfigurationError(f"no head is called {name!r}; the heads are {', '.join(HEADS)}") from None


def protocols_of(heads: tuple[str, ...]) -> tuple[Protocol, ...]:
    """Return the protocols whose every head is among `heads`, in the paper's order."""
    return tuple(each for each in PROTOCOLS if set(each.heads) <= set(heads))
