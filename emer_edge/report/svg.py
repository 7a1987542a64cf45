"""The little SVG that plots need: escaped elements, scales and ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["PALETTE", "Scale", "drawing", "element", "hinted", "label", "ticks"]

# After Okabe and Ito, told apart by colour-blind readers; the light ones darkened to 3:1 on white and on the dark page.
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

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside the scale."""
        return ticks(self.low, self.high, count, self.logarithmic)


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
        found = [step * 10.0**power for power in powers for step in steps]
        return [each for each in found if low * (1 - 1e-9) <= each <= high * (1 + 1e-9)]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [each * step for each in range(first, last + 1)]


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


def hinted(hint: str, *parts: str) -> str:
    """Parts together, with text that a browser shows when a pointer rests on them."""
    return f"<g>{element('title', hint)}{''.join(parts)}</g>"


def drawing(width: float, height: float, title: str, description: str, parts: list[str]) -> str:
    """A whole drawing that scales with the page; a screen reader says `title` and `description`, the figures in it."""
    name = escape(title, quote=True)
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}" xmlns="http://www.w3.org/2000/svg">'
    return head + element("title", title) + element("desc", description) + "".join(parts) + "</svg>"
