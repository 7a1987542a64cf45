"""How fast a device's clock runs beside the host's: wrong units, clocks that stand still or run backwards.

Arrivals come late and in bunches, but never for long: over seconds a clock must advance as the arrivals do. A jump or a
reset shows in one stretch of them, a wrong unit in all.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Final

from emer_edge.core.window import UNITS_NS

_STRETCH_NS: Final = 500_000_000  # of arrivals, over which the clock's advance is measured
_STRETCHES: Final = 4  # in a row that must say the same
_OFF: Final = 2.0  # a clock that runs faster or slower by more is not believed
_ALIKE: Final = 1.5  # stretches that differ by more say different things
_WORDS: Final = {"ns": "nanoseconds", "us": "microseconds", "ms": "milliseconds", "s": "seconds"}


class PaceCheck:
    """Compares a device's stamps with their arrivals."""

    def __init__(self) -> None:
        self._from: tuple[int, int] | None = None
        self._paces: deque[float] = deque(maxlen=_STRETCHES)

    def problem(self, device_ns: int, arrival_ns: int, name: str = "") -> str:
        """Take a sample's stamp and arrival; say what is wrong with the clock, once that is sure, else nothing.

        `name`: what the stamps are called, ending in their unit, such as `time_us` or `time=ms`.
        """
        if self._from is None:
            self._from = device_ns, arrival_ns
        elapsed_ns = arrival_ns - self._from[1]
        if elapsed_ns < _STRETCH_NS:
            return ""
        self._paces.append((device_ns - self._from[0]) / elapsed_ns)
        self._from = device_ns, arrival_ns
        if len(self._paces) < _STRETCHES:
            return ""
        slowest, fastest = min(self._paces), max(self._paces)
        if slowest == fastest == 0:
            return "its clock stands still"
        if fastest < 0:
            return "its clock runs backwards"
        if slowest <= 0 or fastest > _ALIKE * slowest or 1 / _OFF <= slowest <= _OFF:
            return ""
        return f"its clock runs {slowest:.3g} times as fast as it should{_real_unit(slowest, name)}"


def _real_unit(pace: float, name: str) -> str:
    """Which unit the stamps look like, where the pace is a power of a thousand."""
    named_ns = UNITS_NS.get(re.sub(r".*[^a-z]", "", name), 0)
    for unit, word in _WORDS.items():
        if named_ns and 1 / _ALIKE < pace * UNITS_NS[unit] / named_ns < _ALIKE:
            return f"; the times look like {word}: is `{name}` right?"
    return ""
