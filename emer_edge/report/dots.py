"""Dots with intervals, several series to a row: what differs, and whether by more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from emer_edge.report.axes import BOTTOM, TOP, WIDTH, legend, name_width, shortened, x_axis
from emer_edge.report.plots import Bar
from emer_edge.report.svg import PALETTE, Scale, drawing, element, hinted, label

__all__ = ["dots"]

_SERIES: Final = 11.0
_GAP: Final = 10.0
_RADIUS: Final = 4.0


def dots(
    title: str,
    unit: str,
    items: Sequence[Bar],
    digits: int = 1,
    guides: Sequence[float] = (),
    most: float = math.inf,
    skipped: int = 0,
) -> str:
    """Dots on a horizontal axis that need not start at zero, with whiskers where there are intervals.

    Args:
        title: above the plot.
        unit: of the axis.
        items: one a dot; those of one name share a row, those of one series a colour.
        digits: decimals of what is said of them.
        guides: values that a dashed line is drawn at; the axis reaches them.
        most: the axis ends at minus and plus this; whiskers beyond are cut off there.
        skipped: colours left out at the start, so that a series has the same one in several plots of a page.
    """
    palette = PALETTE[skipped:]
    series = list(dict.fromkeys(each.series for each in items))
    rows = list(dict.fromkeys(each.name for each in items))
    reach = [end for each in items for end in (each.estimate.value, each.estimate.low, each.estimate.high)]
    reach = [max(-most, min(most, each)) for each in (*reach, *guides) if math.isfinite(each)] or [0.0, 1.0]
    margin = (max(reach) - min(reach)) * 0.04 or 0.5
    names = name_width(rows)
    top = TOP + (20 if len(series) > 1 else 0)
    height_of_row = _SERIES * len(series) + _GAP
    bottom = top + height_of_row * len(rows)
    scale = Scale(min(reach) - margin, max(reach) + margin, names, WIDTH - 16)
    parts = [label(0, 16, title, class_="heading"), *legend(series, palette), *x_axis(scale, top, bottom, unit)]
    parts += [element("line", x1=scale(at), y1=top, x2=scale(at), y2=bottom, class_="guide") for at in guides]
    for at, name in enumerate(rows):
        y = top + at * height_of_row
        parts.append(label(names - 8, y + height_of_row / 2 + 4, shortened(name), "end"))
        parts.append(element("line", x1=names, y1=y, x2=WIDTH - 16, y2=y, class_="grid"))
    said = []
    for each in items:
        colour = palette[series.index(each.series) % len(palette)]
        y = top + rows.index(each.name) * height_of_row + _GAP / 2 + _SERIES * (series.index(each.series) + 0.5)
        text = "no figure"
        if each.estimate.has_interval:
            left, right = scale(each.estimate.low), scale(each.estimate.high)
            parts.append(element("path", d=f"M{left:.1f} {y:.1f}H{right:.1f}", stroke=colour, stroke_width=2.0))
        if math.isfinite(each.estimate.value):
            text = f"{each.estimate.value:.{digits}f}"
        if each.estimate.has_interval:
            text += f" ({each.estimate.low:.{digits}f} to {each.estimate.high:.{digits}f})"
        said.append(f"{each.series + ' ' if each.series else ''}{each.name}: {text}")
        if math.isfinite(each.estimate.value):
            circle = element("circle", cx=scale(each.estimate.value), cy=y, r=_RADIUS, fill=colour)
            parts.append(hinted(said[-1], circle))
    return drawing(WIDTH, bottom + BOTTOM, title, f"Dots in {unit}: {'; '.join(said) or 'none'}", parts)
