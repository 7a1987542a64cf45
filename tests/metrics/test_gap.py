from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import distance

from emer_edge.errors import ConfigurationError
from emer_edge.metrics.gap import auroc, gap_percentile, gap_quantiles, js_distance, roc


def test_it_is_scipys_base_2_distance() -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(7), 20), rng.dirichlet(np.ones(7) * 0.2, 20)
    np.testing.assert_allclose(js_distance(p, q), distance.jensenshannon(p, q, base=2, axis=1), atol=1e-12)


def test_extremes() -> None:
    assert js_distance([1.0, 0.0], [0.0, 1.0]) == 1
    assert js_distance([0.2, 0.8], [0.2, 0.8]) == 0


def test_percentile_among_what_gave_the_quantiles() -> None:
    quantiles = gap_quantiles(np.linspace(0, 0.5, 1001))
    assert len(quantiles) == 101
    assert gap_percentile(0.25, quantiles) == pytest.approx(50)
    assert gap_percentile(0.9, quantiles) == 100
    assert gap_percentile(0.9, ()) is None
    with pytest.raises(ConfigurationError):
        gap_quantiles([])


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
