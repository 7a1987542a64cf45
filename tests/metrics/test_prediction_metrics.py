from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special
from scipy.spatial import distance

from emer_edge.core.errors import ConfigurationError
from emer_edge.metrics.prediction_metrics import confusion, mae, mse, published_batch_mean, rmse, uar, war, weighted_f1
from emer_edge.metrics.probabilities import (
    auroc,
    brier,
    ece,
    fit_isotonic,
    fit_temperature,
    js_distance,
    nll,
    reliability,
    roc,
    softmax,
)

# By hand: class 0 three times (two hit), class 1 twice (one hit), class 2 once (missed, called 0).
TRUTH = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, 0, 0]


def test_confusion_has_a_row_a_true_class() -> None:
    assert confusion(TRUTH, PREDICTED).tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert confusion(TRUTH, PREDICTED, classes=7).shape == (7, 7)


def test_war_is_accuracy() -> None:
    assert war(TRUTH, PREDICTED) == pytest.approx(3 / 6)


def test_uar_is_the_mean_recall_of_the_classes_that_occur() -> None:
    assert uar(TRUTH, PREDICTED) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert uar([0, 0], [0, 6]) == pytest.approx(0.5)


def test_weighted_f1_by_hand() -> None:
    f1 = [2 * 2 / (3 + 4), 2 * 1 / (2 + 2), 0.0]
    assert weighted_f1(TRUTH, PREDICTED) == pytest.approx((3 * f1[0] + 2 * f1[1] + 1 * f1[2]) / 6)


@pytest.mark.parametrize(
    ("truth", "predicted"), [([], []), ([0], [0, 1]), ([-1], [0])], ids=["none", "lengths", "negative"]
)
def test_what_does_not_fit_is_refused(truth: list[int], predicted: list[int]) -> None:
    with pytest.raises(ConfigurationError):
        confusion(truth, predicted)


def test_an_index_beyond_the_classes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"0\.\.2"):
        confusion([0, 3], [0, 0], classes=3)


def test_the_published_reduction_weighs_the_last_small_batch_as_much_as_the_others() -> None:
    truth = np.zeros(18, int)
    predicted = np.r_[np.zeros(16, int), [1, 1]]
    assert war(truth, predicted) == pytest.approx(16 / 18)
    assert published_batch_mean(war, truth, predicted) == pytest.approx(0.5)


def test_errors_by_hand() -> None:
    truth, predicted = [0.0, 1.0, -1.0], [0.5, 1.0, 1.0]
    assert mae(truth, predicted) == pytest.approx(2.5 / 3)
    assert mse(truth, predicted) == pytest.approx(4.25 / 3)
    assert rmse(truth, predicted) == pytest.approx((4.25 / 3) ** 0.5)


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="equally long"):
        mae([0.0], [0.0, 1.0])


PROBABILITIES = [[0.7, 0.3], [0.6, 0.4], [0.1, 0.9]]
RELIABILITY_TRUTH = [0, 1, 1]


def drawn(temperature: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose labels were drawn at a known temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (n, 5))
    probabilities = special.softmax(logits / temperature, axis=1)
    labels = (rng.random((n, 1)) > np.cumsum(probabilities, axis=1)).sum(axis=1)
    return logits, np.minimum(labels, 4)


def test_softmax_is_scipys() -> None:
    logits = np.random.default_rng(1).normal(0, 50, (8, 7))
    np.testing.assert_allclose(softmax(logits, 2.5), special.softmax(logits / 2.5, axis=1), rtol=1e-12)


def test_nll_and_brier_by_hand() -> None:
    assert nll(PROBABILITIES, RELIABILITY_TRUTH) == pytest.approx(-(math.log(0.7) + math.log(0.4) + math.log(0.9)) / 3)
    assert brier(PROBABILITIES, RELIABILITY_TRUTH) == pytest.approx(2 * (0.09 + 0.36 + 0.01) / 3)


def test_ece_by_hand() -> None:
    # Ten bins: 0.6 (wrong) in (0.5, 0.6], 0.7 (right) in (0.6, 0.7], 0.9 (right) in (0.8, 0.9].
    assert ece(PROBABILITIES, RELIABILITY_TRUTH, bins=10) == pytest.approx((0.6 + 0.3 + 0.1) / 3)
    bins = reliability(PROBABILITIES, RELIABILITY_TRUTH, bins=10)
    assert [item.count for item in bins] == [0, 0, 0, 0, 0, 1, 1, 0, 1, 0]


def test_certainty_that_is_right_has_no_error() -> None:
    assert ece(np.eye(3), [0, 1, 2]) == 0
    assert nll([[0.0, 1.0]], [0]) < 30


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_labels_were_drawn_at_is_found(temperature: float) -> None:
    logits, labels = drawn(temperature)
    fitted = fit_temperature(logits, labels)
    assert fitted == pytest.approx(temperature, rel=0.1)
    best = optimize.minimize_scalar(
        lambda at: nll(softmax(logits, at), labels), bounds=(0.05, 20), method="bounded", options={"xatol": 1e-6}
    )
    assert fitted == pytest.approx(best.x, rel=1e-3)


def test_a_separable_set_ends_at_the_lower_bound() -> None:
    assert fit_temperature([[1.0, 0.0], [0.0, 1.0]], [0, 1]) == pytest.approx(0.05, rel=1e-3)


def test_a_class_outside_the_logits_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"0\.\.1"):
        nll(PROBABILITIES, [0, 1, 2])


def test_it_is_scipys_base_2_distance() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(7), 20), rng.dirichlet(np.ones(7) * 0.2, 20)
    np.testing.assert_allclose(js_distance(p, q), distance.jensenshannon(p, q, base=2, axis=1), atol=1e-12)


def test_extremes() -> None:
    assert js_distance([1.0, 0.0], [0.0, 1.0]) == 1
    assert js_distance([0.2, 0.8], [0.2, 0.8]) == 0


def test_probabilities_that_rise_with_the_score() -> None:
    knots = fit_isotonic([0.1, 0.2, 0.3, 0.4, 0.4, 0.6], [False, True, False, True, False, True])
    assert knots == ((0.1, 0.0), (0.2, 0.5), (0.4, 0.5), (0.6, 1.0))
    assert fit_isotonic([0.5, 0.5, 0.1], [True, False, True]) == ((0.1, 2 / 3), (0.5, 2 / 3))
    assert fit_isotonic([0.1, 0.9], [False, True], edge=0.1) == ((0.1, 0.1), (0.9, 0.9))


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60))
def test_no_rising_function_is_nearer_to_the_outcomes(items: list[tuple[int, bool]]) -> None:
    scores, positive = (np.array(column) for column in zip(*items, strict=True))
    fitted = np.interp(scores, *zip(*fit_isotonic(scores, positive), strict=True))
    order = np.argsort(scores, kind="stable")
    assert (np.diff(fitted[order]) >= -1e-12).all()
    # The residuals of the nearest one sum to 0, are orthogonal to it, and never add up to less than 0 from the left.
    residual = positive - fitted
    assert residual.sum() == pytest.approx(0, abs=1e-9)
    assert residual @ fitted == pytest.approx(0, abs=1e-9)
    assert all(residual[scores <= score].sum() >= -1e-9 for score in scores.tolist())


def test_the_area_under_the_curve_is_the_auroc_ties_included() -> None:
    rng = np.random.default_rng(3)
    positive = rng.random(200) < 0.4
    scores = np.round(rng.random(200) + 0.3 * positive, 1)
    points = roc(positive, scores)
    assert points[0].tolist() == [0, 0]
    assert points[-1].tolist() == [1, 1]
    assert (np.diff(points, axis=0) >= 0).all()
    assert len(points) == len(np.unique(scores)) + 1
    area = float(np.sum(np.diff(points[:, 0]) * (points[1:, 1] + points[:-1, 1]) / 2))
    assert area == pytest.approx(auroc(positive, scores))
    assert roc(np.ones(3, bool), [1, 2, 3]).shape == (0, 2)
