"""Ranges within ranges: what was met, and what of it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.report.axes import BOTTOM, TOP, WIDTH, legend, name_width, shortened, x_axis
from emer_edge.report.svg import PALETTE, Scale, drawing, element, label

__all__ = ["Span", "spans"]

_BAR: Final = 6.0
_GAP: Final = 10.0
_GREY: Final = "#8a929a"


@dataclass(frozen=True)
class Span:
    """One row.

    Attributes:
        name: stands to its left.
        outer: lowest and highest value met.
        inner: series -> lowest and highest value kept.
    """

    name: str
    outer: tuple[float, float]
    inner: Mapping[str, tuple[float, float]]


def spans(title: str, rows: Sequence[Span], met: str = "met") -> str:
    """Each row in units of the largest magnitude met in it: a grey bar for what was met, coloured ones for series.

    Args:
        title: above the plot.
        rows: from top to bottom.
        met: what the grey bar is called.
    """
    series = list(dict.fromkeys(name for each in rows for name in each.inner))
    names = name_width([each.name for each in rows])
    top, height_of_row = TOP + 20, _BAR * (len(series) + 1) + _GAP
    bottom = top + height_of_row * len(rows)
    shares = [_shares(each) for each in rows]
    reach = [end for met_in, kept in shares for pair in (met_in, *kept.values()) for end in pair]
    scale = Scale(min([*reach, 0.0]) - 0.05, max([*reach, 1.0]) + 0.05, names, WIDTH - 16)
    # The grey bar comes last, so that series keep the colours that they have elsewhere on a page.
    parts = [
        label(0, 16, title, class_="heading"),
        *legend([*series, met], (*PALETTE[1 : 1 + len(series)], _GREY)),
        *x_axis(scale, top, bottom, "share of the largest magnitude met"),
    ]
    said = []
    for at, (row, (met_in, kept)) in enumerate(zip(rows, shares, strict=True)):
        y = top + at * height_of_row + _GAP / 2
        parts.append(label(names - 8, y + (height_of_row - _GAP) / 2 + 4, shortened(row.name), "end"))
        parts.append(_bar(scale, met_in, y, _GREY))
        for number, (name, pair) in enumerate(kept.items(), start=1):
            parts.append(_bar(scale, pair, y + number * _BAR, PALETTE[1 + series.index(name)]))
        told = ", ".join(f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in row.inner.items())
        said.append(f"{row.name}: {met} {row.outer[0]:.3g} to {row.outer[1]:.3g}, {told}")
    return drawing(WIDTH, bottom + BOTTOM, title, "; ".join(said) or "none", parts)


def _shares(row: Span) -> tuple[tuple[float, float], dict[str, tuple[float, float]]]:
    largest = max(abs(row.outer[0]), abs(row.outer[1])) or 1.0
    kept = {name: (low / largest, high / largest) for name, (low, high) in row.inner.items()}
    return (row.outer[0] / largest, row.outer[1] / largest), kept


def _bar(scale: Scale, pair: tuple[float, float], y: float, colour: str) -> str:
    left, right = scale(pair[0]), scale(pair[1])
    return element("rect", x=left, y=y, width=max(right - left, 1.0), height=_BAR - 1, fill=colour)
