"""Names beside marks, where they cover neither each other nor the marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emer_edge.report.axes import CHARACTER

__all__ = ["Box", "place"]

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, px."""

_HEIGHT: Final = 15.0
_STEPS: Final = (0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5)


def place(names: Sequence[str], marks: Sequence[Box], taken: Sequence[Box], frame: Box) -> list[tuple[float, float]]:
    """The baseline's start of each name, px: beside its mark, else above or below, else the next free line.

    Args:
        names: what is written, one a mark.
        marks: the marks, whiskers left out.
        taken: other places that names keep away from, such as whiskers and lines.
        frame: where names must stay.
    """
    used = [*taken, *marks]
    found = []
    for name, mark in zip(names, marks, strict=True):
        width = len(name) * CHARACTER
        chosen = min(_candidates(mark, width, frame), key=lambda box: (_covered(box, used), _distance(box, mark)))
        used.append(chosen)
        found.append((chosen[0], chosen[3] - 4))
    return found


def _candidates(mark: Box, width: float, frame: Box) -> list[Box]:
    left, top, right, bottom = mark
    middle = (top + bottom) / 2
    centre = (left + right) / 2
    found = []
    for step in _STEPS:
        y = min(max(middle - _HEIGHT / 2 + step * _HEIGHT * 0.6, frame[1]), frame[3] - _HEIGHT)
        for x in (right + 6, left - 6 - width, centre - width / 2):
            x = min(max(x, frame[0]), frame[2] - width)
            found.append((x, y, x + width, y + _HEIGHT))
    return found


def _covered(box: Box, used: Sequence[Box]) -> float:
    """Square px of the used places that a name would lie on."""
    return sum(
        max(0.0, min(box[2], each[2]) - max(box[0], each[0])) * max(0.0, min(box[3], each[3]) - max(box[1], each[1]))
        for each in used
    )


def _distance(box: Box, mark: Box) -> float:
    across = max(mark[0] - box[2], box[0] - mark[2], 0.0)
    down = max(mark[1] - box[3], box[1] - mark[3], 0.0)
    off = abs((box[1] + box[3]) - (mark[1] + mark[3])) / 2
    return across + down + 0.5 * off
