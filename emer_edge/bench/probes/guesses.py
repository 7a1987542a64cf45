"""Guesses that know a film, or what it was meant to induce, and nothing of the person.

A network that does no better than these may have learnt the film instead of the person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.probes.judging import Outputs, Target
from emer_edge.spec.labels import EMOTIONS, POLARITY_OF_EMOTION

__all__ = ["UsualLabels", "by_film", "by_induced_emotion", "usual_labels"]

UsualLabels = dict[str, dict[str, float]]
"""Head -> film -> its most frequent class index (in the target's order), or its mean value."""


def by_induced_emotion(targets: Sequence[Target], induced: Sequence[str | None]) -> Outputs:
    """The induced emotion, or its polarity, as the answer of every class head.

    Args:
        targets: heads.
        induced: (n,) what each clip's film induces, None where its name does not say.

    Returns:
        head -> (n, C) float32, one-hot; zeros for clips that say nothing.
    """
    found: Outputs = {}
    for target in targets:
        if target.classes:
            emotions = set(target.classes) <= set(EMOTIONS)
            words = [None if each is None else each if emotions else POLARITY_OF_EMOTION[each] for each in induced]
            rows = [[float(name == word) for name in target.classes] for word in words]
            found[target.name] = np.array(rows, np.float32)
    return found


def usual_labels(targets: Sequence[Target], films: Sequence[str | None], chosen: NDArray[np.bool_]) -> UsualLabels:
    """What each film's clips are labelled as a rule.

    Args:
        targets: heads and the labels of n clips.
        films: (n,) the film of each clip.
        chosen: (n,) which clips to learn from.
    """
    usual: UsualLabels = {}
    for target in targets:
        held: dict[str, list[float]] = {}
        for row, label in zip(target.rows, target.truth, strict=True):
            film = films[row]
            if chosen[row] and film is not None:
                held.setdefault(film, []).append(float(label))
        usual[target.name] = {
            film: Counter(each).most_common(1)[0][0] if target.classes else float(np.mean(each))
            for film, each in held.items()
        }
    return usual


def by_film(targets: Sequence[Target], usual: Sequence[UsualLabels], films: Sequence[str | None]) -> Outputs:
    """A film's usual label as the answer of every head.

    Args:
        targets: heads.
        usual: (n,) what is usual, as known for each clip.
        films: (n,) the film that each clip is taken for.

    Returns:
        head -> (n, C) one-hot or (n, 1) values, float32; zeros for clips of unknown films.
    """
    found: Outputs = {}
    for target in targets:
        rows = np.zeros((len(films), len(target.classes) or 1), np.float32)
        for at, (known, film) in enumerate(zip(usual, films, strict=True)):
            label = None if film is None else known[target.name].get(film)
            if label is not None:
                place, value = (int(label), 1.0) if target.classes else (0, label)
                rows[at, place] = value
        found[target.name] = rows
    return found
