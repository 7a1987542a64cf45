"""What a bundle knows of its own readings, in its manifest: the gap, strange faces, and readings without eyes."""

from __future__ import annotations

from typing import Final

import msgspec

MOST_LOST_POINTS: Final = 1.0
"""What FER may lose without eyes where it is to be read without them."""


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class GuardRecord(_Record, frozen=True):
    """How far faces may be from those of training (`emer_edge.bundle.guard_file`).

    Attributes:
        limits: `cpu/face_encoder` and so on -> the largest distance of a window that is like them.
        people: selection participants that the limits were chosen on.
        alarms: those of them with a clip beyond its part's limit, in the part that has the most.
        alarms_left_out: the same where each is judged by a limit chosen on the others.
    """

    limits: dict[str, float]
    people: int
    alarms: int
    alarms_left_out: int


class GapRecord(_Record, frozen=True):
    """The gap among selection clips that have both labels.

    Attributes:
        clips: how many.
        agreeing: the gap of each clip whose two labels agree, ascending; empty when there are too few.
        differ: knots (gap, probability that the labels differ), ascending; empty when unknown.
        absent: `larger_than` or `p_differ` -> why it can't be given.
    """

    clips: int
    agreeing: tuple[float, ...] = ()
    differ: tuple[tuple[float, float], ...] = ()
    absent: dict[str, str] = {}


class WithoutEyesRecord(_Record, frozen=True):
    """What FER loses on selection windows when the eyes are missing altogether.

    Attributes:
        clips: of these windows, labelled for an FER head.
        before, after: `<head>/war`, `uar` or `mae` -> figure with and without eyes; MAE as a share of its range.
        lost_points: the largest loss of a class head, or of a value head where there are no others, percentage points.
        worst: the figure that loses it.
    """

    clips: int
    before: dict[str, float]
    after: dict[str, float]
    lost_points: float
    worst: str
