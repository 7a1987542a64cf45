"""Curves with intervals, receiver operating characteristics, confusions, reliability: small plots for galleries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from emer_edge.metrics.probabilities import ReliabilityBin
from emer_edge.report import svg
from emer_edge.report.table import Estimate

_WIDTH: Final = 352.0
_HEIGHT: Final = 250.0
_LEFT: Final = 52.0
_RIGHT: Final = 14.0


Points = Sequence[tuple[float, Estimate]]
"""Where and how much, in the order of the axis."""


def curves(
    title: str, x_unit: str, y_unit: str, lines: Mapping[str, Points], digits: int = 1, floor: float | None = None
) -> str:
    """Lines through points by name, a band where there are intervals; small enough to stand beside others.

    `floor` is where the axis of y starts at the latest; `digits` are the decimals of y in words.
    """
    names, drawn = svg.legend_lines(list(lines), _WIDTH)
    top = svg.TOP + 18.0 * len(names)
    bottom = top + _HEIGHT - svg.TOP - svg.BOTTOM
    given = [point for line in lines.values() for point in line]
    places = [at for at, estimate in given if math.isfinite(estimate.value)]
    reach = [end for _, estimate in given for end in estimate.ends] or [0.0, 1.0]
    low, high = min(reach), max(reach)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    start = low - room if floor is None else min(floor, low)
    x = svg.Scale(min(places, default=0.0), max(places, default=1.0), _LEFT, _WIDTH - _RIGHT)
    y = svg.Scale(start, high + room, bottom, top)
    parts = [*drawn, *svg.x_axis(x, top, bottom, x_unit, count=4), *svg.y_axis(y, x, y_unit)]
    said = []
    for at, (name, line) in enumerate(lines.items()):
        colour = svg.PALETTE[at % len(svg.PALETTE)]
        points = [(where, estimate) for where, estimate in line if math.isfinite(estimate.value)]
        held = [(where, estimate) for where, estimate in points if estimate.has_interval]
        if len(held) > 1:
            there = "L".join(f"{x(where):.1f} {y(estimate.high):.1f}" for where, estimate in held)
            back = "L".join(f"{x(where):.1f} {y(estimate.low):.1f}" for where, estimate in reversed(held))
            parts.append(svg.element("path", d=f"M{there}L{back}Z", fill=colour, fill_opacity=0.15))
        if points:
            parts.append(svg.polyline(((x(where), y(estimate.value)) for where, estimate in points), colour))
        for where, estimate in points:
            circle = svg.element("circle", cx=x(where), cy=y(estimate.value), r=3.0, fill=colour)
            parts.append(svg.hinted(f"{name} {_spoken(where, estimate, digits)}".strip(), circle))
        spoken = ", ".join(_spoken(where, estimate, digits) for where, estimate in points)
        said.append(f"{name + ' ' if name else ''}{spoken or 'no figures'}")
    return svg.plot((_WIDTH, bottom + svg.BOTTOM), title, f"{y_unit} by {x_unit}: {'; '.join(said) or 'none'}", parts)


def roc_plot(title: str, series: Mapping[str, Sequence[tuple[float, float]]], areas: Mapping[str, float]) -> str:
    """Hit rate against false alarm rate; the diagonal is a guess.

    `series` holds (false alarm rate, hit rate) by name, rising from (0, 0) to (1, 1), `areas` the areas under them.
    """
    shown = {name: f"{name} {areas[name]:.2f}" if name in areas else name for name in series}
    if len(series) == 1 and areas:
        title = f"{title}: {next(iter(areas.values())):.2f}"
    names, drawn = svg.legend_lines(list(shown.values()), _WIDTH)
    top = svg.TOP + 18.0 * len(names)
    side = 250.0
    x = svg.Scale(0, 1, _LEFT, _LEFT + side)
    y = svg.Scale(0, 1, top + side, top)
    parts = [*drawn, *svg.x_axis(x, top, top + side, "false alarm rate"), *svg.y_axis(y, x, "hit rate")]
    parts.append(svg.element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="guide"))
    for at, points in enumerate(series.values()):
        line = ((x(across), y(up)) for across, up in points)
        parts.append(svg.polyline(line, svg.PALETTE[at % len(svg.PALETTE)]))
    said = ", ".join(f"{name} {areas[name]:.3f}" for name in series if name in areas)
    return svg.plot((_WIDTH, top + side + svg.BOTTOM), title, f"Areas under the curves: {said or 'unknown'}", parts)


def _spoken(where: float, estimate: Estimate, digits: int) -> str:
    return f"{estimate.spoken(digits)} at {where:g}"


_TALLEST: Final = 38.0
_DARK: Final = 0.55
"""Opacity from which white figures are read better than the page's own."""


def confusion_plot(title: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows are labels, columns predictions; a cell of (C, C) counts is as dark as its share of its row."""
    names = max(len(name) for name in classes) * svg.CHARACTER + 10
    # The last name leans out over its column.
    side = (_WIDTH - names - 2 - len(classes[-1]) * svg.CHARACTER * 0.77) / (len(classes) - 0.5)
    tall = min(side, _TALLEST)
    top = svg.TOP + max(len(name) for name in classes) * svg.CHARACTER * 0.62 + 8
    parts = []
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
            wrong = {classes[other]: count for other, count in enumerate(row) if other != at and count}
            most = max(wrong, key=lambda name: wrong[name], default="")
            said.append(f"{right}, {wrong[most]} taken for {most}" if most else right)
    height = top + tall * len(classes) + 24
    parts.append(svg.label(names + side * len(classes) / 2, height - 6, "predicted", "middle", class_="soft"))
    parts.append(svg.label(names - 8, top - 6, "true", "end", class_="soft"))
    return svg.plot((_WIDTH, height), title, f"Rows true, columns predicted. {'; '.join(said) or 'No clips'}", parts)


def reliability_plot(title: str, bins: Sequence[ReliabilityBin] | Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """Accuracy against confidence; the diagonal is a perfect forecast, areas of dots are counts.

    Several forecasts (name -> bins) get a colour each, and a line through their dots.
    """
    series = bins if isinstance(bins, Mapping) else {"": bins}
    top = svg.TOP + (20 if len(series) > 1 else 0)
    side = 222.0
    x = svg.Scale(0, 1, 56, 56 + side)
    y = svg.Scale(0, 1, top + side, top)
    used = {name: [bucket for bucket in given if bucket.count] for name, given in series.items()}
    largest = max([bucket.count for given in used.values() for bucket in given] + [1])
    parts = [*svg.legend(list(series)), *svg.x_axis(x, top, top + side, "confidence"), *svg.y_axis(y, x, "accuracy")]
    parts.append(svg.element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="guide"))
    said = []
    for at, (name, given) in enumerate(used.items()):
        colour = svg.PALETTE[at % len(svg.PALETTE)]
        places = [(x(bucket.confidence), y(bucket.accuracy)) for bucket in given]
        if len(series) > 1 and places:
            parts.append(svg.polyline(places, colour, 1.5))
        for bucket, (across, down) in zip(given, places, strict=True):
            radius = 2 + 8 * math.sqrt(bucket.count / largest)
            parts.append(svg.element("circle", cx=across, cy=down, r=radius, fill=colour, fill_opacity=0.6))
        spoken = "; ".join(
            f"{bucket.count} at {bucket.confidence:.2f}: {bucket.accuracy:.2f} right" for bucket in given
        )
        said.append(f"{name + ': ' if name else ''}{spoken or 'no predictions'}")
    return svg.plot((_WIDTH, top + side + svg.BOTTOM), title, ". ".join(said), parts)
