"""Durations, their whole distribution kept: no averages, no outliers cut off, bounded memory; tail percentiles claimed.

A percentile here is the nearest rank: the smallest duration that at least that share of all durations does not exceed.

How many measurements a tail percentile takes, and which of them may be reported as that percentile, is MLPerf
Inference's early stopping (mlcommons/inference_policies, inference_rules.adoc, appendix Early Stopping): a latency may
be called the p90 when seeing as few slower queries as were seen has at most 1 % chance on a system whose latency lies
below it in only 90 % of queries. With q queries, t of them slower, that chance is the binomial distribution function
F(t; q, 1 - p), and it shall not exceed 1 - c. MLPerf takes c = 0.99, tolerance d = 0, and t of at least 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError

BINS_A_DECADE: Final = 20
"""Bin k of `LatencyRecorder.bins` holds durations in (10^((k-1)/20), 10^(k/20)] ms."""

_LOWEST_NS: Final = 1_000
_HIGHEST_NS: Final = 1_000_000_000_000
_RATIO: Final = 1.01
_LOG_RATIO: Final = math.log(_RATIO)
_BINS: Final = math.ceil(math.log(_HIGHEST_NS / _LOWEST_NS) / _LOG_RATIO) + 2
_MS: Final = 1e-6
_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class LatencySummary:
    """Percentiles of durations.

    Attributes:
        count: number of durations; a p99 of fewer than 100 is their maximum.
        p50_ms, p90_ms, p99_ms: nearest-rank percentiles.
        min_ms, max_ms: exact.
    """

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    min_ms: float
    max_ms: float

    def to_dict(self) -> dict[str, float]:
        """A plain dictionary, ready for JSON."""
        return asdict(self)


def percentile(durations: Iterable[float], share: float) -> float:
    """Nearest-rank percentile of durations, `share` in (0, 1]; raise ConfigurationError when there are none."""
    ordered = sorted(durations)
    if not ordered:
        raise ConfigurationError("there are no durations to take a percentile of")
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def summarise(durations_ns: Iterable[int]) -> LatencySummary:
    """Exact percentiles of a list of durations in nanoseconds; raise ConfigurationError when it is empty."""
    ordered = sorted(durations_ns)
    p50, p90, p99 = (percentile(ordered, share) * _MS for share in (0.5, 0.9, 0.99))
    return LatencySummary(len(ordered), p50, p90, p99, min_ms=ordered[0] * _MS, max_ms=ordered[-1] * _MS)


class LatencyRecorder:
    """A histogram of durations in bins 1 % wide from 1 us to 1,000 s, with exact extremes.

    Memory is the same after a day as after a second (17 kB). Percentiles are the upper edge of their bin, so at most
    1 % above the truth and never below it. One thread records; recorders of several threads are merged afterwards.

    Attributes:
        count: how many were recorded.
        sum_ns, min_ns, max_ns: exact; 0 before the first.
    """

    __slots__ = ("_bins", "count", "max_ns", "min_ns", "sum_ns")

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self.count = 0
        self.sum_ns = 0
        self.min_ns = 0
        self.max_ns = 0

    def record(self, duration_ns: int) -> None:
        """Add one duration."""
        if not self.count or duration_ns < self.min_ns:
            self.min_ns = duration_ns
        if not self.count or duration_ns > self.max_ns:
            self.max_ns = duration_ns
        self.count += 1
        self.sum_ns += duration_ns
        self._bins[_bin(duration_ns)] += 1

    def merge(self, other: LatencyRecorder) -> None:
        """Add all durations of another recorder."""
        if not other.count:
            return
        self.min_ns = min(self.min_ns, other.min_ns) if self.count else other.min_ns
        self.max_ns = max(self.max_ns, other.max_ns) if self.count else other.max_ns
        self.count += other.count
        self.sum_ns += other.sum_ns
        self._bins = [one + more for one, more in zip(self._bins, other._bins, strict=True)]

    def percentile_ns(self, share: float) -> float:
        """Nearest-rank percentile, `share` in (0, 1]; raise ConfigurationError when nothing was recorded."""
        if not self.count:
            raise ConfigurationError("there are no durations to take a percentile of")
        rank, seen = max(math.ceil(share * self.count), 1), 0
        for at, count in enumerate(self._bins):
            seen += count
            if seen >= rank:
                edge = _LOWEST_NS * math.exp(at * _LOG_RATIO) if at < _BINS - 1 else self.max_ns
                return float(min(max(edge, self.min_ns), self.max_ns))
        return float(self.max_ns)

    def summary(self) -> LatencySummary:
        """The usual percentiles; raise ConfigurationError when nothing was recorded."""
        p50, p90, p99 = (self.percentile_ns(share) * _MS for share in (0.5, 0.9, 0.99))
        return LatencySummary(self.count, p50, p90, p99, min_ms=self.min_ns * _MS, max_ms=self.max_ns * _MS)

    def distribution(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The bins in use: upper edges in ms (k,), and counts (k,)."""
        bins = list(self._bins)  # another thread may be recording
        used = [at for at, count in enumerate(bins) if count]
        edges = [min(_LOWEST_NS * math.exp(at * _LOG_RATIO), max(self.max_ns, _LOWEST_NS)) * _MS for at in used]
        return np.array(edges, np.float64), np.array([bins[at] for at in used], np.int64)

    def bins(self) -> list[tuple[int, int]]:
        """The whole distribution for a picture: pairs of bin number (see `BINS_A_DECADE`) and count, rising."""
        edges_ms, counts = self.distribution()
        numbers = np.ceil(BINS_A_DECADE * np.log10(edges_ms) - _ROUNDING).astype(int)
        bins: dict[int, int] = {}
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            bins[number] = bins.get(number, 0) + count
        return list(bins.items())

    def within(self, limits_ms: Iterable[float]) -> list[int]:
        """For each limit, how many durations do not exceed it; one that is less than 1 % below it may be left out."""
        edges_ms, counts = self.distribution()
        seen = np.concatenate(([0], np.cumsum(counts)))
        at = np.searchsorted(edges_ms, np.fromiter(limits_ms, float) * (1 + _ROUNDING), side="right")
        return [int(count) for count in seen[at]]


def _bin(duration_ns: int) -> int:
    """Bin 0 holds up to 1 us, bin i up to 1 us * 1.01^i, the last everything above."""
    if duration_ns <= _LOWEST_NS:
        return 0
    return min(math.ceil(math.log(duration_ns / _LOWEST_NS) / _LOG_RATIO), _BINS - 1)


CONFIDENCE: Final = 0.99
"""c of the rule: 1 less the share of wrong claims on a system that just misses the percentile."""


def overlatency_allowed(queries: int, share: float = 0.9) -> int:
    """t: how many of so many queries may be slower than what is claimed as the percentile; -1: too few for any claim.

    Args:
        queries: q, how many were measured.
        share: p, the percentile as a share in (0, 1).

    Raises:
        ConfigurationError: a share outside its range, or negative queries.
    """
    if queries < 0 or not 0 < share < 1:
        raise ConfigurationError(
            f"early stopping takes at least 0 queries and a share between 0 and 1, not {queries} and {share}"
        )
    most = math.floor((1 - share) * queries) + 1  # the distribution function is above 1/2 from its mean on
    slower = np.arange(1, most + 1)
    steps = np.log((queries - slower + 1).clip(1) / slower) + math.log((1 - share) / share)
    terms = queries * math.log(share) + np.concatenate(([0.0], np.cumsum(steps)))  # log f(k; q, 1 - p), k from 0
    return int(np.searchsorted(np.logaddexp.accumulate(terms), math.log(1 - CONFIDENCE), side="right")) - 1


def queries_needed(share: float = 0.9, overlatency: int = 1) -> int:
    """The fewest queries of which so many may be slower than the percentile claimed: 64 for p90, 662 for p99.

    Raises:
        ConfigurationError: as `overlatency_allowed`, or a negative count.
    """
    if overlatency < 0:
        raise ConfigurationError(f"a count of slower queries is at least 0, not {overlatency}")
    low, high = 0, 1  # low is too few
    while overlatency_allowed(high, share) < overlatency:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if overlatency_allowed(middle, share) < overlatency else (low, middle)
    return high


def claimed_percentile(durations: Iterable[float], share: float = 0.9) -> tuple[float, int] | None:
    """The duration that may be claimed to be the percentile, and how many slower ones were discarded for it.

    It is the largest that is left when the t - 1 slowest are discarded, so it is never below the sample's own
    percentile. None where there are fewer than `queries_needed(share)`.
    """
    ordered = sorted(durations)
    allowed = overlatency_allowed(len(ordered), share)
    return None if allowed < 1 else (ordered[len(ordered) - allowed], allowed - 1)
