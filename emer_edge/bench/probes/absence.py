"""What the network is given in place of a stream that is taken away."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.signals.slots import clip_times_ns
from emer_edge.signals.stream import EyeStream
from emer_edge.spec.columns import EVENTS, MOVEMENT_TYPE, PUPILS, MovementType
from emer_edge.spec.window import EYE_COLUMN_COUNT, NANOSECONDS, EventsRule, WindowSpec

__all__ = ["no_eyes", "no_face", "without_columns", "without_gaze", "without_pupils"]

Floats = NDArray[np.float32]

_RATE_HZ: Final = 120
_GAZE: Final = (*range(12), *range(22, 32), *range(35, 39))  # gaze points, directions, fixation points


def no_eyes(spec: WindowSpec, events: EventsRule) -> tuple[Floats, Floats]:
    """The eye half of a window in which a tracker runs and finds no eye: one long EyesNotFound, all else missing.

    Returns:
        (32, 39) and (32, 2) float32.
    """
    count = spec.length_ns * _RATE_HZ // NANOSECONDS
    rows = np.zeros((count, EYE_COLUMN_COUNT), np.float32)
    # As a sheet would have it; the causal rule works these columns out again.
    rows[:, EVENTS][:, :3] = MovementType.EYES_NOT_FOUND, spec.length_ns / 1e6, 1
    stream = EyeStream(count, 0.0, events)
    stream.extend(rows, clip_times_ns(count, spec.length_ns), np.zeros(count, np.bool_))
    window = stream.window(spec.length_ns, spec)
    assert (window.eye[:, MOVEMENT_TYPE] == MovementType.EYES_NOT_FOUND).all()
    return window.eye, window.gaze


def no_face(face: Floats, owners: Sequence[Hashable]) -> Floats:
    """The mean embedding of the other people's clips, in every slot.

    Zeros, or the embedding of a grey image, are nothing that the network has met: what they cost is not what the face
    was worth. This mean lies amid the faces that it knows, is the same in all of a person's clips, so that nothing in
    it tells these apart, and holds nothing of the person. With a single person it is the mean of all clips.

    Args:
        face: (n, 8, width) float32 embeddings.
        owners: (n,) whose clip each is.

    Returns:
        (n, 8, width) float32.
    """
    means = _of_others(face.sum(axis=1, dtype=np.float64), np.full((len(face), 1), face.shape[1]), owners)
    return np.ascontiguousarray(np.broadcast_to(means[:, None], face.shape))


def without_gaze(eye: Floats, gaze: Floats, owners: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Where the eyes look is hidden, in the gaze input and in the columns; pupils, places and movements stay.

    Args:
        eye: (n, 32, 39) float32.
        gaze: (n, 32, 2) float32.
        owners: (n,) whose clip each is.

    Returns:
        the same shapes, new arrays: see `without_columns`.
    """
    return without_columns(eye, _GAZE, owners), without_columns(gaze, range(2), owners)


def without_pupils(eye: Floats, owners: Sequence[Hashable]) -> Floats:
    """Both pupils' sizes are hidden: (n, 32, 39) float32, a new array."""
    return without_columns(eye, range(PUPILS.start, PUPILS.stop), owners)


def without_columns(rows: Floats, columns: Sequence[int], owners: Sequence[Hashable]) -> Floats:
    """Columns whose every value is the mean of other people's; for the reasons of `no_face` not 0, a display's corner.

    Cells that are missing (0) stay so, because that is about whether an eye was seen.

    Args:
        rows: (n, 32, k) float32.
        columns: which of the k.
        owners: (n,) whose clip each is.

    Returns:
        (n, 32, k) float32, a new array.
    """
    chosen = list(columns)
    held = rows[..., chosen]
    present = held != 0
    means = _of_others(held.sum(axis=1, dtype=np.float64), present.sum(axis=1), owners)
    found: Floats = rows.copy()
    found[..., chosen] = np.where(present, means[:, None], np.float32(0.0))
    return found


def _of_others(sums: NDArray[np.float64], counts: NDArray[np.int64], owners: Sequence[Hashable]) -> Floats:
    """(n, k) mean over the other people's clips, of (n, k) sums over (n, k or 1) counts; 0 where these hold nothing."""
    people = {each: at for at, each in enumerate(dict.fromkeys(owners))}
    place = np.array([people[each] for each in owners], np.int64)
    total, number = np.zeros((len(people), sums.shape[1])), np.zeros((len(people), counts.shape[1]))
    np.add.at(total, place, sums)
    np.add.at(number, place, counts)
    if len(people) > 1:
        total, number = total.sum(axis=0) - total, number.sum(axis=0) - number
    means = (total / np.maximum(number, 1)).astype(np.float32)
    return np.asarray(means[place], np.float32)
