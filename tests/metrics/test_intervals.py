from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.metrics.intervals import (
    Paired,
    bootstrap,
    bootstrap_difference,
    bootstrap_sums,
    paired_ece,
    paired_mean,
    paired_recalls,
    paired_uar,
)
from emer_edge.metrics.prediction_metrics import uar, war
from emer_edge.metrics.probabilities import auroc, brier, ece, softmax


def mean(values: np.ndarray) -> float:
    return float(np.mean(values))


def test_independent_items_give_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    interval = bootstrap(mean, list(range(400)), values, resamples=2000)
    half = 1.96 * values.std(ddof=1) / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)


def test_repeated_clips_of_a_participant_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(0, 1, 40)
    once = bootstrap(mean, list(range(40)), values)
    often = bootstrap(mean, [at for at in range(40) for _ in range(10)], np.repeat(values, 10))
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-9)
    assert often.participants == 40


def test_the_same_seed_gives_the_same_interval() -> None:
    values, people = np.arange(30.0), [at // 3 for at in range(30)]
    assert bootstrap(mean, people, values, seed=3) == bootstrap(mean, people, values, seed=3)
    assert bootstrap(mean, people, values, seed=3) != bootstrap(mean, people, values, seed=4)


def test_one_participant_has_no_interval() -> None:
    interval = bootstrap(mean, ["a", "a"], [1.0, 2.0])
    assert interval.value == 1.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_a_paired_difference_of_equal_predictions_is_exactly_zero() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    people = [at // 4 for at in range(60)]
    same = bootstrap_difference(war, people, truth, predicted, predicted)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = bootstrap_difference(war, people, truth, predicted, truth)
    assert better.value == pytest.approx(1 - war(truth, predicted))
    assert better.low > 0


def test_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="don't fit"):
        bootstrap(mean, ["a"], [1.0, 2.0])


PEOPLE = tuple(f"p{at % 11}" for at in range(300))


@pytest.fixture(scope="module")
def given() -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """True classes and probabilities before and after."""
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (300, 5))
    return rng.integers(0, 5, 300), softmax(logits), softmax(logits + rng.normal(0, 0.5, (300, 5)))


def by_items(
    truth: NDArray[np.int64], one: NDArray[np.float64], other: NDArray[np.float64]
) -> dict[str, tuple[Paired, Callable[..., float], tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    best = one.argmax(axis=1), other.argmax(axis=1)
    squares = [((item - np.eye(5)[truth]) ** 2).sum(axis=1) for item in (one, other)]
    return {
        "war": (paired_mean(best[0] == truth, best[1] == truth), war, best),
        "uar": (paired_uar(truth, *best), uar, best),
        "brier": (paired_mean(*squares), lambda true, rows: brier(rows, true), (one, other)),
    }


@pytest.mark.parametrize("name", ["war", "uar", "brier"])
def test_sums_give_what_the_items_give(
    given: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]], name: str
) -> None:
    truth, one, other = given
    paired, metric, pair = by_items(truth, one, other)[name]
    assert paired.figures == pytest.approx([metric(truth, item) for item in pair])
    quick = paired.change(PEOPLE, seed=7)
    slow = bootstrap_difference(metric, PEOPLE, truth, *pair, seed=7)
    assert (quick.value, quick.low, quick.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-12)
    assert quick.participants == 11


def test_calibration_errors_of_a_pair_share_their_bins(
    given: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
) -> None:
    truth, one, _ = given
    assert paired_ece(one, one, truth).figures == pytest.approx((ece(one, truth),) * 2)
    # A nudge over a bin's edge that changes neither hits nor confidence by much.
    edge = np.full((300, 5), 0.1)
    edge[:, 0] = 0.6
    nudged = edge + np.array([2e-6, -2e-6, 0, 0, 0])
    half = np.where(np.arange(300) % 2, 0, 1)
    before, after = paired_ece(edge, nudged, half).figures
    assert after == pytest.approx(before, abs=1e-5)
    shifted = paired_ece(edge, edge + np.array([0.04, -0.04, 0, 0, 0]), half).figures
    assert shifted == pytest.approx((0.1, 0.14))


def test_a_change_of_one_participant_has_no_interval() -> None:
    result = paired_mean([1.0, 2.0], [1.0, 4.0]).change(("p", "p"))
    assert result.value == 1.0
    assert math.isnan(result.low)


def test_totals_need_an_owner_each() -> None:
    with pytest.raises(ConfigurationError, match="3 participants and 2 items"):
        bootstrap_sums(lambda sums: sums[..., 0], ("a", "b", "c"), np.ones((2, 1)))


@pytest.mark.parametrize(
    ("positive", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 1.0),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], 0.0),
        ([0, 1], [0.5, 0.5], 0.5),
        ([0, 1, 0, 1], [0.1, 0.1, 0.4, 0.9], 0.625),
    ],
    ids=["apart", "reversed", "tied", "mixed"],
)
def test_auroc(positive: list[int], scores: list[float], expected: float) -> None:
    assert auroc(positive, scores) == expected


def test_auroc_of_one_kind_is_unknown() -> None:
    assert math.isnan(auroc([1, 1], [0.1, 0.2]))


def test_recalls_of_hits_that_are_means_are_the_mean_of_the_recalls() -> None:
    rng = np.random.default_rng(2)
    truth, before, draws = rng.integers(0, 4, 300), rng.integers(0, 4, 300), rng.integers(0, 4, (5, 300))
    paired = paired_recalls(truth, before == truth, (draws == truth).mean(axis=0))
    assert paired.figures == pytest.approx((uar(truth, before), np.mean([uar(truth, draw) for draw in draws])))
