"""Plots as SVG text: bars with intervals, reliability, histogram, cumulative distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.metrics.calibration import ReliabilityBin
from emer_edge.report.svg import PALETTE, Scale, drawing, element, label
from emer_edge.report.tables import Estimate

__all__ = ["Bar", "Curve", "bars", "cumulative", "histogram", "reliability_plot"]

_WIDTH: Final = 680.0
_HEIGHT: Final = 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 16.0, 34.0, 44.0
_ROW: Final = 26.0
_CHARACTER: Final = 7.2  # px of an average character at the page's 13 px


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


@dataclass(frozen=True)
class Curve:
    """A distribution.

    Attributes:
        name: for the legend.
        edges: upper edges of its bins, ascending.
        counts: items in each bin.
    """

    name: str
    edges: Sequence[float]
    counts: Sequence[int]


def bars(title: str, unit: str, items: Sequence[Bar], digits: int = 1, highest: float | None = None) -> str:
    """Horizontal bars from zero, whiskers where there are intervals; `highest` fixes the end of the axis."""
    series = list(dict.fromkeys(each.series for each in items))
    reach = [each.estimate.high if each.estimate.has_interval else each.estimate.value for each in items]
    end = highest if highest is not None else max([each for each in reach if math.isfinite(each)] + [1e-9]) * 1.02
    names = min(max([len(each.name) for each in items] + [4]) * _CHARACTER + 12, 240)
    top = _TOP + (20 if len(series) > 1 else 0)
    height = top + _ROW * len(items) + _BOTTOM
    scale = Scale(0.0, end, names, _WIDTH - 70)
    parts = [label(0, 16, title, class_="heading"), *_legend(series)]
    parts += _x_axis(scale, top, height - _BOTTOM, unit)
    said = []
    for at, each in enumerate(items):
        y, colour = top + at * _ROW, PALETTE[series.index(each.series) % len(PALETTE)]
        parts.append(label(names - 8, y + 17, each.name, "end"))
        text = f"{each.estimate.value:.{digits}f}" if math.isfinite(each.estimate.value) else "no figure"
        stop = names
        if math.isfinite(each.estimate.value):
            stop = scale(each.estimate.value)
            parts.append(element("rect", x=names, y=y + 4, width=max(stop - names, 0.5), height=_ROW - 8, fill=colour))
        if each.estimate.has_interval:
            left, right, middle = scale(each.estimate.low), scale(each.estimate.high), y + _ROW / 2
            parts.append(
                element("path", d=f"M{left:.1f} {middle}H{right:.1f}M{left:.1f} {middle - 4}v8", class_="whisker")
            )
            parts.append(element("path", d=f"M{right:.1f} {middle - 4}v8", class_="whisker"))
            stop = max(stop, right)
            text_said = f"{text} ({each.estimate.low:.{digits}f} to {each.estimate.high:.{digits}f})"
        else:
            text_said = text
        parts.append(label(stop + 6, y + 17, text, class_="figure"))
        said.append(f"{each.series + ' ' if each.series else ''}{each.name}: {text_said}")
    return drawing(_WIDTH, height, title, f"Bars in {unit}: {'; '.join(said)}", parts)


def reliability_plot(title: str, bins: Sequence[ReliabilityBin]) -> str:
    """Accuracy against confidence; the diagonal is a perfect forecast, areas of dots are counts."""
    side = _HEIGHT - _TOP - _BOTTOM
    x = Scale(0, 1, _LEFT, _LEFT + side)
    y = Scale(0, 1, _TOP + side, _TOP)
    used = [each for each in bins if each.count]
    largest = max([each.count for each in used] + [1])
    parts = [
        label(0, 16, title, class_="heading"),
        *_x_axis(x, _TOP, _TOP + side, "confidence"),
        *_y_axis(y, x, "accuracy"),
    ]
    parts.append(element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="guide"))
    for each in used:
        radius = 2 + 8 * math.sqrt(each.count / largest)
        x_px, y_px = x(each.confidence), y(each.accuracy)
        parts.append(element("circle", cx=x_px, cy=y_px, r=radius, fill=PALETTE[0], fill_opacity=0.75))
    said = "; ".join(f"{each.count} at {each.confidence:.2f}: {each.accuracy:.2f} right" for each in used)
    return drawing(_LEFT + side + _RIGHT, _HEIGHT, title, said or "no predictions", parts)


def histogram(title: str, unit: str, edges: Sequence[float], counts: Sequence[int]) -> str:
    """Counts between consecutive edges (one more edge than counts)."""
    x = Scale(edges[0], edges[-1], _LEFT, _WIDTH - _RIGHT)
    y = Scale(0, max([*counts, 1]), _HEIGHT - _BOTTOM, _TOP)
    parts = [label(0, 16, title, class_="heading"), *_x_axis(x, _TOP, _HEIGHT - _BOTTOM, unit), *_y_axis(y, x, "count")]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if count:
            width = max(x(high) - x(low) - 1, 0.5)
            parts.append(element("rect", x=x(low), y=y(count), width=width, height=y(0) - y(count), fill=PALETTE[0]))
    total = sum(counts)
    return drawing(_WIDTH, _HEIGHT, title, f"{total} values from {edges[0]:g} to {edges[-1]:g} {unit}", parts)


def cumulative(title: str, unit: str, curves: Sequence[Curve]) -> str:
    """Cumulative distributions on a logarithmic axis; every item counts, the slowest too."""
    held = [each for each in curves if sum(each.counts)]
    low = min([edge for each in held for edge in each.edges if edge > 0] + [1.0])
    high = max([edge for each in held for edge in each.edges] + [low * 10])
    if high < low * 2:
        low, high = low / 2, high * 2
    top = _TOP + 20
    x = Scale(low, high, _LEFT, _WIDTH - _RIGHT, logarithmic=True)
    y = Scale(0, 1, _HEIGHT - _BOTTOM, top)
    parts = [label(0, 16, title, class_="heading"), *_legend([each.name for each in held])]
    parts += [*_x_axis(x, top, _HEIGHT - _BOTTOM, unit), *_y_axis(y, x, "share")]
    for at, each in enumerate(held):
        total, seen = sum(each.counts), 0
        path = [f"M{x(each.edges[0]):.1f} {y(0):.1f}"]
        for edge, count in zip(each.edges, each.counts, strict=True):
            seen += count
            path.append(f"H{x(edge):.1f}V{y(seen / total):.1f}")
        colour = PALETTE[at % len(PALETTE)]
        parts.append(element("path", d="".join(path), fill="none", stroke=colour, stroke_width=2.0))
    said = "; ".join(f"{each.name}: {sum(each.counts)} values up to {each.edges[-1]:.3g} {unit}" for each in held)
    return drawing(_WIDTH, _HEIGHT, title, said or "no values", parts)


def _x_axis(scale: Scale, top: float, bottom: float, unit: str) -> list[str]:
    parts = []
    for tick in scale.ticks(6):
        at = scale(tick)
        parts.append(element("line", x1=at, y1=top, x2=at, y2=bottom, class_="grid"))
        parts.append(label(at, bottom + 16, f"{tick:g}", "middle"))
    return [*parts, label((scale.start + scale.end) / 2, bottom + 36, unit, "middle")]


def _y_axis(scale: Scale, x: Scale, unit: str) -> list[str]:
    parts = []
    for tick in scale.ticks(4):
        at = scale(tick)
        parts.append(element("line", x1=x.start, y1=at, x2=x.end, y2=at, class_="grid"))
        parts.append(label(x.start - 6, at + 4, f"{tick:g}", "end"))
    middle = (scale.start + scale.end) / 2
    return [*parts, label(14, middle, unit, "middle", transform=f"rotate(-90 14 {middle:g})")]


def _legend(names: Sequence[str]) -> list[str]:
    if len(names) < 2:
        return []
    parts, x = [], 0.0
    for at, name in enumerate(names):
        parts.append(element("rect", x=x, y=26.0, width=11.0, height=11.0, fill=PALETTE[at % len(PALETTE)]))
        parts.append(label(x + 16, 36, name))
        x += 16 + len(name) * _CHARACTER + 18
    return parts
