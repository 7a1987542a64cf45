"""Courses: measures over the time of one session, over the stimuli that were there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.report import svg

_HEIGHT: Final = 190.0
_LEFT: Final = 66.0
_LANE: Final = 15.0
_LANES: Final = 3
_MOST_POINTS: Final = 1200

Stretch = tuple[str, float, float]
"""A name, and where it begins and ends, seconds."""


def course(
    title: str,
    y_unit: str,
    times_s: NDArray[np.float64],
    lines: Mapping[str, NDArray[np.float64]],
    stretches: Sequence[Stretch] = (),
    levels: Mapping[str, float] = {},
) -> str:
    """Lines over time, broken where a number is missing, over shaded stretches with their names above.

    Args:
        title: of the plot.
        y_unit: of all lines.
        times_s: (n,) ascending seconds.
        lines: name -> (n,) numbers, NaN where missing.
        stretches: in order of their beginnings; names that find no room are in the drawing's words only.
        levels: name -> where a dashed line is drawn, such as a baseline.
    """
    lanes, top = _lanes(stretches, svg.TOP + (20.0 if len(lines) > 1 else 0.0), times_s)
    bottom = top + _HEIGHT
    known = [value for line in (*lines.values(), np.array([*levels.values()])) for value in line[np.isfinite(line)]]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = (high - low) * 0.06 or 0.1
    x = _x_scale(times_s, stretches)
    y = svg.Scale(low - room, high + room, bottom, top)
    parts = [*svg.legend(list(lines))]
    for at, (name, begin, end) in enumerate(stretches):
        left, width = x(begin), max(x(end) - x(begin), 1.0)
        rect = svg.element("rect", x=left, y=top, width=width, height=_HEIGHT, class_=f"stretch{' odd' * (at % 2)}")
        parts.append(svg.hinted(name, rect))
        parts += [svg.label(left, lanes[at], name, class_="soft")] if at in lanes else []
    parts += [*svg.x_axis(x, top, bottom, "time in the session (s)"), *svg.y_axis(y, x, y_unit)]
    for name, level in levels.items():
        parts.append(svg.element("line", x1=x.start, y1=y(level), x2=x.end, y2=y(level), class_="guide"))
        parts.append(svg.label(x.end - 4, y(level) - 4, name, "end", class_="soft"))
    said = [f"{name} from {begin:.0f} to {end:.0f} s" for name, begin, end in stretches]
    step = max(1, math.ceil(len(times_s) / _MOST_POINTS))
    for at, (name, line) in enumerate(lines.items()):
        whole = np.flatnonzero(np.isfinite(line))
        for run in np.split(whole, np.flatnonzero(np.diff(whole) > 1) + 1) if len(whole) else ():
            points = [(x(float(times_s[one])), y(float(line[one]))) for one in sorted({*run[::step], run[-1]})]
            points = points if len(points) > 1 else [(points[0][0] - 1, points[0][1]), (points[0][0] + 1, points[0][1])]
            parts.append(svg.polyline(points, svg.PALETTE[at % len(svg.PALETTE)]))
        ends = f"{line[whole].min():.2f} to {line[whole].max():.2f}" if len(whole) else "no figures"
        said.append(f"{name} {ends}")
    return svg.plot((svg.WIDTH, bottom + svg.BOTTOM), title, f"{y_unit} over time: {'; '.join(said)}", parts)


def _x_scale(times_s: NDArray[np.float64], stretches: Sequence[Stretch]) -> svg.Scale:
    ends = [float(times_s[-1]) if len(times_s) else 1.0, *(end for _, _, end in stretches)]
    return svg.Scale(min([0.0, *(begin for _, begin, _ in stretches)]), max(ends), _LEFT, svg.WIDTH - 10)


def _lanes(stretches: Sequence[Stretch], top: float, times_s: NDArray[np.float64]) -> tuple[dict[int, float], float]:
    """Stretch -> baseline of its name, px, where one of a few lanes has room; and where the plot begins below them."""
    x, lanes, places = _x_scale(times_s, stretches), [0.0] * _LANES, dict[int, int]()
    for at, (name, begin, _) in enumerate(stretches):
        width = len(name) * svg.CHARACTER + 6
        free = next((lane for lane, taken in enumerate(lanes) if taken <= x(begin)), None)
        if free is not None and x(begin) + width < svg.WIDTH:
            lanes[free], places[at] = x(begin) + width, free
    used = max(places.values(), default=-1) + 1
    return {at: top + _LANE * (lane + 1) - 5 for at, lane in places.items()}, top + _LANE * used
