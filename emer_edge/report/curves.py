"""Curves with intervals: how a figure moves with what was changed; receiver operating characteristics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.report.axes import BOTTOM, TOP, legend_lines, x_axis, y_axis
from emer_edge.report.svg import PALETTE, Scale, drawing, element, hinted, label
from emer_edge.report.tables import Estimate

__all__ = ["Line", "curves", "roc_plot"]

_WIDTH: Final = 352.0
_HEIGHT: Final = 250.0
_LEFT: Final = 52.0
_RIGHT: Final = 14.0


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: for the legend.
        points: where and how much, in the order of the axis.
    """

    name: str
    points: tuple[tuple[float, Estimate], ...]


def curves(
    title: str,
    x_unit: str,
    y_unit: str,
    lines: Sequence[Line],
    digits: int = 1,
    guides: Sequence[float] = (),
    floor: float | None = None,
    width: float = _WIDTH,
) -> str:
    """Lines through points, a band where there are intervals; small enough to stand beside others.

    Args:
        title: above the plot.
        x_unit: name and unit of the horizontal axis.
        y_unit: of the vertical one.
        lines: see `Line`.
        digits: decimals of what is said of y.
        guides: values of y that a dashed line is drawn at; the axis reaches them.
        floor: where the vertical axis starts at the latest.
        width: of the plot, px.
    """
    names = legend_lines([each.name for each in lines], width)
    top = TOP + 18.0 * len(names.rows)
    bottom = top + _HEIGHT - TOP - BOTTOM
    places = [at for each in lines for at, found in each.points if math.isfinite(found.value)]
    reach = [end for each in lines for _, found in each.points for end in (found.value, found.low, found.high)]
    reach = [each for each in (*reach, *guides) if math.isfinite(each)] or [0.0, 1.0]
    low, high = min(reach), max(reach)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    start = low - room if floor is None else min(floor, low)
    x = Scale(min(places, default=0.0), max(places, default=1.0), _LEFT, width - _RIGHT)
    y = Scale(start, high + room, bottom, top)
    parts = [label(0, 16, title, class_="heading"), *names.parts]
    parts += [*x_axis(x, top, bottom, x_unit, 4), *y_axis(y, x, y_unit)]
    parts += [element("line", x1=x.start, y1=y(at), x2=x.end, y2=y(at), class_="guide") for at in guides]
    said = []
    for at, each in enumerate(lines):
        colour = PALETTE[at % len(PALETTE)]
        points = [(where, found) for where, found in each.points if math.isfinite(found.value)]
        held = [(where, found) for where, found in points if found.has_interval]
        if len(held) > 1:
            there = "L".join(f"{x(where):.1f} {y(found.high):.1f}" for where, found in held)
            back = "L".join(f"{x(where):.1f} {y(found.low):.1f}" for where, found in reversed(held))
            parts.append(element("path", d=f"M{there}L{back}Z", fill=colour, fill_opacity=0.15))
        if points:
            path = "M" + "L".join(f"{x(where):.1f} {y(found.value):.1f}" for where, found in points)
            parts.append(element("path", d=path, fill="none", stroke=colour, stroke_width=2.0))
        for where, found in points:
            circle = element("circle", cx=x(where), cy=y(found.value), r=3.0, fill=colour)
            parts.append(hinted(f"{each.name} {_told(where, found, digits)}".strip(), circle))
        told = ", ".join(_told(where, found, digits) for where, found in points)
        said.append(f"{each.name + ' ' if each.name else ''}{told or 'no figures'}")
    return drawing(width, bottom + BOTTOM, title, f"{y_unit} by {x_unit}: {'; '.join(said) or 'none'}", parts)


def roc_plot(title: str, series: Mapping[str, Sequence[tuple[float, float]]], areas: Mapping[str, float]) -> str:
    """Hit rate against false alarm rate; the diagonal is a guess.

    Args:
        title: above the plot.
        series: name -> (false alarm rate, hit rate), rising from (0, 0) to (1, 1).
        areas: name -> area under the curve, for the legend.
    """
    shown = {name: f"{name} {areas[name]:.2f}" if name in areas else name for name in series}
    if len(series) == 1 and areas:
        title = f"{title}: {next(iter(areas.values())):.2f}"
    names = legend_lines(list(shown.values()), _WIDTH)
    top = TOP + 18.0 * len(names.rows)
    side = 250.0
    x = Scale(0, 1, _LEFT, _LEFT + side)
    y = Scale(0, 1, top + side, top)
    parts = [label(0, 16, title, class_="heading"), *names.parts]
    parts += [*x_axis(x, top, top + side, "false alarm rate"), *y_axis(y, x, "hit rate")]
    parts.append(element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="guide"))
    for at, points in enumerate(series.values()):
        path = "M" + "L".join(f"{x(across):.1f} {y(up):.1f}" for across, up in points)
        colour = PALETTE[at % len(PALETTE)]
        parts.append(element("path", d=path, fill="none", stroke=colour, stroke_width=2.0))
    said = ", ".join(f"{name} {areas[name]:.3f}" for name in series if name in areas)
    return drawing(_WIDTH, top + side + BOTTOM, title, f"Areas under the curves: {said or 'unknown'}", parts)


def _told(where: float, found: Estimate, digits: int) -> str:
    limits = f" ({found.low:.{digits}f} to {found.high:.{digits}f})" if found.has_interval else ""
    return f"{found.value:.{digits}f}{limits} at {where:g}"
