"""A device's clock in host time, over a link with round trips.

The host asks at s, the device answers with its time d, the answer is back at r: at d the host's clock showed something
between s and r. Every exchange bounds the mapping from both sides; the exchange of least round trip bounds it best, and
where the two ways are delayed independently the least delays of either way, which need not belong to one exchange,
bound it better still. So two parallel lines are kept, one below all returns and one above all requests, with the slope
that is likeliest for exponential delays; the mapping is the middle between them (the symmetric delay that NTP assumes,
RFC 5905 section 8), and half the distance between them bounds its error whatever the asymmetry. Where a device stamps
both the question's arrival and the answer, its processing time is taken out of the round trip.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.clock.mapping import (
    LEAST_DELAY_NS,
    MAX_DRIFT,
    PRIOR_SIGMA,
    Clock,
    ClockMapper,
    ClockReport,
    lower_hull,
)

Point = tuple[float, float]

_WINDOW_NS: Final = 60_000_000_000
_BUCKET_NS: Final = 250_000_000  # of each quarter second only the least delay of either way is kept
_SLACK_NS: Final = 2_000_000.0  # an exchange that misses the bounds by more does not belong to this clock
_SLACK_RATE: Final = 100e-6  # what the drift may have done since the last exchange
_SLOPE_STEPS: Final = 40  # bisections of +-500 ppm: far below a nanosecond over any window


class TwoWayClock(Clock):
    """Maps device time to host monotonic time from exchanges, sample by sample.

    Before the first exchange, and after a reset until the next, samples are mapped as over a one-way link. A reset, a
    jump or a pause of the device's clock is believed when the samples show it, or when two exchanges in a row do.
    Exchanges may come from another thread than samples.
    """

    def __init__(self) -> None:
        super().__init__()
        self._one_way = ClockMapper()
        self._odd: tuple[int, int, int] | None = None  # an exchange that does not fit, until a second agrees with it
        self._restart()

    def exchange(self, sent_ns: int, device_ns: int, received_ns: int, answered_ns: int | None = None) -> None:
        """Add one question and its answer.

        Args:
            sent_ns: host time when the question left.
            device_ns: device time when it was answered or, where `answered_ns` is given, when it arrived.
            received_ns: host time when the answer was back.
            answered_ns: device time when the answer left, where the device stamps both.

        Raises:
            ConfigurationError: an answer before its question.
        """
        if received_ns < sent_ns:
            raise ConfigurationError(f"an answer can't be back {sent_ns - received_ns} ns before its question left")
        processing_ns = 0 if answered_ns is None else max(0, min(answered_ns - device_ns, received_ns - sent_ns))
        with self._lock:
            self._take(device_ns, sent_ns, received_ns - processing_ns)

    def offset(self, device_ns: int, host_ns: int, round_trip_ns: int) -> None:
        """Add a finished measurement, as `lsl_time_correction_ex` returns it.

        Args:
            device_ns: device time of the measurement.
            host_ns: host time at that moment, by the measurement.
            round_trip_ns: its round trip; it errs by up to half of this.
        """
        half_ns = max(0, round_trip_ns) // 2
        self.exchange(host_ns - half_ns, device_ns, host_ns + half_ns)

    def resume(self) -> None:
        """Note that the link was cut: a late next sample restarts the mapping at once."""
        with self._lock:
            self._one_way.resume()

    def _report(self) -> ClockReport:
        if not self._uppers:
            return replace(self._one_way.report, link="two-way", resets=self.resets)
        bound_ms = max(0.0, self._high - self._low) / 2 * 1e-6
        residual_ms = self._mean_delay_ns() * 1e-6
        return ClockReport("two-way", self._drift * 1e6, residual_ms, self.resets, uncertainty_ms=bound_ms)

    def _mapped(self, device_ns: int, arrival_ns: int) -> int:
        before = self._one_way.resets
        one_way_ns = self._one_way.map(device_ns, arrival_ns)
        if self._one_way.resets > before:
            self._reset()
        if self._origin is None:
            return one_way_ns
        elapsed_ns = device_ns - self._origin[0]
        mapped = self._origin[1] + elapsed_ns + round(self._drift * elapsed_ns + (self._low + self._high) / 2)
        return min(arrival_ns, mapped)

    def _restart(self) -> None:
        self._origin: tuple[int, int] | None = None  # device and host time that points count from
        self._uppers: deque[Point] = deque()  # (device time, return minus device time): the mapping lies below
        self._lowers: deque[Point] = deque()  # (device time, request minus device time): the mapping lies above
        self._low = self._high = 0.0  # offsets of the two lines
        self._prior = self._drift  # a reset clock has the same crystal

    def _reset(self) -> None:
        """Forget a clock that has been reset, except for an exchange that showed it."""
        if self._origin is not None:
            self.resets += 1
        odd, self._odd = self._odd, None
        self._restart()
        if odd is not None:
            self._add(*odd)

    def _take(self, device_ns: int, sent_ns: int, received_ns: int) -> None:
        if self._origin is not None and not self._fits(device_ns, sent_ns, received_ns):
            odd, self._odd = self._odd, (device_ns, sent_ns, received_ns)
            if odd is None or not _agree(odd, self._odd):
                return
            self._reset()
            return
        self._odd = None
        self._add(device_ns, sent_ns, received_ns)

    def _fits(self, device_ns: int, sent_ns: int, received_ns: int) -> bool:
        assert self._origin is not None
        x, low, high = self._place(device_ns, sent_ns, received_ns)
        slack = _SLACK_NS + _SLACK_RATE * abs(x - self._uppers[-1][0])
        line = self._drift * x
        return low <= self._high + line + slack and high >= self._low + line - slack

    def _place(self, device_ns: int, sent_ns: int, received_ns: int) -> tuple[float, float, float]:
        if self._origin is None:
            self._origin = (device_ns, received_ns)
        device0, host0 = self._origin
        elapsed_ns = device_ns - device0
        return float(elapsed_ns), float(sent_ns - host0 - elapsed_ns), float(received_ns - host0 - elapsed_ns)

    def _add(self, device_ns: int, sent_ns: int, received_ns: int) -> None:
        x, low, high = self._place(device_ns, sent_ns, received_ns)
        if self._uppers and x <= max(self._uppers[-1][0], self._lowers[-1][0]):
            return  # asked twice, or overtaken: the line needs points in order
        _keep(self._uppers, (x, high), self._drift, 1.0)
        _keep(self._lowers, (x, low), self._drift, -1.0)
        self._fit()

    def _fit(self) -> None:
        self._drift = self._likeliest_slope(max(LEAST_DELAY_NS, self._mean_delay_ns()))
        self._high = min(y - self._drift * x for x, y in self._uppers)
        self._low = max(y - self._drift * x for x, y in self._lowers)

    def _mean_delay_ns(self) -> float:
        high = min(y - self._drift * x for x, y in self._uppers)
        low = max(y - self._drift * x for x, y in self._lowers)
        above = sum(y - self._drift * x - high for x, y in self._uppers)
        below = sum(low - (y - self._drift * x) for x, y in self._lowers)
        return (above + below) / (len(self._uppers) + len(self._lowers))

    def _likeliest_slope(self, mean_delay: float) -> float:
        """Slope that minimises (sum of distances to the two lines) / mean_delay + the drift's prior.

        The derivative rises with the slope, so its zero is found by halving.
        """
        upper = lower_hull(self._uppers)
        lower = lower_hull([(x, -y) for x, y in self._lowers])
        sums = sum(x for x, _ in self._uppers), sum(x for x, _ in self._lowers)

        def derivative(slope: float) -> float:
            touching = min(upper, key=lambda point: point[1] - slope * point[0])[0]
            carrying = min(lower, key=lambda point: point[1] + slope * point[0])[0]
            likelihood = len(self._uppers) * touching - sums[0] - len(self._lowers) * carrying + sums[1]
            return likelihood / mean_delay + (slope - self._prior) / PRIOR_SIGMA**2

        left, right = -MAX_DRIFT, MAX_DRIFT
        for _ in range(_SLOPE_STEPS):
            middle = (left + right) / 2
            left, right = (left, middle) if derivative(middle) > 0 else (middle, right)
        return (left + right) / 2


def _agree(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Whether two exchanges may belong to one clock."""
    slack = _SLACK_NS + _SLACK_RATE * abs(other[0] - one[0])
    low = max(one[1] - one[0], other[1] - other[0])
    high = min(one[2] - one[0], other[2] - other[0])
    return low <= high + slack


def _keep(points: deque[Point], point: Point, slope: float, sign: float) -> None:
    """Append `point`, or let it replace its bucket's where its delay is less; forget what left the window."""
    x, y = point
    if points and math.floor(x / _BUCKET_NS) == math.floor(points[-1][0] / _BUCKET_NS):
        last_x, last_y = points[-1]
        if sign * (y - last_y - slope * (x - last_x)) < 0:
            points[-1] = point
        return
    points.append(point)
    while points[0][0] < x - _WINDOW_NS:
        points.popleft()
