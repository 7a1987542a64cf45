"""One row per name: bars from zero, dots that need not start there, ranges within ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.report import svg
from emer_edge.report.table import Estimate

_ROW: Final = 26.0


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        name: stands to its left.
        estimate: its length and whiskers.
        series: bars of one series share a colour; empty when there is one series only.
    """

    name: str
    estimate: Estimate
    series: str = ""


def bars(title: str, unit: str, items: Sequence[Bar], digits: int = 1) -> str:
    """Horizontal bars from zero, whiskers where there are intervals."""
    series = list(dict.fromkeys(item.series for item in items))
    reach = [item.estimate.high if item.estimate.has_interval else item.estimate.value for item in items]
    end = max([value for value in reach if math.isfinite(value)] + [1e-9]) * 1.02
    names = svg.name_width([item.name for item in items])
    top = svg.TOP + (20 if len(series) > 1 else 0)
    height = top + _ROW * len(items) + svg.BOTTOM
    scale = svg.Scale(0.0, end, names, svg.WIDTH - 70)
    parts = [*svg.legend(series), *svg.x_axis(scale, top, height - svg.BOTTOM, unit)]
    said = []
    for at, item in enumerate(items):
        y, colour = top + at * _ROW, svg.PALETTE[series.index(item.series) % len(svg.PALETTE)]
        if at == 0 or items[at - 1].name != item.name:
            parts.append(svg.label(names - 8, y + 17, svg.shortened(item.name), "end"))
        text = f"{item.estimate.value:.{digits}f}" if math.isfinite(item.estimate.value) else "no figure"
        stop = names
        if math.isfinite(item.estimate.value):
            stop = scale(item.estimate.value)
            wide = max(stop - names, 0.5)
            parts.append(svg.element("rect", x=names, y=y + 4, width=wide, height=_ROW - 8, fill=colour))
        if item.estimate.has_interval:
            left, right, middle = scale(item.estimate.low), scale(item.estimate.high), y + _ROW / 2
            line = f"M{left:.1f} {middle}H{right:.1f}M{left:.1f} {middle - 4}v8"
            parts.append(svg.element("path", d=line, class_="whisker"))
            parts.append(svg.element("path", d=f"M{right:.1f} {middle - 4}v8", class_="whisker"))
            stop = max(stop, right)
        parts.append(svg.label(stop + 6, y + 17, text, class_="figure"))
        said.append(f"{item.series + ' ' if item.series else ''}{item.name}: {item.estimate.spoken(digits)}")
    return svg.plot((svg.WIDTH, height), title, f"Bars in {unit}: {'; '.join(said)}", parts)


_SERIES: Final = 11.0
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

    Items of one name share a row, those of one series a colour. Dashed lines are drawn at the `guides`, which the axis
    reaches. It ends at minus and plus `most`, where whiskers are cut off. `skipped` colours are left out at the start,
    so that a series has the same one in several plots of a page.
    """
    palette = svg.PALETTE[skipped:]
    series = list(dict.fromkeys(item.series for item in items))
    rows = list(dict.fromkeys(item.name for item in items))
    reach = [*(end for item in items for end in item.estimate.ends), *guides]
    reach = [max(-most, min(most, value)) for value in reach] or [0.0, 1.0]
    margin = (max(reach) - min(reach)) * 0.04 or 0.5
    names = svg.name_width(rows)
    top = svg.TOP + (20 if len(series) > 1 else 0)
    height_of_row = _SERIES * len(series) + _GAP
    bottom = top + height_of_row * len(rows)
    scale = svg.Scale(min(reach) - margin, max(reach) + margin, names, svg.WIDTH - 16)
    parts = [*svg.legend(series, palette), *svg.x_axis(scale, top, bottom, unit)]
    parts += svg.guide_lines(map(scale, guides), top, bottom)
    for at, name in enumerate(rows):
        y = top + at * height_of_row
        parts.append(svg.label(names - 8, y + height_of_row / 2 + 4, svg.shortened(name), "end"))
        parts.append(svg.element("line", x1=names, y1=y, x2=svg.WIDTH - 16, y2=y, class_="grid"))
    said = []
    for item in items:
        colour = palette[series.index(item.series) % len(palette)]
        y = top + rows.index(item.name) * height_of_row + _GAP / 2 + _SERIES * (series.index(item.series) + 0.5)
        if item.estimate.has_interval:
            left, right = scale(item.estimate.low), scale(item.estimate.high)
            parts.append(svg.element("path", d=f"M{left:.1f} {y:.1f}H{right:.1f}", stroke=colour, stroke_width=2.0))
        said.append(f"{item.series + ' ' if item.series else ''}{item.name}: {item.estimate.spoken(digits)}")
        if math.isfinite(item.estimate.value):
            circle = svg.element("circle", cx=scale(item.estimate.value), cy=y, r=_RADIUS, fill=colour)
            parts.append(svg.hinted(said[-1], circle))
    return svg.plot((svg.WIDTH, bottom + svg.BOTTOM), title, f"Dots in {unit}: {'; '.join(said) or 'none'}", parts)


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


def spans(title: str, rows: Sequence[Span]) -> str:
    """Each row in units of the largest magnitude met in it: a grey bar for what was met, coloured ones for series."""
    series = list(dict.fromkeys(name for row in rows for name in row.inner))
    names = svg.name_width([row.name for row in rows])
    top, height_of_row = svg.TOP + 20, _BAR * (len(series) + 1) + _GAP
    bottom = top + height_of_row * len(rows)
    shares = [_shares(row) for row in rows]
    reach = [end for met_in, kept in shares for pair in (met_in, *kept.values()) for end in pair]
    scale = svg.Scale(min([*reach, 0.0]) - 0.05, max([*reach, 1.0]) + 0.05, names, svg.WIDTH - 16)
    # The grey bar comes last, so that series keep the colours that they have elsewhere on a page.
    parts = [
        *svg.legend([*series, "met"], (*svg.PALETTE[1 : 1 + len(series)], _GREY)),
        *svg.x_axis(scale, top, bottom, "share of the largest magnitude met"),
    ]
    said = []
    for at, (row, (met_in, kept)) in enumerate(zip(rows, shares, strict=True)):
        y = top + at * height_of_row + _GAP / 2
        parts.append(svg.label(names - 8, y + (height_of_row - _GAP) / 2 + 4, svg.shortened(row.name), "end"))
        parts.append(_span_bar(scale, met_in, y, _GREY))
        for number, (name, pair) in enumerate(kept.items(), start=1):
            parts.append(_span_bar(scale, pair, y + number * _BAR, svg.PALETTE[1 + series.index(name)]))
        kept_text = ", ".join(f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in row.inner.items())
        said.append(f"{row.name}: met {row.outer[0]:.3g} to {row.outer[1]:.3g}, {kept_text}")
    return svg.plot((svg.WIDTH, bottom + svg.BOTTOM), title, "; ".join(said) or "none", parts)


def _shares(row: Span) -> tuple[tuple[float, float], dict[str, tuple[float, float]]]:
    largest = max(abs(row.outer[0]), abs(row.outer[1])) or 1.0
    kept = {name: (low / largest, high / largest) for name, (low, high) in row.inner.items()}
    return (row.outer[0] / largest, row.outer[1] / largest), kept


def _span_bar(scale: svg.Scale, pair: tuple[float, float], y: float, colour: str) -> str:
    left, right = scale(pair[0]), scale(pair[1])
    return svg.element("rect", x=left, y=y, width=max(right - left, 1.0), height=_BAR - 1, fill=colour)
