"""Small plots made of characters: bars, histograms on a logarithmic axis, and traces over time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich.text import Text

from emer_edge.metrics.latency import BINS_A_DECADE

_LEVELS: Final = "▁▂▃▄▅▆▇█"
_FULL, _EMPTY = "█", "·"
_BRAILLE: Final = 0x2800
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # rows of a braille cell, left and right
BOTH: Final = "bold white"
"""Style of a character that two lines share."""

_LOWEST: Final = -2


def bar(share: float, width: int, style: str) -> Text:
    """A share (0 to 1, clamped) as a bar of `width` characters."""
    length = round(min(1.0, max(0.0, share)) * width)
    return Text.assemble((_FULL * length, style), (_EMPTY * (width - length), "dim"))


def duration(value_ms: float) -> str:
    """A duration in at most six characters: `0.12`, `8.7` and `123` are ms, `1.2 s` and `45 s` seconds."""
    if value_ms >= 9950:
        return f"{value_ms / 1000:.0f} s"
    if value_ms >= 999.5:
        return f"{value_ms / 1000:.1f} s"
    return f"{value_ms:.0f}" if value_ms >= 99.5 else f"{value_ms:.1f}" if value_ms >= 0.95 else f"{value_ms:.2f}"


def decades_of(histograms: Iterable[Sequence[tuple[int, int]]]) -> tuple[int, int]:
    """The powers of ten of a millisecond that enclose all bins; (0, 1) without any.

    Never below 0.01 ms: evidence that is 0 ms old would take the space of the rest.
    """
    numbers = [number for bins in histograms for number, _ in bins]
    if not numbers:
        return 0, 1
    low = max(_LOWEST, math.floor((min(numbers) - 1) / BINS_A_DECADE))
    return low, max(math.ceil(max(numbers) / BINS_A_DECADE), low + 1)


def histogram(bins: Sequence[tuple[int, int]], decades: tuple[int, int], width: int) -> str:
    """A distribution as `width` characters on a logarithmic axis.

    The fullest character is a whole block; one duration still shows as the lowest of eight levels.

    Args:
        bins: as of `LatencyRecorder.bins`.
        decades: where the axis begins and ends, as of `decades_of`.
        width: characters.
    """
    low, high = (decade * BINS_A_DECADE for decade in decades)
    counts = [0] * width
    for number, count in bins:
        at = (number - 0.5 - low) / (high - low) * width  # a bin is drawn at its middle
        counts[min(width - 1, max(0, int(at)))] += count
    most = max(counts, default=0)
    return "".join(_LEVELS[max(1, math.ceil(8 * count / most)) - 1] if count else " " for count in counts)


def axis(decades: tuple[int, int], width: int) -> str:
    """Labels of a histogram's axis: as many powers of ten as there is space for; ms without a unit."""
    low, high = decades
    line = [" "] * width
    free = 0
    for power in range(low, high):
        at = round((power - low) / (high - low) * width)
        words = f"{10.0**power:g}" if power < 3 else f"{10.0 ** (power - 3):g} s"
        if at >= free and at + len(words) <= width:
            line[at : at + len(words)] = words
            free = at + len(words) + 1
    return "".join(line)


def trace(
    series: Mapping[str, Sequence[tuple[float, float | None]]],
    span: tuple[float, float],
    values: tuple[float, float],
    size: tuple[int, int],
) -> list[Text]:
    """Lines over time in braille, eight dots a character; a value of None breaks its line.

    Where 0 is inside the range, a dim line shows it; it is exact where 0 is in the middle.

    Args:
        series: style -> (time, value) in order of time; where two lines share a character it is white.
        span: first and last time.
        values: of the lowest and of the highest dot; values outside are clamped.
        size: width and height in characters.
    """
    width, height = size
    dots: dict[tuple[int, int], int] = {}
    styles: dict[tuple[int, int], str] = {}

    def put(x: int, y: int, style: str) -> None:
        cell = (x // 2, y // 4)
        dots[cell] = dots.get(cell, 0) | _DOTS[y % 4][x % 2]
        styles[cell] = style if styles.get(cell, style) == style else BOTH

    def place(at: float, value: float) -> tuple[int, int]:
        x = (at - span[0]) / (span[1] - span[0]) * (2 * width - 1)
        y = (values[1] - min(max(value, values[0]), values[1])) / (values[1] - values[0]) * (4 * height - 1)
        return round(x), round(y)

    for style, points in series.items():
        before: tuple[int, int] | None = None
        for at, value in points:
            if at < span[0] or value is None:
                before = None
                continue
            x, y = place(at, value)
            first_x, first_y = before or (x, y)
            steps = max(abs(x - first_x), abs(y - first_y), 1)
            for step in range(steps + 1):
                put(round(first_x + (x - first_x) * step / steps), round(first_y + (y - first_y) * step / steps), style)
            before = (x, y)
    zero = height // 2 if values[0] < 0 < values[1] else None

    def cell(column: int, row: int) -> tuple[str, str]:
        if row == zero and (column, row) not in dots:
            return ("─" if height % 2 else "▔"), "dim"
        return chr(_BRAILLE | dots.get((column, row), 0)), styles.get((column, row), "")

    return [Text.assemble(*(cell(column, row) for column in range(width))) for row in range(height)]
