from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import ArrayLike

from emer_edge.core.errors import ConfigurationError
from emer_edge.metrics.intervals import bootstrap, bootstrap_difference, draw_sums
from emer_edge.metrics.prediction_metrics import mae, mcnemar_p, mse, rmse, uar, war, weighted_f1
from emer_edge.metrics.probabilities import brier, ece, nll, softmax
from emer_edge.metrics.summed import summed_choices, summed_classes, summed_values

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 4, 60)
PROBABILITIES = softmax(RNG.normal(0, 1, (60, 4)) + 1.5 * np.eye(4)[TRUTH])
PEOPLE = [at // 6 for at in range(60)]
VALUES = RNG.uniform(-1, 1, 60)
PREDICTED = 0.6 * VALUES + RNG.normal(0.1, 0.3, 60)


def ccc(truth: ArrayLike, predicted: ArrayLike) -> float:
    return summed_values(truth, predicted).figures().get("ccc", math.nan)


def pearson(truth: ArrayLike, predicted: ArrayLike) -> float:
    return summed_values(truth, predicted).figures().get("pearson", math.nan)


def concordance(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Lin's definition with numpy's own moments."""
    covariance = np.cov(truth, predicted, ddof=0)
    apart = (truth.mean() - predicted.mean()) ** 2
    return float(2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + apart))


def test_figures_of_classes_are_those_of_the_plain_metrics() -> None:
    chosen = PROBABILITIES.argmax(axis=1)
    expected = {
        "war": war(TRUTH, chosen),
        "uar": uar(TRUTH, chosen),
        "weighted_f1": weighted_f1(TRUTH, chosen),
        "ece": ece(PROBABILITIES, TRUTH),
        "nll": nll(PROBABILITIES, TRUTH),
        "brier": brier(PROBABILITIES, TRUTH),
    }
    assert summed_classes(TRUTH, PROBABILITIES).figures() == pytest.approx(expected, rel=1e-12)


def test_figures_of_values_are_those_of_the_plain_metrics() -> None:
    expected = {
        "mae": mae(VALUES, PREDICTED),
        "mse": mse(VALUES, PREDICTED),
        "rmse": rmse(VALUES, PREDICTED),
        "ccc": concordance(VALUES, PREDICTED),
        "pearson": float(np.corrcoef(VALUES, PREDICTED)[0, 1]),
    }
    assert summed_values(VALUES, PREDICTED).figures() == pytest.approx(expected, rel=1e-10)


def test_concordance_and_correlation_by_hand() -> None:
    # Means 2 and 3, variances 2/3 and 8/3 over n, covariance 4/3: 2 * 4/3 / (2/3 + 8/3 + 1) = 8/13.
    truth, predicted = [1.0, 2.0, 3.0], [1.0, 3.0, 5.0]
    assert ccc(truth, predicted) == pytest.approx(8 / 13)
    assert pearson(truth, predicted) == pytest.approx(1.0)
    assert ccc(truth, truth) == pytest.approx(1.0)
    assert ccc(truth, [3.0, 2.0, 1.0]) == pytest.approx(-1.0)


def test_a_prediction_that_never_changes_agrees_with_nothing() -> None:
    assert ccc(VALUES, np.full(60, 0.3)) == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(pearson(VALUES, np.full(60, 0.3)))
    assert math.isnan(ccc([0.5, 0.5], [0.5, 0.5]))


@pytest.mark.parametrize("metric", ["war", "uar", "weighted_f1", "ece", "nll", "brier"])
def test_intervals_of_classes_are_those_of_the_bootstrap(metric: str) -> None:
    interval = summed_classes(TRUTH, PROBABILITIES).intervals(PEOPLE, 200, seed=3)[metric]
    if metric in ("war", "uar", "weighted_f1"):
        plain = {"war": war, "uar": uar, "weighted_f1": weighted_f1}[metric]
        expected = bootstrap(plain, PEOPLE, TRUTH, PROBABILITIES.argmax(axis=1), resamples=200, seed=3)
    else:
        scored = {"ece": ece, "nll": nll, "brier": brier}[metric]
        expected = bootstrap(scored, PEOPLE, PROBABILITIES, TRUTH, resamples=200, seed=3)
    assert (interval.value, interval.low, interval.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert interval.participants == 10


def test_intervals_of_values_are_those_of_the_bootstrap() -> None:
    figures = summed_values(VALUES, PREDICTED).intervals(PEOPLE, 200, seed=1)["ccc"]
    expected = bootstrap(concordance, PEOPLE, VALUES, PREDICTED, resamples=200, seed=1)
    assert (figures.low, figures.high) == pytest.approx((expected.low, expected.high))


def test_a_difference_keeps_its_pairs() -> None:
    other = 0.9 * PREDICTED
    figures = summed_values(VALUES, other).minus(summed_values(VALUES, PREDICTED)).intervals(PEOPLE, 200, seed=1)["mae"]
    expected = bootstrap_difference(mae, PEOPLE, VALUES, PREDICTED, other, resamples=200, seed=1)
    assert (figures.value, figures.low, figures.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_one_person_has_no_interval_and_no_items_are_refused() -> None:
    figures = summed_values(VALUES, PREDICTED).intervals(["a"] * 60, 10)["mae"]
    assert math.isnan(figures.low)
    assert draw_sums(["a", "a"], np.ones((2, 3)), 5)[0].shape == (0, 3)
    with pytest.raises(ConfigurationError, match="don't fit"):
        draw_sums([], np.ones((0, 3)))


def test_each_owner_weighs_the_same_however_many_items_it_has() -> None:
    truth = np.array([0, 0, 0, 1])
    right = np.eye(2)[[0, 0, 1, 1]] * 0.8 + 0.1
    owners = [0, 0, 0, 1]
    assert summed_classes(truth, right).per_owner(owners, 2).figures()["war"] == pytest.approx((2 / 3 + 1) / 2)
    values = summed_values([1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.5]).per_owner(owners, 2)
    assert values.figures()["mae"] == pytest.approx((1 / 3 + 0.5) / 2)
    with pytest.raises(ConfigurationError, match="owner"):
        summed_values(VALUES, PREDICTED).per_owner(np.zeros(60), 2)


def test_chance_is_what_many_guesses_come_to() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    figures = summed_choices(TRUTH, np.tile(shares, (60, 1)), forecast=True).figures()
    guesses = rng.choice(4, (3000, 60), p=shares)
    assert figures["war"] == pytest.approx(np.mean(guesses == TRUTH), abs=0.003)
    assert figures["uar"] == pytest.approx(0.25)
    assert figures["nll"] == pytest.approx(-np.mean(np.log(shares[TRUTH])))
    assert figures["brier"] == pytest.approx(brier(np.tile(shares, (60, 1)), TRUTH))


def test_a_guess_that_is_made_counts_as_it_is() -> None:
    always = np.tile(np.eye(4)[2], (60, 1))
    figures = summed_choices(TRUTH, always).figures()
    predicted = np.full(60, 2)
    assert figures == pytest.approx(
        {"war": war(TRUTH, predicted), "uar": uar(TRUTH, predicted), "weighted_f1": weighted_f1(TRUTH, predicted)}
    )


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, Fraction(1)), (5, 5, Fraction(1)), (0, 5, Fraction(1, 16)), (1, 7, Fraction(18, 256))],
    ids=str,
)
def test_mcnemar_by_hand(first: int, second: int, p: Fraction) -> None:
    assert mcnemar_p(first, second) == mcnemar_p(second, first) == float(p)


def test_mcnemar_of_many_is_the_usual_approximation() -> None:
    # chi-square with continuity correction: (|120 - 80| - 1)^2 / 200 = 7.605, p = 0.00582.
    assert mcnemar_p(120, 80) == pytest.approx(0.00582, abs=2e-4)
    with pytest.raises(ConfigurationError, match="at least 0"):
        mcnemar_p(-1, 3)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="true classes"):
        summed_classes([0, 4], np.ones((2, 4)) / 4)
    with pytest.raises(ConfigurationError, match="equally long"):
        summed_values([0.0], [0.0, 1.0])
    with pytest.raises(ConfigurationError, match="not the same"):
        summed_values(VALUES, PREDICTED).minus(summed_values([0.0], [1.0]))
