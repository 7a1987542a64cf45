"""Which item fills which slot of a window.

A window ending at T is cut into equal slots, each open at its start and closed at its end. A slot takes one of its
items; a slot without an item takes its nearest neighbour's and counts as uncovered.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emer_edge.spec.window import EYE_SLOTS, FACE_SLOTS, Pick, WindowSpec

__all__ = ["clip_times_ns", "eye_slots", "face_slots", "hop_candidates"]

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


def clip_times_ns(count: int, length_ns: int) -> Indices:
    """Give the items of a clip without times the times they stand for: item i of n at (i + 1) L / n.

    Returns:
        (count,) int64, nanoseconds after the start of the clip.
    """
    return (np.arange(1, count + 1, dtype=np.int64) * length_ns) // max(count, 1)


def hop_candidates(times_ns: Indices, origin_ns: int, spec: WindowSpec) -> Indices:
    """Choose the newest item of each hop: the faces that are encoded.

    Args:
        times_ns: (n,) ascending times of the usable faces.
        origin_ns: start of the lattice; hop j covers (origin + j hop, origin + (j + 1) hop].
        spec: the window.

    Returns:
        (m,) indices into `times_ns`, ascending.
    """
    if len(times_ns) == 0:
        return np.zeros(0, np.int64)
    hop = -((origin_ns - times_ns) // spec.hop_ns)  # ceiling: an item on the border belongs to the hop it ends
    last_of_hop = np.append(hop[1:] != hop[:-1], True)
    return np.flatnonzero(last_of_hop).astype(np.int64)


def face_slots(
    times_ns: Indices, end_ns: int, spec: WindowSpec, rng: np.random.Generator | None = None
) -> tuple[Indices, Flags]:
    """Choose the candidate of each face slot.

    Args:
        times_ns: (n,) ascending times of the candidates.
        end_ns: end of the window; nothing after it is used.
        spec: the window.
        rng: draw a random item of each slot instead (training).

    Returns:
        (8,) indices into `times_ns`, all -1 where the window holds no item; (8,) bool, whether the slot has its own.
    """
    return _slots(times_ns, end_ns, FACE_SLOTS, spec.face_slot_ns, spec.pick, rng)


def eye_slots(
    times_ns: Indices, seen: Flags, end_ns: int, spec: WindowSpec, rng: np.random.Generator | None = None
) -> tuple[Indices, Flags]:
    """Choose the row of each eye slot.

    Args:
        times_ns: (n,) ascending times of the rows.
        seen: (n,) whether any eye was seen; a slot in which none was is not covered.
        end_ns: end of the window; nothing after it is used.
        spec: the window.
        rng: draw a random row of each slot instead (training).

    Returns:
        (32,) indices into `times_ns`, all -1 where the window holds no row; (32,) bool, whether the slot is covered.
    """
    index, _ = _slots(times_ns, end_ns, EYE_SLOTS, spec.eye_slot_ns, spec.pick, rng)
    first, last = _bounds(times_ns, end_ns, EYE_SLOTS, spec.eye_slot_ns)
    total = np.concatenate(([0], np.cumsum(seen)))
    return index, total[last] > total[first]


def _bounds(times_ns: Indices, end_ns: int, slots: int, slot_ns: int) -> tuple[Indices, Indices]:
    edges = end_ns - slot_ns * np.arange(slots, -1, -1, dtype=np.int64)
    position = np.searchsorted(times_ns, edges, side="right").astype(np.int64)
    return position[:-1], position[1:]


def _slots(
    times_ns: Indices, end_ns: int, slots: int, slot_ns: int, pick: Pick, rng: np.random.Generator | None
) -> tuple[Indices, Flags]:
    first, last = _bounds(times_ns, end_ns, slots, slot_ns)
    filled = last > first
    if rng is not None:
        index = first + (rng.random(slots) * (last - first)).astype(np.int64)
    elif pick == "newest":
        index = last - 1
    else:
        index = (first + last - 1) // 2
    if not filled.any():
        return np.full(slots, -1, np.int64), filled
    if not filled.all():
        own = np.flatnonzero(filled)
        distance = np.abs(np.arange(slots)[:, None] - own[None, :])
        index = index[own[distance.argmin(axis=1)]]  # a tie goes to the earlier slot
    return index, filled
