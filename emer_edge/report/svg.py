"""The SVG that plots are made of: escaped elements, scales and ticks; sizes, axes, legends, names beside rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

# After Okabe and Ito, for colour-blind readers; the light ones darkened to 3:1 on white and on the dark page.
PALETTE: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07d00", "#2f93cf", "#7f7f7f", "#7d62c4")


@dataclass(frozen=True)
class Scale:
    """Maps values `low`..`high` to pixels `start`..`end`, linearly or by logarithm; values outside are clamped."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.logarithmic:
            low, high, at = math.log(low), math.log(high), math.log(at)
        share = (at - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, count: int = 5, logarithmic: bool = False) -> list[float]:
    """Round values in low..high: multiples of 1, 2 or 5 times a power of ten; on a log axis those themselves.

    A log axis of less than a decade has more of them.
    """
    if high <= low:
        return [low]
    if logarithmic:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        decades = math.log10(high / low)
        steps: tuple[float, ...] = (1, 1.5, 2, 3, 5, 7) if decades < 0.9 else (1, 2, 5) if decades < 3 else (1,)
        candidates = [step * 10.0**power for power in powers for step in steps]
        return [tick for tick in candidates if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def element(name: str, text: str | None = None, **attributes: str | float) -> str:
    """One element; attribute names take `_` for `-` (`class_` is `class`), numbers are rounded to 0.01 px."""
    parts = []
    for key, value in attributes.items():
        shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, (int, float)) else value
        parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(shown, quote=True)}"')
    return f"<{name}{''.join(parts)}/>" if text is None else f"<{name}{''.join(parts)}>{escape(text)}</{name}>"


def label(x: float, y: float, text: str, anchor: str = "start", **attributes: str | float) -> str:
    """Text with its baseline at (x, y)."""
    return element("text", text, x=x, y=y, text_anchor=anchor, **attributes)


def polyline(points: Iterable[tuple[float, float]], colour: str, width: float = 2.0) -> str:
    """A line through points, at least one."""
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=path, fill="none", stroke=colour, stroke_width=width)


def hinted(hint: str, *parts: str) -> str:
    """Parts together, with text that a browser shows when a pointer rests on them."""
    return f"<g>{element('title', hint)}{''.join(parts)}</g>"


def drawing(size: tuple[float, float], title: str, description: str, parts: list[str]) -> str:
    """A whole drawing that scales with the page; a screen reader says `title` and `description`, the figures in it."""
    width, height = size
    name = escape(title, quote=True)
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}" xmlns="http://www.w3.org/2000/svg">'
    return head + element("title", title) + element("desc", description) + "".join(parts) + "</svg>"


def plot(size: tuple[float, float], title: str, description: str, parts: list[str]) -> str:
    """A drawing with its title as a heading."""
    return drawing(size, title, description, [label(0, 16, title, class_="heading"), *parts])


def guide_lines(places: Iterable[float], top: float, bottom: float, kind: str = "guide") -> list[str]:
    """Vertical lines at px from the left, of a class of the style sheet: dashed ones by default."""
    return [element("line", x1=at, y1=top, x2=at, y2=bottom, class_=kind) for at in places]


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
    return max([len(shortened(name)) for name in names] + [4]) * CHARACTER + 12


def shortened(name: str) -> str:
    """A name cut in the middle where it would take the plot's room: both ends distinguish layers."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2 - 1]}…{name[-_LONGEST // 2 :]}"


def x_axis(scale: Scale, top: float, bottom: float, unit: str, count: int = 6) -> list[str]:
    """Vertical grid lines from `top` to `bottom`, px, about `count` figures and the unit below them."""
    parts = []
    for tick in ticks(scale.low, scale.high, count, scale.logarithmic):
        at = scale(tick)
        parts.append(element("line", x1=at, y1=top, x2=at, y2=bottom, class_="grid"))
        parts.append(label(at, bottom + 16, f"{tick:g}", "middle"))
    return [*parts, label((scale.start + scale.end) / 2, bottom + 36, unit, "middle")]


def y_axis(scale: Scale, x: Scale, unit: str, count: int = 4) -> list[str]:
    """Horizontal grid lines over the width of `x`, about `count` figures and the unit on their left."""
    parts = []
    for tick in ticks(scale.low, scale.high, count, scale.logarithmic):
        at = scale(tick)
        parts.append(element("line", x1=x.start, y1=at, x2=x.end, y2=at, class_="grid"))
        parts.append(label(x.start - 6, at + 4, f"{tick:g}", "end"))
    middle = (scale.start + scale.end) / 2
    return [*parts, label(14, middle, unit, "middle", transform=f"rotate(-90 14 {middle:g})")]


def legend(names: Sequence[str], colours: Sequence[str] = PALETTE) -> list[str]:
    """A line of colours and names under the title; nothing where there is one name only."""
    return legend_lines(names, math.inf, colours)[1]


def legend_lines(
    names: Sequence[str], width: float, colours: Sequence[str] = PALETTE
) -> tuple[list[tuple[str, ...]], list[str]]:
    """A legend on as many lines, 18 px high, as a plot of `width` px needs: the names of each, and what draws them."""
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
    return rows, parts
