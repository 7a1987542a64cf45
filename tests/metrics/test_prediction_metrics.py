from __future__ import annotations

import numpy as np
import pytest

from emer_edge.core.errors import ConfigurationError
from emer_edge.metrics.prediction_metrics import confusion, mae, mse, published_batch_mean, rmse, uar, war, weighted_f1

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
