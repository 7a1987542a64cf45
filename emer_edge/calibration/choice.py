"""Which clips calibrate: spread over emotions and participants, drawn with a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from emer_edge.data.clips import Clip
from emer_edge.spec.heads import HEADS

__all__ = ["ENOUGH_WINDOWS", "choose_clips"]

ENOUGH_WINDOWS: Final = 100
"""Fewer windows than this give ranges that depend on who happened to be drawn."""


def choose_clips(clips: Sequence[Clip], windows: int, seed: int = 0) -> tuple[Clip, ...]:
    """Draw `windows` clips (all of them if there are no more).

    Emotions take turns, and within an emotion the clip comes next whose participant has been drawn least.

    Args:
        clips: candidates, one window each.
        windows: how many are wanted.
        seed: same clips and seed, same choice.
    """
    rng = np.random.default_rng(seed)
    waiting: dict[str, list[Clip]] = {}
    for at in rng.permutation(len(clips)):
        waiting.setdefault(_emotion(clips[at]), []).append(clips[at])
    order = sorted(waiting)
    drawn: list[Clip] = []
    seen: Counter[str] = Counter()
    while len(drawn) < min(windows, len(clips)):
        for emotion in order:
            if waiting[emotion] and len(drawn) < windows:
                chosen = min(waiting[emotion], key=lambda each: seen[_person(each)])
                waiting[emotion].remove(chosen)
                seen[_person(chosen)] += 1
                drawn.append(chosen)
    return tuple(drawn)


def _emotion(clip: Clip) -> str:
    for name in ("fer-7", "er-7"):
        if name in clip.labels:
            return str(int(clip.labels[name]))
    class_heads = sorted(each for each in clip.labels if HEADS[each].kind == "class")
    if class_heads:
        return str(int(clip.labels[class_heads[0]]))
    return clip.induced_emotion or ""


def _person(clip: Clip) -> str:
    return clip.participant if clip.participant is not None else clip.name
