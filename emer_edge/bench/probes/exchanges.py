"""Exchanging a stream between clips: strata, and seeded permutations that stay inside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["exchangeable", "exchanged", "strata"]

Indices = NDArray[np.int64]


def strata(keys: Sequence[Hashable]) -> list[Indices]:
    """Indices of items of the same key; items whose key is None belong to none."""
    found: dict[Hashable, list[int]] = {}
    for at, key in enumerate(keys):
        if key is not None:
            found.setdefault(key, []).append(at)
    return [np.array(each, np.int64) for each in found.values()]


def exchangeable(groups: Sequence[Indices]) -> Indices:
    """Ascending indices of the items that have a partner in their stratum."""
    return np.array(sorted(at for each in groups if len(each) > 1 for at in each), np.int64)


def exchanged(groups: Sequence[Indices], owners: Sequence[Hashable], rng: np.random.Generator) -> Indices:
    """Each item replaced by another of its stratum, another person's wherever that is possible.

    The members of a stratum are put in a random order in which each person's stand together, and the order is turned
    by a random number of places: at least as many as the person with most members has, at most as many as leave the
    others. So no item keeps its place and none gets one of its own person, unless that person has more than half of the
    stratum: then any other will do (Sattolo's algorithm).

    Args:
        groups: strata that share no item; items in none of them keep their place.
        owners: (n,) whose item each is.
        rng: source of the draw.

    Returns:
        (n,) int64, which item takes each place: a permutation.
    """
    order = np.arange(len(owners), dtype=np.int64)
    for group in groups:
        if len(group) < 2:
            continue
        counts = Counter(owners[at] for at in group)
        most = max(counts.values())
        if 2 * most > len(group):
            order[group] = _cycle(group, rng)
            continue
        people = list(counts)
        rank = {people[at]: place for place, at in enumerate(rng.permutation(len(people)))}
        lined = np.array(sorted(rng.permutation(group), key=lambda at: rank[owners[at]]), np.int64)
        turn = int(rng.integers(most, len(group) - most + 1))
        order[lined] = np.roll(lined, turn)
    return order


def _cycle(group: Indices, rng: np.random.Generator) -> Indices:
    """Sattolo's algorithm: a random cycle through all members."""
    places: Indices = group.copy()
    for at in range(len(places) - 1, 0, -1):
        other = int(rng.integers(at))
        places[at], places[other] = places[other], places[at]
    return places
