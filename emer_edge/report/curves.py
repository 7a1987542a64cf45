"""Curves with intervals and receiver operating characteristics; what was taken for what; reliability.

All are small enough to stand beside others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.metrics.probabilities import ReliabilityBin
from emer_edge.report import svg
from emer_edge.report.tables import Estimate

_WIDTH: Final = 352.0
_HEIGHT: Final = 250.0
_LEFT: Final = 52.0
_RIGHT: Final = 14.0


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: for the legend.
        points: where and how much, in the order of the axis.
    """

    name: str
    points: tuple[tuple[float, Estimate], ...]


def curves(
    title: str,
    x_unit: str,
    y_unit: str,
    lines: Sequence[Line],
    digits: int = 1,
    guides: Sequence[float] = (),
    floor: float | None = None,
    width: float = _WIDTH,
) -> str:
    """Lines through points, a band where there are intervals; small enough to stand beside others.

    Args:
        title: above the plot.
        x_unit: name and unit of the horizontal axis.
        y_unit: of the vertical one.
        lines: see `Line`.
        digits: decimals of what is said of y.
        guides: values of y that a dashed line is drawn at; the axis reaches them.
        floor: where the vertical axis starts at the latest.
        width: of the plot, px.
    """
    names, drawn = svg.legend_lines([each.name for each in lines], width)
    top = svg.TOP + 18.0 * len(names)
    bottom = top + _HEIGHT - svg.TOP - svg.BOTTOM
    places = [at for each in lines for at, found in each.points if math.isfinite(found.value)]
    reach = [end for each in lines for _, found in each.points for end in (found.value, found.low, found.high)]
    reach = [each for each in (*reach, *guides) if math.isfinite(each)] or [0.0, 1.0]
    low, high = min(reach), max(reach)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    start = low - room if floor is None else min(floor, low)
    x = svg.Scale(min(places, default=0.0), max(places, default=1.0), _LEFT, width - _RIGHT)
    y = svg.Scale(start, high + room, bottom, top)
    parts = [svg.label(0, 16, title, class_="heading"), *drawn]
    parts += [*svg.x_axis(x, top, bottom, x_unit, count=4), *svg.y_axis(y, x, y_unit)]
    parts += [svg.element("line", x1=x.start, y1=y(at), x2=x.end, y2=y(at), class_="guide") for at in guides]
    said = []
    for at, each in enumerate(lines):
        colour = svg.PALETTE[at % len(svg.PALETTE)]
        points = [(where, found) for where, found in each.points if math.isfinite(found.value)]
        held = [(where, found) for where, found in points if found.has_interval]
        if len(held) > 1:
            there = "L".join(f"{x(where):.1f} {y(found.high):.1f}" for where, found in held)
            back = "L".join(f"{x(where):.1f} {y(found.low):.1f}" for where, found in reversed(held))
            parts.append(svg.element("path", d=f"M{there}L{back}Z", fill=colour, fill_opacity=0.15))
        if points:
            parts.append(svg.polyline(((x(where), y(found.value)) for where, found in points), colour))
        for where, found in points:
            circle = svg.element("circle", cx=x(where), cy=y(found.value), r=3.0, fill=colour)
            parts.append(svg.hinted(f"{each.name} {_told(where, found, digits)}".strip(), circle))
        told = ", ".join(_told(where, found, digits) for where, found in points)
        said.append(f"{each.name + ' ' if each.name else ''}{told or 'no figures'}")
    return svg.drawing((width, bottom + svg.BOTTOM), title, f"{y_unit} by {x_unit}: {'; '.join(said) or 'none'}", parts)


def roc_plot(title: str, series: Mapping[str, Sequence[tuple[float, float]]], areas: Mapping[str, float]) -> str:
    """Hit rate against false alarm rate; the diagonal is a guess.

    Args:
        title: above the plot.
        series: name -> (false alarm rate, hit rate), rising from (0, 0) to (1, 1).
        areas: name -> area under the curve, for the legend.
    """
    shown = {name: f"{name} {areas[name]:.2f}" if name in areas else name for name in series}
    if len(series) == 1 and areas:
        title = f"{title}: {next(iter(areas.values())):.2f}"
    names, drawn = svg.legend_lines(list(shown.values()), _WIDTH)
    top = svg.TOP + 18.0 * len(names)
    side = 250.0
    x = svg.Scale(0, 1, _LEFT, _LEFT + side)
    y = svg.Scale(0, 1, top + side, top)
    parts = [svg.label(0, 16, title, class_="heading"), *drawn]
    parts += [*svg.x_axis(x, top, top + side, "false alarm rate"), *svg.y_axis(y, x, "hit rate")]
    parts.append(svg.element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="guide"))
    for at, points in enumerate(series.values()):
        line = ((x(across), y(up)) for across, up in points)
        parts.append(svg.polyline(line, svg.PALETTE[at % len(svg.PALETTE)]))
    said = ", ".join(f"{name} {areas[name]:.3f}" for name in series if name in areas)
    return svg.drawing((_WIDTH, top + side + svg.BOTTOM), title, f"Areas under the curves: {said or 'unknown'}", parts)


def _told(where: float, found: Estimate, digits: int) -> str:
    return f"{found.told(digits)} at {where:g}"


_TALLEST: Final = 38.0
_DARK: Final = 0.55
"""Opacity from which white figures are read better than the page's own."""


def confusion_plot(title: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows are labels, columns predictions; a cell is as dark as its share of its row, its figure the count.

    Args:
        title: above the plot.
        classes: names in the order of rows and columns.
        counts: (C, C).
    """
    names = max(len(each) for each in classes) * svg.CHARACTER + 10
    # The last name leans out over its column.
    side = (_WIDTH - names - 2 - len(classes[-1]) * svg.CHARACTER * 0.77) / (len(classes) - 0.5)
    tall = min(side, _TALLEST)
    top = svg.TOP + max(len(each) for each in classes) * svg.CHARACTER * 0.62 + 8
    parts = [svg.label(0, 16, title, class_="heading")]
    for at, name in enumerate(classes):
        across = names + (at + 0.5) * side
        parts.append(svg.label(across, top - 5, name, transform=f"rotate(-40 {across:.1f} {top - 5:.1f})"))
    said = []
    for at, (name, row) in enumerate(zip(classes, counts, strict=True)):
        y = top + at * tall
        total = sum(row)
        parts.append(svg.label(names - 8, y + tall / 2 + 4, name, "end"))
        for column, count in enumerate(row):
            x, share = names + column * side, count / total if total else 0.0
            shade = {"class_": "cell", "fill": svg.PALETTE[0], "fill_opacity": f"{max(share, 0.03):.2f}"}
            parts.append(svg.element("rect", None, x=x, y=y, width=side - 1, height=tall - 1, **shade))
            kind = {"class_": "on"} if share > _DARK else {}
            parts.append(svg.label(x + (side - 1) / 2, y + tall / 2 + 4, f"{count}", "middle", **kind))
        if total:
            right = f"{row[at]} of {total} {name} right"
            wrong = {classes[each]: count for each, count in enumerate(row) if each != at and count}
            most = max(wrong, key=lambda each: wrong[each], default="")
            said.append(f"{right}, {wrong[most]} taken for {most}" if most else right)
    height = top + tall * len(classes) + 24
    parts.append(svg.label(names + side * len(classes) / 2, height - 6, "predicted", "middle", class_="soft"))
    parts.append(svg.label(names - 8, top - 6, "true", "end", class_="soft"))
    return svg.drawing((_WIDTH, height), title, f"Rows true, columns predicted. {'; '.join(said) or 'No clips'}", parts)


def reliability_plot(title: str, bins: Sequence[ReliabilityBin] | Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """Accuracy against confidence; the diagonal is a perfect forecast, areas of dots are counts.

    Several forecasts (name -> bins) get a colour each, and a line through their dots.
    """
    series = bins if isinstance(bins, Mapping) else {"": bins}
    top = svg.TOP + (20 if len(series) > 1 else 0)
    side = 222.0
    x = svg.Scale(0, 1, 56, 56 + side)
    y = svg.Scale(0, 1, top + side, top)
    used = {name: [each for each in given if each.count] for name, given in series.items()}
    largest = max([each.count for given in used.values() for each in given] + [1])
    parts = [
        svg.label(0, 16, title, class_="heading"),
        *svg.legend(list(series)),
        *svg.x_axis(x, top, top + side, "confidence"),
        *svg.y_axis(y, x, "accuracy"),
    ]
    parts.append(svg.element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="guide"))
    said = []
    for at, (name, given) in enumerate(used.items()):
        colour = svg.PALETTE[at % len(svg.PALETTE)]
        places = [(x(each.confidence), y(each.accuracy)) for each in given]
        if len(series) > 1 and places:
            parts.append(svg.polyline(places, colour, 1.5))
        for each, (across, down) in zip(given, places, strict=True):
            radius = 2 + 8 * math.sqrt(each.count / largest)
            parts.append(svg.element("circle", cx=across, cy=down, r=radius, fill=colour, fill_opacity=0.6))
        told = "; ".join(f"{each.count} at {each.confidence:.2f}: {each.accuracy:.2f} right" for each in given)
        said.append(f"{name + ': ' if name else ''}{told or 'no predictions'}")
    return svg.drawing((_WIDTH, top + side + svg.BOTTOM), title, ". ".join(said), parts)
