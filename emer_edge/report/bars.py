"""A row a name: bars from zero, dots that need not start there, ranges within ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.report import svg
from emer_edge.report.tables import Estimate

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


def bars(title: str, unit: str, items: Sequence[Bar], digits: int = 1, highest: float | None = None) -> str:
    """Horizontal bars from zero, whiskers where there are intervals; `highest` fixes the end of the axis."""
    series = list(dict.fromkeys(each.series for each in items))
    reach = [each.estimate.high if each.estimate.has_interval else each.estimate.value for each in items]
    end = highest if highest is not None else max([each for each in reach if math.isfinite(each)] + [1e-9]) * 1.02
    names = svg.name_width([each.name for each in items])
    top = svg.TOP + (20 if len(series) > 1 else 0)
    height = top + _ROW * len(items) + svg.BOTTOM
    scale = svg.Scale(0.0, end, names, svg.WIDTH - 70)
    parts = [svg.label(0, 16, title, class_="heading"), *svg.legend(series)]
    parts += svg.x_axis(scale, top, height - svg.BOTTOM, unit)
    said = []
    for at, each in enumerate(items):
        y, colour = top + at * _ROW, svg.PALETTE[series.index(each.series) % len(svg.PALETTE)]
        if at == 0 or items[at - 1].name != each.name:
            parts.append(svg.label(names - 8, y + 17, svg.shortened(each.name), "end"))
        text = f"{each.estimate.value:.{digits}f}" if math.isfinite(each.estimate.value) else "no figure"
        stop = names
        if math.isfinite(each.estimate.value):
            stop = scale(each.estimate.value)
            parts.append(
                svg.element("rect", x=names, y=y + 4, width=max(stop - names, 0.5), height=_ROW - 8, fill=colour)
            )
        if each.estimate.has_interval:
            left, right, middle = scale(each.estimate.low), scale(each.estimate.high), y + _ROW / 2
            parts.append(
                svg.element("path", d=f"M{left:.1f} {middle}H{right:.1f}M{left:.1f} {middle - 4}v8", class_="whisker")
            )
            parts.append(svg.element("path", d=f"M{right:.1f} {middle - 4}v8", class_="whisker"))
            stop = max(stop, right)
        parts.append(svg.label(stop + 6, y + 17, text, class_="figure"))
        said.append(f"{each.series + ' ' if each.series else ''}{each.name}: {each.estimate.told(digits)}")
    return svg.drawing((svg.WIDTH, height), title, f"Bars in {unit}: {'; '.join(said)}", parts)


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

    Args:
        title: above the plot.
        unit: of the axis.
        items: one a dot; those of one name share a row, those of one series a colour.
        digits: decimals of what is said of them.
        guides: values that a dashed line is drawn at; the axis reaches them.
        most: the axis ends at minus and plus this; whiskers beyond are cut off there.
        skipped: colours left out at the start, so that a series has the same one in several plots of a page.
    """
    palette = svg.PALETTE[skipped:]
    series = list(dict.fromkeys(each.series for each in items))
    rows = list(dict.fromkeys(each.name for each in items))
    reach = [end for each in items for end in (each.estimate.value, each.estimate.low, each.estimate.high)]
    reach = [max(-most, min(most, each)) for each in (*reach, *guides) if math.isfinite(each)] or [0.0, 1.0]
    margin = (max(reach) - min(reach)) * 0.04 or 0.5
    names = svg.name_width(rows)
    top = svg.TOP + (20 if len(series) > 1 else 0)
    height_of_row = _SERIES * len(series) + _GAP
    bottom = top + height_of_row * len(rows)
    scale = svg.Scale(min(reach) - margin, max(reach) + margin, names, svg.WIDTH - 16)
    parts = [
        svg.label(0, 16, title, class_="heading"),
        *svg.legend(series, palette),
        *svg.x_axis(scale, top, bottom, unit),
    ]
    parts += [svg.element("line", x1=scale(at), y1=top, x2=scale(at), y2=bottom, class_="guide") for at in guides]
    for at, name in enumerate(rows):
        y = top + at * height_of_row
        parts.append(svg.label(names - 8, y + height_of_row / 2 + 4, svg.shortened(name), "end"))
        parts.append(svg.element("line", x1=names, y1=y, x2=svg.WIDTH - 16, y2=y, class_="grid"))
    said = []
    for each in items:
        colour = palette[series.index(each.series) % len(palette)]
        y = top + rows.index(each.name) * height_of_row + _GAP / 2 + _SERIES * (series.index(each.series) + 0.5)
        if each.estimate.has_interval:
            left, right = scale(each.estimate.low), scale(each.estimate.high)
            parts.append(svg.element("path", d=f"M{left:.1f} {y:.1f}H{right:.1f}", stroke=colour, stroke_width=2.0))
        said.append(f"{each.series + ' ' if each.series else ''}{each.name}: {each.estimate.told(digits)}")
        if math.isfinite(each.estimate.value):
            circle = svg.element("circle", cx=scale(each.estimate.value), cy=y, r=_RADIUS, fill=colour)
            parts.append(svg.hinted(said[-1], circle))
    return svg.drawing((svg.WIDTH, bottom + svg.BOTTOM), title, f"Dots in {unit}: {'; '.join(said) or 'none'}", parts)


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
    names = svg.name_width([each.name for each in rows])
    top, height_of_row = svg.TOP + 20, _BAR * (len(series) + 1) + _GAP
    bottom = top + height_of_row * len(rows)
    shares = [_shares(each) for each in rows]
    reach = [end for met_in, kept in shares for pair in (met_in, *kept.values()) for end in pair]
    scale = svg.Scale(min([*reach, 0.0]) - 0.05, max([*reach, 1.0]) + 0.05, names, svg.WIDTH - 16)
    # The grey bar comes last, so that series keep the colours that they have elsewhere on a page.
    parts = [
        svg.label(0, 16, title, class_="heading"),
        *svg.legend([*series, met], (*svg.PALETTE[1 : 1 + len(series)], _GREY)),
        *svg.x_axis(scale, top, bottom, "share of the largest magnitude met"),
    ]
    said = []
    for at, (row, (met_in, kept)) in enumerate(zip(rows, shares, strict=True)):
        y = top + at * height_of_row + _GAP / 2
        parts.append(svg.label(names - 8, y + (height_of_row - _GAP) / 2 + 4, svg.shortened(row.name), "end"))
        parts.append(_span_bar(scale, met_in, y, _GREY))
        for number, (name, pair) in enumerate(kept.items(), start=1):
            parts.append(_span_bar(scale, pair, y + number * _BAR, svg.PALETTE[1 + series.index(name)]))
        told = ", ".join(f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in row.inner.items())
        said.append(f"{row.name}: {met} {row.outer[0]:.3g} to {row.outer[1]:.3g}, {told}")
    return svg.drawing((svg.WIDTH, bottom + svg.BOTTOM), title, "; ".join(said) or "none", parts)


def _shares(row: Span) -> tuple[tuple[float, float], dict[str, tuple[float, float]]]:
    largest = max(abs(row.outer[0]), abs(row.outer[1])) or 1.0
    kept = {name: (low / largest, high / largest) for name, (low, high) in row.inner.items()}
    return (row.outer[0] / largest, row.outer[1] / largest), kept


def _span_bar(scale: svg.Scale, pair: tuple[float, float], y: float, colour: str) -> str:
    left, right = scale(pair[0]), scale(pair[1])
    return svg.element("rect", x=left, y=y, width=max(right - left, 1.0), height=_BAR - 1, fill=colour)
