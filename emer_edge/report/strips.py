"""One dot a member, a row a group: how figures spread, beside their median and quartiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from emer_edge.report.axes import BOTTOM, TOP, WIDTH, name_width, shortened, x_axis
from emer_edge.report.svg import PALETTE, Scale, drawing, element, label

__all__ = ["Strip", "strips"]

_ROW: Final = 34.0
_RADIUS: Final = 3.0
# Neighbours in a row of dots lie at different heights, the same ones in every drawing.
_HEIGHTS: Final = (0.0, -6.0, 6.0, -3.0, 3.0, -8.0, 8.0)


@dataclass(frozen=True)
class Strip:
    """One row.

    Attributes:
        name: stands to its left.
        values: one a member; NaN is left out.
        series: rows of one series share a colour.
    """

    name: str
    values: Sequence[float]
    series: str = ""


def strips(title: str, unit: str, rows: Sequence[Strip], digits: int = 1, guides: Sequence[float] = ()) -> str:
    """Dots on a horizontal axis, a box from quartile to quartile with the median in it, and the count on the right.

    Args:
        title: above the plot.
        unit: of the axis.
        rows: from top to bottom.
        digits: decimals of what is said of them.
        guides: values that a dashed line is drawn at; the axis reaches them.
    """
    series = list(dict.fromkeys(each.series for each in rows))
    held = [sorted(value for value in each.values if math.isfinite(value)) for each in rows]
    reach = [value for values in held for value in values] + list(guides) or [0.0, 1.0]
    margin = (max(reach) - min(reach)) * 0.03 or 0.5
    names = name_width([each.name for each in rows])
    scale = Scale(min(reach) - margin, max(reach) + margin, names, WIDTH - 62)
    bottom = TOP + _ROW * len(rows)
    parts = [label(0, 16, title, class_="heading"), *x_axis(scale, TOP, bottom, unit)]
    parts += [element("line", x1=scale(at), y1=TOP, x2=scale(at), y2=bottom, class_="guide") for at in guides]
    said = []
    for at, (row, values) in enumerate(zip(rows, held, strict=True)):
        middle = TOP + (at + 0.5) * _ROW
        colour = PALETTE[series.index(row.series) % len(PALETTE)]
        parts.append(label(names - 8, middle + 4, shortened(row.name), "end"))
        parts.append(label(WIDTH, middle + 4, f"n = {len(values)}", "end", class_="soft"))
        if not values:
            said.append(f"{row.name}: no figures")
            continue
        quarter, median, three_quarters = (float(each) for each in np.percentile(values, (25, 50, 75)))
        left, right = scale(quarter), scale(three_quarters)
        wide = max(right - left, 1.0)
        parts.append(element("rect", x=left, y=middle - 11, width=wide, height=22.0, fill=colour, fill_opacity=0.16))
        for number, value in enumerate(values):
            y = middle + _HEIGHTS[number % len(_HEIGHTS)]
            parts.append(element("circle", cx=scale(value), cy=y, r=_RADIUS, fill=colour, fill_opacity=0.7))
        parts.append(
            element("line", x1=scale(median), y1=middle - 12, x2=scale(median), y2=middle + 12, class_="median")
        )
        figures = (values[0], quarter, median, three_quarters, values[-1])
        told = ", ".join(f"{each:.{digits}f}" for each in figures)
        said.append(f"{row.name}: lowest, quartiles and highest of {len(values)} are {told}")
    return drawing(WIDTH, bottom + BOTTOM, title, f"Spread in {unit}: {'; '.join(said) or 'none'}", parts)
