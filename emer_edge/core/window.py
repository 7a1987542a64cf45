"""The window that EMERT sees and the lattice it moves on.

A window of `length_ns` ending at T has 8 face slots and 32 eye slots of equal length, open at their start and closed at
their end. Windows end on a lattice: every `hop_ns`, a whole fraction of a face slot, so that an encoded face serves
every window that it falls in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import State

NANOSECONDS: Final = 1_000_000_000
UNITS_NS: Final = {"s": NANOSECONDS, "ms": 1_000_000, "us": 1_000, "ns": 1}
FACE_SLOTS: Final = 8
EYE_SLOTS: Final = 32
FACE_SIZE_PX: Final = 112
EYE_COLUMN_COUNT: Final = 39

Pick = Literal["newest", "middle"]

EventsRule = Literal["causal", "causal-2", "published"]
"""How columns 33 to 39 are filled: by the causal rule, by it on rows smoothed against noise, or as sheets have them."""

NEW_RULE: Final[EventsRule] = "causal-2"
"""The rule of new networks and bundles."""

EVENT_CONSTANTS: Final[dict[EventsRule, dict[str, float]]] = {
    "causal": {},
    "causal-2": {"smoothing_longest_ms": 60.0, "smoothing_sigmas": 4.0},
    "published": {},
}
"""Of each rule, what a bundle records: one made with other constants is refused."""


@dataclass(frozen=True)
class WindowSpec:
    """How a window is cut from the two streams.

    Attributes:
        length_ns: length of a window, 12 s by default: an EMER clip.
        hops_per_slot: windows that end inside one face slot; a hop is length / 8 / this.
        pick: which candidate a slot takes, its newest or its middle one.
        min_face_slots, min_eye_slots: covered slots that a result with an emotion needs.

    Raises:
        ConfigurationError: a length that does not divide into whole hops and slots, or a floor out of range.
    """

    length_ns: int = 12 * NANOSECONDS
    hops_per_slot: int = 3
    pick: Pick = "newest"
    min_face_slots: int = 6
    min_eye_slots: int = 24

    def __post_init__(self) -> None:
        if self.hops_per_slot < 1:
            raise ConfigurationError(f"hops per slot must be 1 or more, not {self.hops_per_slot}")
        if self.length_ns <= 0 or self.length_ns % (FACE_SLOTS * self.hops_per_slot) or self.length_ns % EYE_SLOTS:
            raise ConfigurationError(
                f"a window of {self.length_ns} ns does not divide into {FACE_SLOTS} face slots of "
                f"{self.hops_per_slot} hops and {EYE_SLOTS} eye slots; choose whole milliseconds such as 12 s"
            )
        if self.pick not in ("newest", "middle"):
            raise ConfigurationError(f"a slot takes its newest or its middle item, not {self.pick!r}")
        if not 0 < self.min_face_slots <= FACE_SLOTS or not 0 < self.min_eye_slots <= EYE_SLOTS:
            raise ConfigurationError("coverage floors must be in 1..8 face slots and 1..32 eye slots")

    @property
    def face_slot_ns(self) -> int:
        """Length of a face slot."""
        return self.length_ns // FACE_SLOTS

    @property
    def eye_slot_ns(self) -> int:
        """Length of an eye slot."""
        return self.length_ns // EYE_SLOTS

    @property
    def hop_ns(self) -> int:
        """Time between two results."""
        return self.face_slot_ns // self.hops_per_slot

    @property
    def hops(self) -> int:
        """Hops in one window."""
        return FACE_SLOTS * self.hops_per_slot

    def coverage(self, face_slots: int, eye_slots: int) -> State:
        """`ok`, `no_face` or `no_gaze`: whether so many covered slots are enough for an emotion."""
        if face_slots < self.min_face_slots:
            return State.NO_FACE
        return State.NO_GAZE if eye_slots < self.min_eye_slots else State.OK
