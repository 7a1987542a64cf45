"""The faults of a long run, their times, and their effect on results.

Times of a fault are of the device: from when it stopped giving evidence to when it gave it again. `EFFECTS` says what
that does to the run by its specification: whether items stop or only what they show, and how soon the run has to have
the device back, which follows from the pauses between its tries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["EFFECTS", "KINDS", "OUTPUT_KINDS", "Effect", "Fault", "Planned", "plan"]


@dataclass(frozen=True)
class Effect:
    """What a fault of a sensor does.

    Attributes:
        source: `camera` or `tracker`.
        silent_after_s: items stop coming this long after it began; None: they go on, and show nothing.
        recovery_s: length of the fault in seconds -> seconds after its end by which evidence comes again.
    """

    source: str
    silent_after_s: float | None
    recovery_s: Callable[[float], float]


_OPENING_S: Final = 5.0  # a capture process starts and its first image comes
_NOTICED_S: Final = 1.6  # shorter ones are no reason to open a device again
_AT_ONCE_S: Final = 0.6


def _camera_recovery_s(length_s: float) -> float:
    """Pauses double from 0.25 s to 5 s, so none is longer than the fault has lasted."""
    return _AT_ONCE_S if length_s < _NOTICED_S else min(5.0, length_s + 0.5) + _OPENING_S


def _black_recovery_s(length_s: float) -> float:
    """Pauses double from 2 s to 30 s."""
    return _AT_ONCE_S if length_s < _NOTICED_S else min(30.0, length_s + 4.0) + _OPENING_S


def _tracker_recovery_s(length_s: float) -> float:
    """Pauses double from 0.25 s to 2 s."""
    return min(2.0, length_s + 0.5) + 2.0


EFFECTS: Final[dict[str, Effect]] = {
    "camera unplugged": Effect("camera", 0.0, lambda length_s: min(5.0, length_s + 0.5) + _OPENING_S),
    "camera hangs": Effect("camera", 0.0, _camera_recovery_s),
    "camera freezes": Effect("camera", 0.0, _camera_recovery_s),
    "camera black": Effect("camera", 2.0, _black_recovery_s),
    "tracker unplugged": Effect("tracker", 0.0, _tracker_recovery_s),
    "tracker silent": Effect("tracker", 0.0, lambda _: _AT_ONCE_S),
    "tracker garbage": Effect("tracker", 0.0, lambda _: _AT_ONCE_S),
    "eyes lost": Effect("tracker", None, lambda _: _AT_ONCE_S),
}

OUTPUT_KINDS: Final = ("broker killed", "page visitor vanishes", "page visitor stalls")
"""Faults of what the outputs talk to; no result may show them."""

KINDS: Final = (
    *((effect,) for effect in EFFECTS),
    *((kind,) for kind in OUTPUT_KINDS),
    ("camera unplugged", "tracker unplugged"),
    ("camera hangs", "eyes lost"),
    ("camera black", "tracker silent"),
)
"""Faults that begin and end together."""


@dataclass(frozen=True)
class Fault:
    """One fault as it happened, host monotonic time; `to_ns` is None while it lasts."""

    kind: str
    from_ns: int
    to_ns: int | None = None

    def ended(self, to_ns: int) -> Fault:
        """The same fault, over."""
        return Fault(self.kind, self.from_ns, to_ns)


@dataclass(frozen=True)
class Planned:
    """Faults to come: `kinds` together, `wait_s` after the last ones were over and the run had its devices back."""

    kinds: tuple[str, ...]
    wait_s: float
    length_s: float

    @property
    def recovery_s(self) -> float:
        """How long after its end evidence may still be missing."""
        return max([EFFECTS[kind].recovery_s(self.length_s) for kind in self.kinds if kind in EFFECTS] + [0.0])


def plan(seed: int, window_s: float) -> Callable[[], Planned]:
    """Make the faults of a run: every kind once, in random order, and again; the same seed, the same faults.

    Most come when the run has had its evidence whole again for 8 to 18 s, a quarter within the window that the last one
    has left its mark in.
    """
    random = Random(seed)
    waiting: list[tuple[str, ...]] = []

    def following() -> Planned:
        if not waiting:
            waiting.extend(random.sample(KINDS, len(KINDS)))
        kinds = waiting.pop()
        hurried = random.random() < 0.25
        wait_s = random.uniform(0.5, 5.0) if hurried else window_s + random.uniform(8.0, 18.0)
        return Planned(kinds, wait_s, random.choice((random.uniform(0.4, 2.5), random.uniform(2.5, 9.0))))

    return following
