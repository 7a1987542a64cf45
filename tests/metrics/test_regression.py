from __future__ import annotations

import pytest

from emer_edge.errors import ConfigurationError
from emer_edge.metrics.regression import mae, mse, rmse


def test_errors_by_hand() -> None:
    truth, predicted = [0.0, 1.0, -1.0], [0.5, 1.0, 1.0]
    assert mae(truth, predicted) == pytest.approx(2.5 / 3)
    assert mse(truth, predicted) == pytest.approx(4.25 / 3)
    assert rmse(truth, predicted) == pytest.approx((4.25 / 3) ** 0.5)


def test_different_lengths_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="equally long"):
        mae([0.0], [0.0, 1.0])
