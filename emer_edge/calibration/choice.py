"""Which clips calibrate: spread over emotions and participants, drawn with a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from emer_edge.data.clips import Clip
from emer_edge.errors import DataError
from emer_edge.spec.heads import HEADS, ClassHead
from emer_edge.spec.labels import EMOTIONS

__all__ = ["ENOUGH_WINDOWS", "FEWEST_WINDOWS", "UNLABELLED", "Composition", "choose_clips", "composition_of"]

ENOUGH_WINDOWS: Final = 100
"""Fewer windows than this give ranges that depend on who happened to be drawn."""
FEWEST_WINDOWS: Final = 8
"""Fewer windows than this, one for each emotion and one to spare, measure single faces."""
UNLABELLED: Final = "unlabelled"
"""The class of a clip that neither a label nor its name tells the emotion of."""


@dataclass(frozen=True)
class Composition:
    """What the chosen clips are made of.

    Attributes:
        windows: how many clips, one window each.
        by_class: name of the class -> windows, in the order of the seven emotions, other names after them.
        participants: how many people they show; a clip of an unknown person counts as one of its own.
    """

    windows: int
    by_class: dict[str, int]
    participants: int

    def check(self) -> tuple[str, ...]:
        """Say what is thin about it, a sentence each.

        Raises:
            DataError: too few windows to measure anything, or all of one emotion.
        """
        if self.windows < FEWEST_WINDOWS:
            raise DataError(
                f"{self.windows} windows are too few to calibrate int8 on: it takes {FEWEST_WINDOWS} at the very "
                f"least, and {ENOUGH_WINDOWS} to be worth something; give --data more training clips or a higher "
                "--calibration-windows, or choose --precision fp16"
            )
        known = {name: count for name, count in self.by_class.items() if name != UNLABELLED}
        if len(known) == 1 and UNLABELLED not in self.by_class:
            raise DataError(
                f"all {self.windows} calibration windows show {next(iter(known))}: int8 ranges of one emotion say "
                "nothing about the others; give --data clips of all seven, or choose --precision fp16"
            )
        notes = []
        if self.windows < ENOUGH_WINDOWS:
            notes.append(
                f"calibrated on {self.windows} windows only; below {ENOUGH_WINDOWS} the ranges depend on who was drawn"
            )
        if not known:
            notes.append("the clips name no emotion, so the calibration windows are spread over participants only")
        elif missing := [name for name in EMOTIONS if name not in known] if set(known) <= set(EMOTIONS) else []:
            notes.append(f"no calibration window shows {' or '.join(missing)}")
        if self.participants == 1:
            notes.append("all calibration windows show one participant, so the ranges are those of one face")
        return tuple(notes)


def choose_clips(clips: Sequence[Clip], windows: int, seed: int = 0) -> tuple[Clip, ...]:
    """Draw `windows` clips (all of them if there are no more).

    Emotions take turns, the one with the fewest clips left first, and within an emotion the clip comes next whose
    participant has been drawn least. So emotions differ by at most one clip until one of them runs out. Then clips are
    exchanged for others of their emotion for as long as that brings two participants closer together.

    Args:
        clips: candidates, one window each.
        windows: how many are wanted.
        seed: same clips and seed, same choice.
    """
    rng = np.random.default_rng(seed)
    waiting: dict[str, list[Clip]] = {}
    for at in rng.permutation(len(clips)):
        waiting.setdefault(_emotion(clips[at]), []).append(clips[at])
    order = sorted(waiting, key=lambda each: (len(waiting[each]), each))
    drawn: list[Clip] = []
    seen: Counter[str] = Counter()
    while len(drawn) < min(windows, len(clips)):
        for emotion in order:
            left = waiting[emotion]
            if left and len(drawn) < windows:
                chosen = left.pop(min(range(len(left)), key=lambda at: seen[_person(left[at])]))
                seen[_person(chosen)] += 1
                drawn.append(chosen)
    _even_out(drawn, waiting, seen)
    return tuple(drawn)


def _even_out(drawn: list[Clip], waiting: dict[str, list[Clip]], seen: Counter[str]) -> None:
    """Exchange clips within emotions until no exchange makes participants more even."""
    places: dict[str, list[int]] = {}
    for place, clip in enumerate(drawn):
        places.setdefault(_emotion(clip), []).append(place)
    moved = True
    while moved:
        moved = False
        for emotion, mine in places.items():
            left = waiting[emotion]
            if not left:
                continue
            most = max(mine, key=lambda at: seen[_person(drawn[at])])
            least = min(range(len(left)), key=lambda at: seen[_person(left[at])])
            gone, come = _person(drawn[most]), _person(left[least])
            # Every exchange lowers the sum of squares, so that this ends.
            if seen[gone] - seen[come] >= 2:
                drawn[most], left[least] = left[least], drawn[most]
                seen[gone] -= 1
                seen[come] += 1
                moved = True


def composition_of(clips: Sequence[Clip]) -> Composition:
    """Count windows by class, and people."""
    counts = Counter(_emotion(each) for each in clips)
    names = sorted(counts, key=lambda name: (EMOTIONS.index(name) if name in EMOTIONS else len(EMOTIONS), name))
    return Composition(len(clips), {name: counts[name] for name in names}, len({_person(each) for each in clips}))


def _emotion(clip: Clip) -> str:
    """The shown emotion, else the felt one, else another class, else the one that the film induces."""
    for name in ("fer-7", "er-7", *sorted(clip.labels)):
        head = HEADS[name]
        if name in clip.labels and isinstance(head, ClassHead):
            return str(head.classes[int(clip.labels[name])])
    return clip.induced_emotion or UNLABELLED


def _person(clip: Clip) -> str:
    return clip.participant if clip.participant is not None else clip.name
