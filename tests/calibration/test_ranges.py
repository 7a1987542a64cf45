from __future__ import annotations

import numpy as np
import onnx
import pytest

from emer_edge.calibration.histogram import BINS, RunningHistogram
from emer_edge.calibration.methods import METHODS
from emer_edge.calibration.ranges import collect_histograms, ranges_of
from emer_edge.errors import ConfigurationError, DataError


def filled(*batches: np.ndarray) -> RunningHistogram:
    histogram = RunningHistogram()
    for each in batches:
        histogram.add(each)
    return histogram


def scaling_model() -> onnx.ModelProto:
    """y = relu(3 x)."""
    helper = onnx.helper
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 4])
    three = onnx.numpy_helper.from_array(np.array(3.0, np.float32), "three")
    nodes = [helper.make_node("Mul", ["x", "three"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]
    graph = helper.make_graph(nodes, "scaling", [x], [y], [three])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def test_histogram_widens_without_losing_counts() -> None:
    rng = np.random.default_rng(0)
    batches = [rng.normal(0, scale, 5000).astype(np.float32) for scale in (0.1, 1, 30)]
    histogram = filled(np.zeros(100, np.float32), *batches)
    everything = np.concatenate([np.zeros(100, np.float32), *batches])
    assert histogram.total == histogram.counts.sum() == len(everything)
    assert (histogram.low, histogram.high) == (everything.min(), everything.max())
    expected, _ = np.histogram(everything, histogram.edges)
    assert np.abs(np.cumsum(histogram.counts) - np.cumsum(expected)).max() < 0.01 * len(everything)
    assert len(histogram.counts) == BINS


def test_minmax_covers_everything() -> None:
    assert METHODS["minmax"](filled(np.array([-2.0, 0.0, 5.0], np.float32))) == (-2.0, 5.0)


@pytest.mark.parametrize(("method", "most"), [("percentile", 12.0), ("entropy", 60.0)])
def test_outliers_are_cut(method: str, most: float) -> None:
    values = np.abs(np.random.default_rng(1).normal(0, 1, 2_000_000)).astype(np.float32)
    values[:3] = 400.0
    low, high = METHODS[method](filled(values))
    assert -0.2 <= low <= 1e-3
    assert 3.0 < high < most


@pytest.mark.parametrize("method", list(METHODS))
def test_all_zeros_give_an_empty_range(method: str) -> None:
    assert METHODS[method](filled(np.zeros(50, np.float32))) == (0.0, 0.0)


def test_ranges_of_a_graph_with_its_input() -> None:
    batches = [{"x": np.array([[-1, 0, 1, 2]], np.float32)}, {"x": np.array([[4, 0, 0, -3]], np.float32)}]
    told: list[tuple[int, int]] = []
    histograms = collect_histograms(
        scaling_model(),
        ["x", "z", "y"],
        batches,
        total=2,
        progress=lambda label, done, total: told.append((done, total)),
    )
    assert ranges_of(histograms, "minmax") == {"x": (-3.0, 4.0), "z": (-9.0, 12.0), "y": (0.0, 12.0)}
    assert told == [(1, 2), (2, 2)]


def test_no_data_nan_and_unknown_method_are_refused() -> None:
    with pytest.raises(DataError, match="no crops"):
        collect_histograms(scaling_model(), ["y"], [])
    with pytest.raises(DataError, match="not finite"):
        collect_histograms(scaling_model(), ["z"], [{"x": np.full((1, 4), np.nan, np.float32)}])
    with pytest.raises(ConfigurationError, match="minmax, percentile, entropy"):
        ranges_of({}, "guess")
