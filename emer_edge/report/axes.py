"""What plots share: sizes, axes, the legend, names beside rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emer_edge.report.svg import PALETTE, Scale, element, label

__all__ = [
    "BOTTOM",
    "CHARACTER",
    "TOP",
    "WIDTH",
    "Legend",
    "legend",
    "legend_lines",
    "name_width",
    "shortened",
    "x_axis",
    "y_axis",
]

WIDTH: Final = 680.0
TOP: Final = 34.0
"""Room for the title, px."""
BOTTOM: Final = 44.0
"""Room for figures and the unit under an axis, px."""
CHARACTER: Final = 7.5
"""Width of an average character at the page's 13 px."""

_LONGEST: Final = 34


def name_width(names: Sequence[str]) -> float:
    """Px that names beside rows need."""
    return max([len(shortened(each)) for each in names] + [4]) * CHARACTER + 12


def shortened(name: str) -> str:
    """A name cut in the middle where it would take the plot's room: both ends tell layers apart."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2 - 1]}…{name[-_LONGEST // 2 :]}"


def x_axis(scale: Scale, top: float, bottom: float, unit: str, count: int = 6) -> list[str]:
    """Vertical grid lines from `top` to `bottom`, px, about `count` figures and the unit below them."""
    parts = []
    for tick in scale.ticks(count):
        at = scale(tick)
        parts.append(element("line", x1=at, y1=top, x2=at, y2=bottom, class_="grid"))
        parts.append(label(at, bottom + 16, f"{tick:g}", "middle"))
    return [*parts, label((scale.start + scale.end) / 2, bottom + 36, unit, "middle")]


def y_axis(scale: Scale, x: Scale, unit: str, count: int = 4) -> list[str]:
    """Horizontal grid lines over the width of `x`, about `count` figures and the unit on their left."""
    parts = []
    for tick in scale.ticks(count):
        at = scale(tick)
        parts.append(element("line", x1=x.start, y1=at, x2=x.end, y2=at, class_="grid"))
        parts.append(label(x.start - 6, at + 4, f"{tick:g}", "end"))
    middle = (scale.start + scale.end) / 2
    return [*parts, label(14, middle, unit, "middle", transform=f"rotate(-90 14 {middle:g})")]


def legend(names: Sequence[str], colours: Sequence[str] = PALETTE) -> list[str]:
    """A line of colours and names under the title; nothing where there is one name only."""
    if len(names) < 2:
        return []
    return legend_lines(names, math.inf, colours).parts


@dataclass(frozen=True)
class Legend:
    """Colours and names under a title.

    Attributes:
        rows: the names of each line of it; none where there is one name only.
        parts: what draws them.
    """

    rows: tuple[tuple[str, ...], ...]
    parts: list[str]


def legend_lines(names: Sequence[str], width: float, colours: Sequence[str] = PALETTE) -> Legend:
    """A legend on as many lines, 18 px high, as a plot of `width` px needs."""
    rows: list[tuple[str, ...]] = []
    parts: list[str] = []
    x = math.inf
    for at, name in enumerate(names if len(names) > 1 else ()):
        shown = shortened(name)
        room = 16 + len(shown) * CHARACTER + 18
        if x + room - 18 > width or not rows:
            x = 0.0
            rows.append(())
        rows[-1] = (*rows[-1], shown)
        y = 26.0 + 18.0 * (len(rows) - 1)
        parts.append(element("rect", x=x, y=y, width=11.0, height=11.0, fill=colours[at % len(colours)]))
        parts.append(label(x + 16, y + 10, shown))
        x += room
    return Legend(tuple(rows), parts)
