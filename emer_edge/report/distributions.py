"""Whole distributions below each other on one logarithmic axis: every item is drawn, the slowest too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from emer_edge.report.axes import BOTTOM, TOP, WIDTH, name_width, shortened, x_axis
from emer_edge.report.plots import Curve
from emer_edge.report.svg import PALETTE, Scale, drawing, element, label

__all__ = ["distributions"]

_ROW: Final = 46.0
_BINS: Final = 90
_LEAST: Final = 1.5
"""Height of a single item's bar, px: the tail has to be seen."""


def distributions(
    title: str, unit: str, rows: Sequence[Curve], marked: Mapping[str, Mapping[str, float]] | None = None
) -> str:
    """A histogram a row, its highest bar as high as the row; bars of a single item can still be seen.

    Args:
        title: above the plot.
        unit: of the axis.
        rows: from top to bottom; all values are above 0.
        marked: row -> name -> value of what is marked on its axis, such as percentiles.
    """
    held = [each for each in rows if sum(each.counts)]
    marked = marked or {}
    reach = [edge for each in held for edge, count in zip(each.edges, each.counts, strict=True) if count and edge > 0]
    reach += [value for each in held for value in marked.get(each.name, {}).values() if value > 0]
    low, high = min(reach, default=1.0), max(reach, default=10.0)
    low, high = low * 0.93, max(high * 1.07, low * 2)
    names = name_width([each.name for each in held])
    x = Scale(low, high, names, WIDTH - 66, logarithmic=True)
    bottom = TOP + _ROW * len(held)
    parts = [label(0, 16, title, class_="heading"), *x_axis(x, TOP, bottom, unit)]
    said = []
    width = (x.end - x.start) / _BINS
    for at, each in enumerate(held):
        base = TOP + (at + 1) * _ROW
        total = sum(each.counts)
        bars = [0] * _BINS
        for edge, count in zip(each.edges, each.counts, strict=True):
            bars[min(int(_BINS * math.log(max(edge, low) / low) / math.log(high / low)), _BINS - 1)] += count
        parts.append(label(names - 8, base - 14, shortened(each.name), "end"))
        parts.append(label(WIDTH, base - 14, f"n = {total:,}", "end", class_="soft"))
        parts.append(element("line", x1=x.start, y1=base, x2=x.end, y2=base, class_="grid"))
        for number, count in enumerate(bars):
            if count:
                tall = max((_ROW - 10) * count / max(bars), _LEAST)
                left = x.start + number * width
                parts.append(element("rect", x=left, y=base - tall, width=width - 0.4, height=tall, fill=PALETTE[0]))
        for value in marked.get(each.name, {}).values():
            parts.append(element("line", x1=x(value), y1=base - _ROW + 8, x2=x(value), y2=base, class_="median"))
        told = ", ".join(f"{name} {value:.3g}" for name, value in marked.get(each.name, {}).items())
        said.append(f"{each.name}: {total} values{', ' + told if told else ''}, largest {max(each.edges):.3g}")
    return drawing(WIDTH, bottom + BOTTOM, title, f"In {unit}: {'; '.join(said) or 'no values'}", parts)
