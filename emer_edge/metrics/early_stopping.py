"""How many measurements a tail percentile takes, and which of them may be reported as that percentile.

MLPerf Inference's early stopping (mlcommons/inference_policies, inference_rules.adoc, appendix Early Stopping): a
latency may be called the p90 when seeing as few slower queries as were seen has at most 1 % chance on a system whose
latency lies below it in only 90 % of queries. With q queries, t of them slower, that chance is the binomial
distribution function F(t; q, 1 - p), and it shall not exceed 1 - c. MLPerf takes c = 0.99, tolerance d = 0, and t of
at least 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from emer_edge.errors import ConfigurationError

__all__ = ["CONFIDENCE", "claimed_percentile", "overlatency_allowed", "queries_needed"]

CONFIDENCE: Final = 0.99
"""c of the rule: 1 less the share of wrong claims on a system that just misses the percentile."""


def overlatency_allowed(queries: int, share: float = 0.9, confidence: float = CONFIDENCE) -> int:
    """t: how many of so many queries may be slower than what is claimed as the percentile; -1: too few for any claim.

    Args:
        queries: q, how many were measured.
        share: p, the percentile as a share in (0, 1).
        confidence: c, in (0, 1).

    Raises:
        ConfigurationError: a share outside its range, or negative queries.
    """
    if queries < 0 or not 0 < share < 1 or not 0 < confidence < 1:
        raise ConfigurationError(
            f"early stopping takes at least 0 queries and shares between 0 and 1, not {queries}, {share}, {confidence}"
        )
    most = math.floor((1 - share) * queries) + 1  # the distribution function is above 1/2 from its mean on
    slower = np.arange(1, most + 1)
    steps = np.log((queries - slower + 1).clip(1) / slower) + math.log((1 - share) / share)
    terms = queries * math.log(share) + np.concatenate(([0.0], np.cumsum(steps)))  # log f(k; q, 1 - p), k from 0
    return int(np.searchsorted(np.logaddexp.accumulate(terms), math.log(1 - confidence), side="right")) - 1


def queries_needed(share: float = 0.9, overlatency: int = 1, confidence: float = CONFIDENCE) -> int:
    """The fewest queries of which so many may be slower than the percentile claimed: 64 for p90, 662 for p99.

    Raises:
        ConfigurationError: as `overlatency_allowed`, or a negative count.
    """
    if overlatency < 0:
        raise ConfigurationError(f"a count of slower queries is at least 0, not {overlatency}")
    low, high = 0, 1  # low is too few
    while overlatency_allowed(high, share, confidence) < overlatency:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if overlatency_allowed(middle, share, confidence) < overlatency:
            low = middle
        else:
            high = middle
    return high


def claimed_percentile(
    durations: Iterable[float], share: float = 0.9, confidence: float = CONFIDENCE
) -> tuple[float, int] | None:
    """The duration that may be claimed to be the percentile, and how many slower ones were discarded for it.

    It is the largest that is left when the t - 1 slowest are discarded, so it is never below the sample's own
    percentile. None where there are fewer than `queries_needed(share)`.
    """
    ordered = sorted(durations)
    allowed = overlatency_allowed(len(ordered), share, confidence)
    return None if allowed < 1 else (ordered[len(ordered) - allowed], allowed - 1)
