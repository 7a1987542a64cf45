"""Whole distributions below each other, every item drawn, and one dot per member: how figures spread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from emer_edge.report import svg

_DISTRIBUTION_ROW: Final = 46.0
_LEAST: Final = 1.5
"""Height of a single item's bar, px: the tail has to be seen."""


def distributions(
    title: str,
    unit: str,
    rows: Mapping[str, Sequence[tuple[float, int]]],
    ratio: float,
    marked: Mapping[str, Mapping[str, float]],
) -> str:
    """One histogram per row, its highest bar as tall as the row; bars of a single item can still be seen.

    `rows` holds the upper edge of each bin, ascending, and the items in it, by the name on the left. Edges are above 0,
    and the two edges of a bin have the same `ratio`, so that bins are equally wide on the axis. `marked` holds what is
    marked on a row, such as percentiles: row -> name -> value.
    """
    held = {name: bins for name, bins in rows.items() if any(count for _, count in bins)}
    reach = [edge for bins in held.values() for edge, count in bins if count]
    low, high = min(reach, default=1.0) / ratio, max(reach, default=10.0)
    if high < low * 4:
        middle = (low * high) ** 0.5
        low, high = middle / 2, middle * 2
    names = svg.name_width(list(held))
    x = svg.Scale(low, high, names, svg.WIDTH - 66, logarithmic=True)
    bottom = svg.TOP + _DISTRIBUTION_ROW * len(held)
    parts = [*svg.x_axis(x, svg.TOP, bottom, unit)]
    said = []
    for at, (row, bins) in enumerate(held.items()):
        base = svg.TOP + (at + 1) * _DISTRIBUTION_ROW
        edges, counts = zip(*bins, strict=True)
        total, most = sum(counts), max(counts)
        parts.append(svg.label(names - 8, base - 14, svg.shortened(row), "end"))
        parts.append(svg.label(svg.WIDTH, base - 14, f"n = {total:,}", "end", class_="soft"))
        parts.append(svg.element("line", x1=x.start, y1=base, x2=x.end, y2=base, class_="grid"))
        for edge, count in bins:
            if count:
                tall = max((_DISTRIBUTION_ROW - 10) * count / most, _LEAST)
                left = x(edge / ratio)
                wide = max(x(edge) - left - 0.6, 0.8)
                parts.append(svg.element("rect", x=left, y=base - tall, width=wide, height=tall, fill=svg.PALETTE[0]))
        values = marked.get(row, {})
        parts += svg.guide_lines(map(x, values.values()), base - _DISTRIBUTION_ROW + 8, base, "median")
        marks = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        said.append(f"{row}: {total} values up to {max(edges):.3g}{', ' + marks if marks else ''}")
    return svg.plot((svg.WIDTH, bottom + svg.BOTTOM), title, f"In {unit}: {'; '.join(said) or 'no values'}", parts)


_STRIP_ROW: Final = 34.0
_RADIUS: Final = 3.0
# Neighbours in a row of dots lie at different heights, the same ones in every drawing.
_HEIGHTS: Final = (0.0, -6.0, 6.0, -3.0, 3.0, -8.0, 8.0)


def strips(title: str, unit: str, rows: Mapping[str, Sequence[float]], digits: int = 1) -> str:
    """Dots on a horizontal axis, a box from quartile to quartile with the median in it, and the count on the right.

    `rows` holds a value of each member, NaN left out, by the name on the left.
    """
    held = {name: sorted(filter(math.isfinite, values)) for name, values in rows.items()}
    reach = [value for values in held.values() for value in values] or [0.0, 1.0]
    margin = (max(reach) - min(reach)) * 0.03 or 0.5
    names = svg.name_width(list(rows))
    scale = svg.Scale(min(reach) - margin, max(reach) + margin, names, svg.WIDTH - 62)
    bottom = svg.TOP + _STRIP_ROW * len(rows)
    parts = [*svg.x_axis(scale, svg.TOP, bottom, unit)]
    said = []
    for at, (row, values) in enumerate(held.items()):
        middle, colour = svg.TOP + (at + 0.5) * _STRIP_ROW, svg.PALETTE[0]
        parts.append(svg.label(names - 8, middle + 4, svg.shortened(row), "end"))
        parts.append(svg.label(svg.WIDTH, middle + 4, f"n = {len(values)}", "end", class_="soft"))
        if not values:
            said.append(f"{row}: no figures")
            continue
        quarter, median, three_quarters = (float(value) for value in np.percentile(values, (25, 50, 75)))
        left, right = scale(quarter), scale(three_quarters)
        wide = max(right - left, 1.0)
        box = svg.element("rect", x=left, y=middle - 11, width=wide, height=22.0, fill=colour, fill_opacity=0.16)
        parts.append(box)
        for number, value in enumerate(values):
            y = middle + _HEIGHTS[number % len(_HEIGHTS)]
            parts.append(svg.element("circle", cx=scale(value), cy=y, r=_RADIUS, fill=colour, fill_opacity=0.7))
        parts += svg.guide_lines([scale(median)], middle - 12, middle + 12, "median")
        figures = (values[0], quarter, median, three_quarters, values[-1])
        spoken = ", ".join(f"{figure:.{digits}f}" for figure in figures)
        said.append(f"{row}: lowest, quartiles and highest of {len(values)} are {spoken}")
    return svg.plot((svg.WIDTH, bottom + svg.BOTTOM), title, f"Spread in {unit}: {'; '.join(said) or 'none'}", parts)
