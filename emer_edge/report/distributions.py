"""Whole distributions below each other on one logarithmic axis: every item is drawn, the slowest too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.report.axes import BOTTOM, TOP, WIDTH, name_width, shortened, x_axis
from emer_edge.report.svg import PALETTE, Scale, drawing, element, label

__all__ = ["Distribution", "distributions"]

_ROW: Final = 46.0
_LEAST: Final = 1.5
"""Height of a single item's bar, px: the tail has to be seen."""


@dataclass(frozen=True)
class Distribution:
    """One row.

    Attributes:
        name: stands to its left.
        edges: upper edges of its bins, ascending.
        counts: items in each bin.
    """

    name: str
    edges: Sequence[float]
    counts: Sequence[int]


def distributions(
    title: str,
    unit: str,
    rows: Sequence[Distribution],
    ratio: float,
    marked: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """A histogram a row, its highest bar as high as the row; bars of a single item can still be seen.

    Args:
        title: above the plot.
        unit: of the axis.
        rows: from top to bottom; all edges are above 0.
        ratio: of the two edges of a bin, above 1: bins are equally wide on the axis.
        marked: row -> name -> value of what is marked on its axis, such as percentiles.
    """
    held = [each for each in rows if sum(each.counts)]
    marked = marked or {}
    reach = [edge for each in held for edge, count in zip(each.edges, each.counts, strict=True) if count]
    low, high = min(reach, default=1.0) / ratio, max(reach, default=10.0)
    if high < low * 4:
        middle = (low * high) ** 0.5
        low, high = middle / 2, middle * 2
    names = name_width([each.name for each in held])
    x = Scale(low, high, names, WIDTH - 66, logarithmic=True)
    bottom = TOP + _ROW * len(held)
    parts = [label(0, 16, title, class_="heading"), *x_axis(x, TOP, bottom, unit)]
    said = []
    for at, each in enumerate(held):
        base = TOP + (at + 1) * _ROW
        total, most = sum(each.counts), max(each.counts)
        parts.append(label(names - 8, base - 14, shortened(each.name), "end"))
        parts.append(label(WIDTH, base - 14, f"n = {total:,}", "end", class_="soft"))
        parts.append(element("line", x1=x.start, y1=base, x2=x.end, y2=base, class_="grid"))
        for edge, count in zip(each.edges, each.counts, strict=True):
            if count:
                tall = max((_ROW - 10) * count / most, _LEAST)
                left = x(edge / ratio)
                wide = max(x(edge) - left - 0.6, 0.8)
                parts.append(element("rect", x=left, y=base - tall, width=wide, height=tall, fill=PALETTE[0]))
        values = marked.get(each.name, {})
        for value in values.values():
            parts.append(element("line", x1=x(value), y1=base - _ROW + 8, x2=x(value), y2=base, class_="median"))
        told = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        said.append(f"{each.name}: {total} values up to {max(each.edges):.3g}{', ' + told if told else ''}")
    return drawing(WIDTH, bottom + BOTTOM, title, f"In {unit}: {'; '.join(said) or 'no values'}", parts)
