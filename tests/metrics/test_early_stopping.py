from __future__ import annotations

import numpy as np
import pytest

from emer_edge.errors import ConfigurationError
from emer_edge.metrics.early_stopping import claimed_percentile, overlatency_allowed, queries_needed


@pytest.mark.parametrize(
    ("queries", "discarded"), [(100, 2), (201, 9), (659, 47), (708, 51), (7914, 728), (79944, 7796)]
)
def test_as_many_are_discarded_as_in_published_loadgen_logs(queries: int, discarded: int) -> None:
    assert overlatency_allowed(queries) == discarded + 1
    assert claimed_percentile(range(queries)) == (queries - 1 - discarded, discarded)


@pytest.mark.parametrize(
    ("share", "overlatency", "needed"),
    [(0.9, 1, 64), (0.99, 1, 662), (0.99, 0, 459), (0.9, 0, 44)],
    ids=["p90", "p99", "p99 and none slower", "p90 and none slower"],
)
def test_minimum_counts_are_mlperfs(share: float, overlatency: int, needed: int) -> None:
    assert queries_needed(share, overlatency) == needed
    assert overlatency_allowed(needed, share) == overlatency
    assert overlatency_allowed(needed - 1, share) == overlatency - 1


def test_a_claim_is_wrong_as_rarely_as_promised() -> None:
    rng = np.random.default_rng(0)
    runs = rng.random((4000, 300))  # the true p90 is 0.9
    claims = [found[0] for found in map(claimed_percentile, runs.tolist()) if found is not None]
    assert len(claims) == 4000
    assert 0.001 < np.mean(np.array(claims) < 0.9) <= 0.013


def test_the_claim_comes_nearer_with_more_queries() -> None:
    shares = [overlatency_allowed(count) / count for count in (64, 640, 6400, 64000, 640000)]
    assert shares == sorted(shares)
    assert 0.099 < shares[-1] < 0.1


@pytest.mark.parametrize("count", [0, 1, 43, 63])
def test_too_few_queries_claim_nothing(count: int) -> None:
    assert claimed_percentile(range(count)) is None


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        overlatency_allowed(10, 1.0)
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        overlatency_allowed(-1)
    with pytest.raises(ConfigurationError, match="at least 0"):
        queries_needed(0.9, -1)
