"""Plots as SVG text: bars with intervals, and reliability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.metrics.calibration import ReliabilityBin
from emer_edge.report.axes import BOTTOM, TOP, WIDTH, legend, name_width, shortened, x_axis, y_axis
from emer_edge.report.svg import PALETTE, Scale, drawing, element, label
from emer_edge.report.tables import Estimate

__all__ = ["Bar", "bars", "reliability_plot"]

_HEIGHT: Final = 300.0
_LEFT, _RIGHT = 56.0, 16.0
_SMALL: Final = 352.0
"""Width of plots that stand beside each other: the gallery's own, so that type has one size."""
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
    names = name_width([each.name for each in items])
    top = TOP + (20 if len(series) > 1 else 0)
    height = top + _ROW * len(items) + BOTTOM
    scale = Scale(0.0, end, names, WIDTH - 70)
    parts = [label(0, 16, title, class_="heading"), *legend(series)]
    parts += x_axis(scale, top, height - BOTTOM, unit)
    said = []
    for at, each in enumerate(items):
        y, colour = top + at * _ROW, PALETTE[series.index(each.series) % len(PALETTE)]
        if at == 0 or items[at - 1].name != each.name:
            parts.append(label(names - 8, y + 17, shortened(each.name), "end"))
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
    return drawing(WIDTH, height, title, f"Bars in {unit}: {'; '.join(said)}", parts)


def reliability_plot(title: str, bins: Sequence[ReliabilityBin] | Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """Accuracy against confidence; the diagonal is a perfect forecast, areas of dots are counts.

    Several forecasts (name -> bins) get a colour each, and a line through their dots.
    """
    series = bins if isinstance(bins, Mapping) else {"": bins}
    top = TOP + (20 if len(series) > 1 else 0)
    side = _HEIGHT - TOP - BOTTOM
    x = Scale(0, 1, _LEFT, _LEFT + side)
    y = Scale(0, 1, top + side, top)
    used = {name: [each for each in given if each.count] for name, given in series.items()}
    largest = max([each.count for given in used.values() for each in given] + [1])
    parts = [
        label(0, 16, title, class_="heading"),
        *legend(list(series)),
        *x_axis(x, top, top + side, "confidence"),
        *y_axis(y, x, "accuracy"),
    ]
    parts.append(element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="guide"))
    said = []
    for at, (name, given) in enumerate(used.items()):
        colour = PALETTE[at % len(PALETTE)]
        places = [(x(each.confidence), y(each.accuracy)) for each in given]
        if len(series) > 1 and places:
            line = "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in places)
            parts.append(element("path", d=line, fill="none", stroke=colour, stroke_width=1.5))
        for each, (across, down) in zip(given, places, strict=True):
            radius = 2 + 8 * math.sqrt(each.count / largest)
            parts.append(element("circle", cx=across, cy=down, r=radius, fill=colour, fill_opacity=0.6))
        told = "; ".join(f"{each.count} at {each.confidence:.2f}: {each.accuracy:.2f} right" for each in given)
        said.append(f"{name + ': ' if name else ''}{told or 'no predictions'}")
    return drawing(_SMALL, top + side + BOTTOM, title, ". ".join(said), parts)
