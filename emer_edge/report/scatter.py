"""Marks with intervals both ways; their names cover neither each other nor the marks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.report import svg
from emer_edge.report.table import Estimate

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, px."""

_NAME_HEIGHT: Final = 15.0
_STEPS: Final = (0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5)


def place(names: Sequence[str], marks: Sequence[Box], taken: Sequence[Box], frame: Box) -> list[tuple[float, float]]:
    """The baseline's start of each name, px: beside its mark, else above or below, else the next free line.

    Names stay inside the frame, and away from the marks and from places that are taken by whiskers and lines.
    """
    used = [*taken, *marks]
    places = []
    for name, mark in zip(names, marks, strict=True):
        width = len(name) * svg.CHARACTER
        chosen = min(_candidates(mark, width, frame), key=lambda box: (_covered(box, used), _distance(box, mark)))
        used.append(chosen)
        places.append((chosen[0], chosen[3] - 4))
    return places


def _candidates(mark: Box, width: float, frame: Box) -> list[Box]:
    left, top, right, bottom = mark
    middle = (top + bottom) / 2
    centre = (left + right) / 2
    boxes = []
    for step in _STEPS:
        y = min(max(middle - _NAME_HEIGHT / 2 + step * _NAME_HEIGHT * 0.6, frame[1]), frame[3] - _NAME_HEIGHT)
        for x in (right + 6, left - 6 - width, centre - width / 2):
            x = min(max(x, frame[0]), frame[2] - width)
            boxes.append((x, y, x + width, y + _NAME_HEIGHT))
    return boxes


def _covered(box: Box, used: Sequence[Box]) -> float:
    """Square px of the used places that a name would lie on."""
    return sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in used
    )


def _distance(box: Box, mark: Box) -> float:
    across = max(mark[0] - box[2], box[0] - mark[2], 0.0)
    down = max(mark[1] - box[3], box[1] - mark[3], 0.0)
    off = abs((box[1] + box[3]) - (mark[1] + mark[3])) / 2
    return across + down + 0.5 * off


_HEIGHT: Final = 380.0
_LEFT: Final = 56.0
_RIGHT: Final = 16.0
_RADIUS: Final = 6.0
_CAP: Final = 4.0
_NO_RULES: Final[Mapping[str, float]] = {}


@dataclass(frozen=True)
class Mark:
    """One mark.

    Attributes:
        name: is written beside it.
        x, y: where it lies; whiskers where they have intervals.
        series: marks of one series share a colour; empty when there is one series only.
    """

    name: str
    x: Estimate
    y: Estimate
    series: str = ""


def scatter(
    title: str,
    x_unit: str,
    y_unit: str,
    marks: Sequence[Mark],
    rules: Mapping[str, float] = _NO_RULES,
    logarithmic: bool = False,
    width: float = svg.WIDTH,
) -> str:
    """Marks on two axes; those without a finite place are given in words only.

    `rules` are levels of y that marks are judged by, such as chance: a dashed line each, with its name. All x of a
    logarithmic axis are above 0.
    """
    shown = [mark for mark in marks if math.isfinite(mark.x.value) and math.isfinite(mark.y.value)]
    series = list(dict.fromkeys(mark.series for mark in shown))
    top = svg.TOP + (20 if len(series) > 1 else 0)
    bottom = _HEIGHT - svg.BOTTOM
    x = _x_scale([end for mark in shown for end in mark.x.ends], logarithmic, width - _RIGHT)
    y = _y_scale([*(end for mark in shown for end in mark.y.ends), *rules.values()], top, bottom)
    parts = [*svg.legend(series)]
    parts += [*svg.x_axis(x, top, bottom, x_unit, count=6 if width > 500 else 3), *svg.y_axis(y, x, y_unit, 7)]
    heights = {name: y(value) for name, value in rules.items()}
    parts += [svg.element("line", x1=x.start, y1=at, x2=x.end, y2=at, class_="guide") for at in heights.values()]
    boxes: list[Box] = []
    whiskers: list[Box] = []
    for mark in shown:
        across, down = x(mark.x.value), y(mark.y.value)
        colour = svg.PALETTE[series.index(mark.series) % len(svg.PALETTE)]
        boxes.append((across - _RADIUS, down - _RADIUS, across + _RADIUS, down + _RADIUS))
        if mark.x.has_interval:
            left, right = x(mark.x.low), x(mark.x.high)
            path = f"M{left:.1f} {down:.1f}H{right:.1f}M{left:.1f} {down - _CAP:.1f}v{2 * _CAP:g}"
            path += f"M{right:.1f} {down - _CAP:.1f}v{2 * _CAP:g}"
            parts.append(svg.element("path", d=path, fill="none", stroke=colour, stroke_width=1.6))
            whiskers.append((left, down - _CAP, right, down + _CAP))
        if mark.y.has_interval:
            low, high = y(mark.y.low), y(mark.y.high)
            path = f"M{across:.1f} {low:.1f}V{high:.1f}M{across - _CAP:.1f} {low:.1f}h{2 * _CAP:g}"
            path += f"M{across - _CAP:.1f} {high:.1f}h{2 * _CAP:g}"
            parts.append(svg.element("path", d=path, fill="none", stroke=colour, stroke_width=1.6))
            whiskers.append((across - _CAP, high, across + _CAP, low))
        circle = svg.element("circle", cx=across, cy=down, r=_RADIUS, fill=colour, class_="mark")
        parts.append(svg.hinted(_spoken(mark), circle))
    frame = (x.start, top, x.end, bottom)
    for name, height in heights.items():
        # A rule's name stands on its line, at the end with fewer marks in the way.
        line = height - 1
        near = [other for other in (*boxes, *whiskers) if other[1] < line and other[3] > line - 16]
        room = len(name) * 7.0
        at_right = sum(other[2] > x.end - room - 6 for other in near) <= sum(
            other[0] < x.start + room + 6 for other in near
        )
        anchor, at = ("end", x.end - 4) if at_right else ("start", x.start + 4)
        parts.append(svg.label(at, line - 4, name, anchor, class_="soft"))
        left = at - room if at_right else at
        whiskers.append((left, line - 16, left + room, line))
    names = [svg.shortened(mark.name) for mark in shown]
    for name, (at, line) in zip(names, place(names, boxes, whiskers, frame), strict=True):
        parts.append(svg.label(at, line, name))
    said = [*map(_spoken, marks), *(f"{name}: {value:.1f}" for name, value in rules.items())]
    return svg.plot((width, _HEIGHT), title, f"{x_unit} and {y_unit}: {'; '.join(said) or 'none'}", parts)


def _x_scale(reach: Sequence[float], logarithmic: bool, right: float) -> svg.Scale:
    low, high = min(reach, default=1.0), max(reach, default=2.0)
    if logarithmic:
        # At least a factor of four, so that a small difference does not look like a large one.
        room = max(math.sqrt(max(4 / (high / low), 1.0)), 1.25)
        return svg.Scale(low / room, high * room, _LEFT, right, logarithmic=True)
    room = (high - low) * 0.12 or abs(high) * 0.2 or 1.0
    return svg.Scale(max(low - room, 0.0) if low >= 0 else low - room, high + room, _LEFT, right)


def _y_scale(reach: Sequence[float], top: float, bottom: float) -> svg.Scale:
    low, high = min(reach, default=0.0), max(reach, default=1.0)
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    return svg.Scale(max(low - room, 0.0) if low >= 0 else low - room, high + room, bottom, top)


def _spoken(mark: Mark) -> str:
    return f"{f'{mark.series} {mark.name}'.strip()}: {mark.x.spoken(2)}, {mark.y.spoken(1)}"
