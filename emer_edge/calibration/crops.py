"""The clips and crops to calibrate on: spread over emotions and people, drawn with a seed, read a few at a time."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError
from emer_edge.core.heads import EMOTIONS, GAP_HEADS, HEADS, ClassHead
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import FACE_SLOTS, EventsRule, WindowSpec
from emer_edge.data.dataset import Clip
from emer_edge.data.windows import clip_window, load_faces

ENOUGH_WINDOWS: Final = 100
"""Fewer windows give ranges that depend on who was drawn."""
FEWEST_WINDOWS: Final = 8
"""One for each emotion, and one more."""
UNLABELLED: Final = "unlabelled"
"""The class of a clip without a label or an emotion in its name."""

BATCH: Final = 8
"""Crops in memory at once."""
FACES_PER_WINDOW: Final = 2
"""Faces drawn from the 8 of each window: neighbours in time are nearly alike."""
Faces = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Composition:
    """The composition of the chosen clips.

    Attributes:
        windows: number of clips, with one window each.
        by_class: name of the class -> windows, in the order of the seven emotions, other names after them.
        participants: number of people; a clip of an unknown person counts as one of its own.
    """

    windows: int
    by_class: dict[str, int]
    participants: int

    def check(self) -> tuple[str, ...]:
        """One sentence per weakness.

        Raises:
            DataError: too few windows to measure anything, or all of one emotion.
        """
        if self.windows < FEWEST_WINDOWS:
            raise DataError(
                f"{self.windows} windows are too few to calibrate int8 on: it takes {FEWEST_WINDOWS} at the very "
                f"least, and {ENOUGH_WINDOWS} for useful ranges; give --data more training clips or a higher "
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

    Emotions take turns, the one with the fewest clips first, and within an emotion the participant drawn least often
    comes next, so that emotions differ by at most one clip until one of them runs out. Then clips are exchanged for
    others of their emotion as long as that makes participants more even. The same clips and seed give the same choice.
    """
    rng = np.random.default_rng(seed)
    waiting: dict[str, list[Clip]] = {}
    for at in rng.permutation(len(clips)):
        waiting.setdefault(_emotion(clips[at]), []).append(clips[at])
    order = sorted(waiting, key=lambda emotion: (len(waiting[emotion]), emotion))
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
    counts = Counter(_emotion(clip) for clip in clips)
    names = sorted(counts, key=lambda name: (EMOTIONS.index(name) if name in EMOTIONS else len(EMOTIONS), name))
    return Composition(len(clips), {name: counts[name] for name in names}, len({_person(clip) for clip in clips}))


def _emotion(clip: Clip) -> str:
    """The shown emotion, else the felt one, else another class, else the one that the film should induce."""
    for name in (*reversed(GAP_HEADS), *sorted(clip.labels)):
        head = HEADS[name]
        if name in clip.labels and isinstance(head, ClassHead):
            return str(head.classes[int(clip.labels[name])])
    return clip.induced_emotion or UNLABELLED


def _person(clip: Clip) -> str:
    return clip.participant if clip.participant is not None else clip.name


@dataclass(frozen=True)
class CropPlan:
    """The frames to calibrate on, in batches that can be read in any order.

    Attributes:
        picks: clips and the indices of their frames.
        per_batch: clips per batch.
        rule: how the frames were chosen, part of `digest`.
    """

    picks: tuple[tuple[Clip, tuple[int, ...]], ...]
    per_batch: int
    rule: str

    def __len__(self) -> int:
        """The number of batches."""
        return -(-len(self.picks) // self.per_batch)

    def batch(self, number: int) -> Faces:
        """Read one batch: `{"face": (B, 3, 112, 112)}` float32, B up to `BATCH`; DataError when a frame can't be."""
        chosen = self.picks[number * self.per_batch : (number + 1) * self.per_batch]
        return {"face": np.concatenate([load_faces(clip, frames) for clip, frames in chosen])}

    def batches(self, first: int = 0) -> Iterator[Faces]:
        """Read the batches from `first` on, one at a time."""
        for number in range(first, len(self)):
            yield self.batch(number)

    def probes(self, count: int) -> list[NDArray[np.float32]]:
        """Read `count` batches spread over all of them (all if there are no more)."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int))
        return [self.batch(int(number))["face"] for number in chosen]

    def digest(self) -> str:
        """SHA-256 over the rule and the bytes of every frame in order; DataError when a frame can't be read."""
        digest = hashlib.sha256(self.rule.encode())
        for clip, frames in self.picks:
            paths = clip.frame_paths
            for frame in frames:
                try:
                    content = paths[frame].read_bytes()
                except OSError as error:
                    raise DataError(f"can't open the frame {paths[frame]}: {error.strerror}") from None
                digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()


def plan_crops(
    clips: Sequence[Clip],
    spec: WindowSpec,
    events: EventsRule,
    *,
    per_window: int = FACES_PER_WINDOW,
    seed: int = 0,
    progress: Progress = silent,
) -> CropPlan:
    """Choose the crops.

    Args:
        clips: one window each.
        spec: the window.
        events: how columns 33 to 39 are filled.
        per_window: faces drawn from the 8 of each window, 1 to 8.
        seed: of that draw.
        progress: called after every clip.

    Raises:
        DataError: a clip's frames or sheet can't be read.
    """
    rng = np.random.default_rng(seed)
    picks = []
    for done, clip in enumerate(clips, start=1):
        window = clip_window(clip, spec, events)
        slots = np.sort(rng.permutation(FACE_SLOTS)[:per_window])
        picks.append((clip, tuple(np.unique(window.frames[slots]).tolist())))
        progress("choosing calibration crops", done, len(clips))
    rule = f"{spec!r} events={events} faces={per_window} seed={seed} clips={len(clips)}"
    return CropPlan(tuple(picks), max(1, BATCH // per_window), rule)
