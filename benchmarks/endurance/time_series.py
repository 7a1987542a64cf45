"""Plots over time: lines, and behind them bands of what happened when; several below each other in one SVG file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Final

from emer_edge.report.svg import BOTTOM, PALETTE, TOP, WIDTH, Scale, element, legend, plot, x_axis, y_axis

_HEIGHT: Final = 250.0
_LEFT, _RIGHT = 62.0, 16.0
_ROOM: Final = 1.08
_MARGIN: Final = 20.0
_BAND_COLOURS: Final = ("#56b4e9", "#cc79a7", "#e69f00", "#7f7f7f", "#f0e442")
"""Others than those of the first lines."""


@dataclass(frozen=True)
class Course:
    """One quantity; a value that is not finite breaks the line.

    Attributes:
        name: for the legend.
        times, values: as many of each, times ascending.
    """

    name: str
    times: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Band:
    """Something that lasted from `start` to `end`; bands of one name share a colour."""

    name: str
    start: float
    end: float


def time_series(
    title: str,
    unit: str,
    time_unit: str,
    lines: Sequence[Course],
    bands: Sequence[Band] = (),
    *,
    span: tuple[float, float] | None = None,
    from_zero: bool = True,
) -> str:
    """Draw lines over time, and bands behind them over the whole height.

    `span` is the first and last time of the axis, by default those of the lines; the vertical axis begins at 0, or just
    below the lowest value without `from_zero`.
    """
    held = [line for line in lines if any(map(math.isfinite, line.values))]
    values = [value for line in held for value in line.values if math.isfinite(value)] or [0.0, 1.0]
    times = [at for line in held for at in line.times] or [0.0, 1.0]
    low = 0.0 if from_zero else min(values) - (_ROOM - 1) * (max(values) - min(values) or abs(max(values)) or 1.0)
    high = max(low + (max(values) - low) * _ROOM, low + 1e-9)
    top = TOP + 20
    first, last = span or (min(times), max(times))
    x = Scale(first, max(last, first + 1e-9), _LEFT, WIDTH - _RIGHT)
    y = Scale(low, high, _HEIGHT - BOTTOM, top)
    names = list(dict.fromkeys(band.name for band in bands))
    colours = [PALETTE[at % len(PALETTE)] for at in range(len(held))]
    tints = {name: _BAND_COLOURS[at % len(_BAND_COLOURS)] for at, name in enumerate(names)}
    parts = legend([line.name for line in held] + names, [*colours, *tints.values()])
    for band in bands:
        start, end = x(band.start), x(band.end)
        size = {"width": max(end - start, 1.0), "height": _HEIGHT - BOTTOM - top}
        parts.append(element("rect", None, x=start, y=top, **size, fill=tints[band.name], fill_opacity=0.28))
    parts += [*x_axis(x, top, _HEIGHT - BOTTOM, time_unit), *y_axis(y, x, unit)]
    for line, colour in zip(held, colours, strict=True):
        parts.append(element("path", d=_path(line, x, y), fill="none", stroke=colour, stroke_width=1.6))
    return plot((WIDTH, _HEIGHT), title, _said(held, bands, unit, time_unit), parts)


def stacked(title: str, drawings: Sequence[str]) -> str:
    """Several of these drawings below each other as one SVG file that brings its style."""
    style = files("emer_edge.report").joinpath("style.css").read_text("utf-8")
    height = _HEIGHT * len(drawings) + 2 * _MARGIN
    width = WIDTH + 2 * _MARGIN
    placed = [
        drawing.replace("<svg ", f'<svg x="{_MARGIN:g}" y="{_MARGIN + at * _HEIGHT:g}" width="{WIDTH:g}" '
                     f'height="{_HEIGHT:g}" ', 1)
        for at, drawing in enumerate(drawings)
    ]  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}"><title>{escape(title)}</title><style>{escape(style, quote=False)}</style>'
        f'<rect width="100%" height="100%" style="fill:var(--paper)"/>{"".join(placed)}</svg>\n'
    )


def _path(line: Course, x: Scale, y: Scale) -> str:
    parts, pen = [], "M"
    for at, value in zip(line.times, line.values, strict=True):
        if math.isfinite(value):
            parts.append(f"{pen}{x(at):.1f} {y(value):.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)


def _said(lines: Sequence[Course], bands: Sequence[Band], unit: str, time_unit: str) -> str:
    sentences = []
    for line in lines:
        finite = [value for value in line.values if math.isfinite(value)]
        sentences.append(
            f"{line.name}: {len(finite)} values from {finite[0]:.4g} to {finite[-1]:.4g} {unit}, "
            f"at most {max(finite):.4g}"
        )
    if bands:
        sentences.append(f"{len(bands)} bands")
    return f"Lines over {time_unit}: {'; '.join(sentences)}" if sentences else "no values"
