from __future__ import annotations

import math

import numpy as np
import pytest

from emer_edge.errors import ConfigurationError
from emer_edge.metrics.classification import war
from emer_edge.metrics.intervals import bootstrap, bootstrap_difference


def mean(values: np.ndarray) -> float:
    return float(np.mean(values))


def test_independent_items_give_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap(mean, list(range(400)), values, resamples=2000)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_repeated_clips_of_a_participant_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(0, 1, 40)
    once = bootstrap(mean, list(range(40)), values)
    often = bootstrap(mean, [each for each in range(40) for _ in range(10)], np.repeat(values, 10))
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-9)
    assert (often.participants, often.items) == (40, 400)


def test_the_same_seed_gives_the_same_interval() -> None:
    values, people = np.arange(30.0), [each // 3 for each in range(30)]
    assert bootstrap(mean, people, values, seed=3) == bootstrap(mean, people, values, seed=3)
    assert bootstrap(mean, people, values, seed=3) != bootstrap(mean, people, values, seed=4)


def test_one_participant_has_no_interval() -> None:
    found = bootstrap(mean, ["a", "a"], [1.0, 2.0])
    assert found.value == 1.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_paired_difference_of_equal_predictions_is_exactly_zero() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    people = [each // 4 for each in range(60)]
    same = bootstrap_difference(war, people, truth, predicted, predicted)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = bootstrap_difference(war, people, truth, predicted, truth)
    assert better.value == pytest.approx(1 - war(truth, predicted))
    assert better.low > 0


def test_lengths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="don't fit"):
        bootstrap(mean, ["a"], [1.0, 2.0])
