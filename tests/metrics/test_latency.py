from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emer_edge.core.errors import ConfigurationError
from emer_edge.metrics.latency import (
    BINS_A_DECADE,
    LatencyRecorder,
    claimed_percentile,
    overlatency_allowed,
    percentile,
    queries_needed,
    summarise,
)

DURATIONS = st.lists(st.integers(1, 10**13), min_size=1, max_size=200)


def recorded(durations: list[int]) -> LatencyRecorder:
    recorder = LatencyRecorder()
    for duration in durations:
        recorder.record(duration)
    return recorder


def test_nearest_rank_by_hand() -> None:
    assert percentile([4, 1, 3, 2], 0.5) == 2
    assert percentile([4, 1, 3, 2], 0.9) == 4
    assert percentile([7], 0.99) == 7


def test_a_summary_keeps_the_tail() -> None:
    summary = summarise([1_000_000] * 98 + [50_000_000, 900_000_000])
    assert summary.to_dict() == pytest.approx(
        {"count": 100, "p50_ms": 1, "p90_ms": 1, "p99_ms": 50, "min_ms": 1, "max_ms": 900}
    )


@given(DURATIONS)
def test_recorded_percentiles_are_within_one_percent_and_never_below(durations: list[int]) -> None:
    recorder = recorded(durations)
    assert (recorder.count, recorder.min_ns, recorder.max_ns) == (len(durations), min(durations), max(durations))
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        exact = percentile(durations, share)
        if 1_000 <= exact <= 10**12:
            assert exact * 0.999999 <= recorder.percentile_ns(share) <= exact * 1.01 * 1.000001
        assert min(durations) <= recorder.percentile_ns(share) <= max(durations)


@given(DURATIONS, DURATIONS)
def test_merged_recorders_are_one_recorder(one: list[int], other: list[int]) -> None:
    merged = recorded(one)
    merged.merge(recorded(other))
    assert merged.summary() == recorded(one + other).summary()
    assert merged.sum_ns == sum(one + other)
    np.testing.assert_array_equal(merged.distribution()[1], recorded(one + other).distribution()[1])


def test_a_distribution_holds_every_duration() -> None:
    edges, counts = recorded([500, 2_000_000, 2_000_001, 10**14]).distribution()
    assert counts.sum() == 4
    assert (np.diff(edges) > 0).all()
    assert edges[1] == pytest.approx(2.0, rel=0.011)


@given(DURATIONS)
def test_bins_hold_every_duration_at_its_place(durations: list[int]) -> None:
    bins = recorded(durations).bins()
    numbers = [number for number, _ in bins]
    assert sum(count for _, count in bins) == len(durations)
    assert numbers == sorted(set(numbers))
    most = 10 ** (numbers[-1] / BINS_A_DECADE)
    assert min(max(durations), 10**12) <= most * 1e6 * 1.000001 or max(durations) > 10**12
    least = 10 ** ((numbers[0] - 1) / BINS_A_DECADE)
    assert least * 1e6 <= max(min(durations), 1_000) * 1.0101


def test_a_bin_ends_at_its_edge() -> None:
    assert recorded([1_000_000]).bins() == recorded([995_000]).bins() == [(0, 1)]
    assert recorded([2_000_000, 100_000_000]).bins() == [(7, 1), (40, 1)]


def test_what_is_within_a_limit() -> None:
    recorder = recorded([500_000, 1_000_000, 30_000_000])
    assert recorder.within([0.1, 1.02, 10, 31, float("inf")]) == [0, 2, 2, 3, 3]
    assert recorder.sum_ns == 31_500_000
    assert LatencyRecorder().within([1.0]) == [0]
    assert LatencyRecorder().bins() == []


def test_memory_does_not_grow() -> None:
    recorder = recorded([1_000_000])
    for at in range(20_000):
        recorder.record(at * 12_345)
    assert recorder.count == 20_001
    assert len(pickle.dumps(recorder)) < 20_000


def test_nothing_recorded_has_no_percentile() -> None:
    empty = LatencyRecorder()
    with pytest.raises(ConfigurationError, match="no durations"):
        empty.summary()
    merged = recorded([5_000])
    merged.merge(empty)
    assert merged.count == 1


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
    claims = [result[0] for result in map(claimed_percentile, runs.tolist()) if result is not None]
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
