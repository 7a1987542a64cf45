"""The unit of a column of times, told from how fast its stamps rise, and the rate of stamps.

Two neighbouring units (s, ms, us, ns) differ by a thousand, and the rates of eye trackers, 10 to 2,500 rows a second,
by less: at most one unit makes a plausible rate. A header that names another one is not believed silently.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.window import UNITS_NS

PLAUSIBLE_RATES_HZ: Final = (10.0, 2_500.0)
_DAY_NS: Final = 86_400 * 1_000_000_000
_LAG: Final = 32


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """The unit of some stamps.

    Attributes:
        name: `s`, `ms`, `us` or `ns`, the unit that their rate tells; "" where none can be told.
        ns: nanoseconds of the unit, 0 where none can be told.
        rate_hz: stamps a second in that unit, 0 where none can be told.
        problem: why none can be told, or why the named unit can't be right; else empty.
    """

    name: str
    ns: int
    rate_hz: float
    problem: str = ""


def typical_step(stamps: NDArray[np.float64]) -> float:
    """The usual step of (n,) raw stamps, in their unit; 0 with fewer than two.

    The median of steps over up to 32 stamps: doubled and bursting stamps average out in it, gaps and restarts of the
    clock are too few to move it. Numbers that are not finite are left out.
    """
    stamps = stamps[np.isfinite(stamps)]
    lag = max(1, min(_LAG, len(stamps) // 4))
    return float(np.median(stamps[lag:] - stamps[:-lag])) / lag if len(stamps) > 1 else 0.0


def tell_unit(
    stamps: NDArray[np.float64],
    *,
    named: str | None = None,
    rates_hz: tuple[float, float] = PLAUSIBLE_RATES_HZ,
    spans_s: tuple[float, float] | None = None,
) -> TimeUnit:
    """Tell the unit of some stamps by their rate and span, and check the one that a header names.

    Args:
        stamps: (n,) float64 raw stamps that mostly rise; doubled, backward and missing ones (NaN) do no harm.
        named: the unit that a header or a protocol names, a key of `UNITS_NS`.
        rates_hz: lowest and highest plausible rate, less than a factor of 1000 apart.
        spans_s: shortest and longest plausible time between the first and the last stamp, where one is known.

    Returns:
        The named unit where it is plausible, or where fewer than two stamps leave nothing to check; else the one unit
        that is, with a `problem` where another was named; else none, with the `problem`.
    """
    finite = stamps[np.isfinite(stamps)]
    if len(finite) < 2:
        problem = "" if named else f"{len(finite)} stamps tell no unit"
        return TimeUnit(named or "", UNITS_NS[named] if named else 0, 0.0, problem)
    step, span = typical_step(finite), float(finite.max() - finite.min())
    if step <= 0:
        return TimeUnit("", 0, 0.0, "the times do not rise")

    def fits(unit_ns: int) -> bool:
        in_time = spans_s is None or spans_s[0] <= span * unit_ns * 1e-9 <= spans_s[1]
        return rates_hz[0] <= 1e9 / (step * unit_ns) <= rates_hz[1] and in_time

    told = [name for name, unit_ns in UNITS_NS.items() if fits(unit_ns)]
    name = named if named in told else told[0] if told else ""
    as_named = f"in {named} they would make {1e9 / (step * UNITS_NS[named]):.3g} rows a second" if named else ""
    if not name:
        day = "; they look like fractions of a day, as spreadsheets keep times" if fits(_DAY_NS) else ""
        reason = as_named or "in no unit from s to ns would that be the rate of an eye tracker"
        return TimeUnit("", 0, 0.0, f"the times rise by {step:.6g} a row over {span:.6g}: {reason}{day}")
    rate_hz = 1e9 / (step * UNITS_NS[name])
    conflict = f"{as_named}, in {name} {rate_hz:.3g}: the times look like {name}" if named not in (None, name) else ""
    return TimeUnit(name, UNITS_NS[name], rate_hz, conflict)


_LONGEST_PAUSE_NS: Final = 5_000_000_000  # a longer one is a gap: no tracker holds its rows back for so long


def nominal_rate_hz(times_ns: Sequence[int]) -> float:
    """Rate of samples at these times; 0 with fewer than two. Doubled and backward stamps count once.

    From the mean step without gaps: the median alone would take a 120 Hz clock in whole milliseconds for 125 Hz. Where
    most of the time lies in gaps the rows come in bursts, whose steps say nothing: then it is their count over the time
    from the first burst to the last.
    """
    steps = np.diff(np.asarray(times_ns, np.int64))
    steps = steps[(steps > 0) & (steps <= _LONGEST_PAUSE_NS)]
    if not len(steps):
        return 0.0
    short = steps <= 1.5 * np.median(steps)
    if 2 * steps[short].sum() < steps.sum():
        steps = steps[: np.flatnonzero(~short)[-1] + 1]
        short = np.ones(len(steps), np.bool_)
    return float(1e9 / (steps[short].sum() / short.sum()))


_USUAL_RATES_HZ: Final = (30, 50, 60, 90, 100, 120, 150, 200, 240, 250, 300, 400, 500, 600, 1000, 1200, 2000)
_LEAST_ROWS: Final = 3  # of an event that tells a period
_LEAST_EVENTS: Final = 5
_MOST_FOLLOW: Final = 0.8  # of the events: else durations and rows have nothing to do with each other


def rate_of_events_hz(events: NDArray[np.float64]) -> float:
    """Rows a second by the durations that an export writes on the rows of an event; 0 where they don't tell.

    The slope of duration over rows of all whole events, so that it does not matter whether an export counts an event's
    last period. A rate within 1 % of a usual one is that one.

    Args:
        events: (n, 3) movement type, duration in ms and index of each row, NaN where missing.
    """
    starts = np.flatnonzero(np.append(True, (events[1:] != events[:-1]).any(axis=1)))[1:]
    rows, lasting_ms = np.diff(starts).astype(np.float64), events[starts[:-1], 1]
    known = (rows >= _LEAST_ROWS) & (lasting_ms > 0)
    for _ in range(2):  # the second time without events that do not follow, such as those cut out of a recording
        rows, lasting_ms = rows[known], lasting_ms[known]
        if len(rows) < _LEAST_EVENTS or np.ptp(rows) == 0:
            return 0.0
        period_ms, shift_ms = np.polyfit(rows, lasting_ms, 1)
        known = np.abs(period_ms * rows + shift_ms - lasting_ms) <= max(1.0, 1.5 * period_ms)
    rate_hz = 1000.0 / period_ms if period_ms > 0 and known.mean() > _MOST_FOLLOW else 0.0
    if not PLAUSIBLE_RATES_HZ[0] <= rate_hz <= PLAUSIBLE_RATES_HZ[1]:
        return 0.0
    return float(next((usual for usual in _USUAL_RATES_HZ if abs(rate_hz / usual - 1) <= 0.01), rate_hz))


def too_slow(rate_hz: float) -> str:
    """Say, as the end of a sentence, why no eye tracker has this rate; empty where one may."""
    if rate_hz >= 0.95 * PLAUSIBLE_RATES_HZ[0]:  # a webcam's ten a second are never quite ten
        return ""
    least_hz = PLAUSIBLE_RATES_HZ[0]
    return f"{rate_hz:.2g} rows a second, too few for an eye tracker ({least_hz:g} or more): a list of fixations?"


def rising(times_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Choose the most rows (n,) whose times rise: doubled, backward and stray stamps are left out, each on its own."""
    if bool(np.all(np.diff(times_ns) > 0)):
        return np.ones(len(times_ns), np.bool_)
    ends: list[int] = []  # the least time in which a rising row of each length ends, and where that is
    places: list[int] = []
    before = np.full(len(times_ns), -1)
    for at, time_ns in enumerate(times_ns.tolist()):
        length = bisect_left(ends, time_ns)
        before[at] = places[length - 1] if length else -1
        ends[length : length + 1], places[length : length + 1] = [time_ns], [at]
    chosen = np.zeros(len(times_ns), np.bool_)
    last = places[-1]
    while last >= 0:
        chosen[last] = True
        last = int(before[last])
    return chosen
