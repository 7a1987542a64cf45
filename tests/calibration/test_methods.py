from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from emer_edge.calibration.kept_ranges import Tally
from emer_edge.calibration.measurement import collect_histograms, ranges_of
from emer_edge.calibration.methods import BINS, GRIDS, METHODS, RunningHistogram, expected_squared_error, mse_range
from emer_edge.core.errors import ConfigurationError, DataError


def filled(*batches: np.ndarray) -> RunningHistogram:
    histogram = RunningHistogram()
    for batch in batches:
        histogram.add(batch)
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


def quantised(values: Any, low: float, high: float, grid: str) -> np.ndarray:
    """What QuantizeLinear and DequantizeLinear of the opset do, element by element."""
    low, high = min(low, 0.0), max(high, 0.0)
    if grid == "unsigned":
        scale = (high - low) / 255
        zero = round(-low / scale)
        steps = np.clip(np.rint(values / scale) + zero, 0, 255) - zero
    else:
        scale = max(-low, high) / 127
        steps = np.clip(np.rint(values / scale), -128, 127)
    return np.asarray(steps * scale)


SHAPES = {
    "relu": lambda rng: np.maximum(rng.normal(0, 1, 200_000), 0),
    "two-sided": lambda rng: rng.laplace(0.3, 1, 200_000),
    "outliers": lambda rng: np.concatenate([rng.normal(0, 1, 200_000), [60.0, -45.0]]),
    "all negative": lambda rng: -np.abs(rng.normal(2, 1, 200_000)),
}


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
    assert histogram.mean_square == pytest.approx(np.square(everything).mean(), rel=1e-3)
    assert histogram.share_outside(-20, 20) == pytest.approx((np.abs(everything) > 20).mean(), abs=2e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_not_counted(bad: float) -> None:
    histogram = filled(np.ones(3, np.float32))
    with pytest.raises(FloatingPointError):
        histogram.add(np.array([1.0, bad], np.float32))
    assert histogram.total == histogram.counts.sum() == 3


@pytest.mark.parametrize(("value", "dead"), [([0.0, 0.0], True), ([3.0, 3.0], True), ([0.0, 1e-6], False)])
def test_a_tensor_of_one_value_is_dead(value: list[float], dead: bool) -> None:
    assert filled(np.array(value, np.float32)).dead is dead


def test_minmax_covers_everything() -> None:
    histogram = filled(np.array([-2.0, 0.0, 5.0], np.float32))
    assert [METHODS["minmax"](histogram, grid) for grid in GRIDS] == [(-2.0, 5.0)] * 2


@pytest.mark.parametrize(("method", "most"), [("percentile", 12.0), ("entropy", 60.0), ("mse", 60.0)])
@pytest.mark.parametrize("grid", GRIDS)
def test_outliers_are_cut(method: str, most: float, grid: Any) -> None:
    values = np.abs(np.random.default_rng(1).normal(0, 1, 2_000_000)).astype(np.float32)
    values[:3] = 400.0 if method != "mse" else 60.5
    low, high = METHODS[method](filled(values), grid)
    assert -0.2 <= low <= 1e-3
    assert 3.0 < high < most


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("grid", GRIDS)
def test_all_zeros_give_an_empty_range(method: str, grid: Any) -> None:
    assert METHODS[method](filled(np.zeros(50, np.float32)), grid) == (0.0, 0.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("grid", GRIDS)
def test_expected_error_is_that_of_quantising_the_values(shape: str, grid: Any) -> None:
    values = SHAPES[shape](np.random.default_rng(2)).astype(np.float32)
    histogram = filled(values)
    for share in (1.0, 0.5, 0.2):
        low, high = histogram.low * share, histogram.high * share
        measured = np.square(values - quantised(values, low, high, grid)).mean()
        assert expected_squared_error(histogram, low, high, grid) == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("grid", GRIDS)
def test_mse_finds_the_best_of_many_ranges(shape: str, grid: Any) -> None:
    values = SHAPES[shape](np.random.default_rng(3)).astype(np.float32)
    histogram = filled(values)
    low, high = mse_range(histogram, grid)
    assert min(histogram.low, 0) <= low <= 0 <= high <= max(histogram.high, 0)
    least = np.square(values - quantised(values, low, high, grid)).mean()
    for share_low in np.linspace(0.05, 1, 12):
        for share_high in np.linspace(0.05, 1, 12):
            tried = quantised(values, histogram.low * share_low, histogram.high * share_high, grid)
            assert least <= np.square(values - tried).mean() * 1.01


def test_mse_cuts_what_two_outliers_cost_and_nothing_else() -> None:
    rng = np.random.default_rng(4)
    plain = rng.uniform(-1, 1, 100_000).astype(np.float32)
    low, high = mse_range(filled(plain), "unsigned")
    assert low < -0.99
    assert high > 0.99
    low, high = mse_range(filled(np.append(plain, np.float32(50.0))), "unsigned")
    assert high < 50


def test_grids_differ_where_values_lie_on_one_side() -> None:
    histogram = filled(SHAPES["relu"](np.random.default_rng(5)).astype(np.float32))
    errors = {grid: expected_squared_error(histogram, *mse_range(histogram, grid), grid) for grid in GRIDS}
    # Half of the signed levels lie below 0 and are lost.
    assert errors["signed"] > 2.5 * errors["unsigned"]
    assert mse_range(histogram, "signed")[1] < mse_range(histogram, "unsigned")[1]


def test_ranges_of_a_graph_with_its_input() -> None:
    batches = [{"x": np.array([[-1, 0, 1, 2]], np.float32)}, {"x": np.array([[4, 0, 0, -3]], np.float32)}]
    calls: list[tuple[int, int]] = []
    histograms = collect_histograms(
        scaling_model(),
        ["x", "z", "y"],
        batches,
        total=2,
        progress=lambda label, done, total: calls.append((done, total)),
    )
    assert ranges_of(histograms, "minmax") == {"x": (-3.0, 4.0), "z": (-9.0, 12.0), "y": (0.0, 12.0)}
    assert calls == [(1, 2), (2, 2)]


def test_a_tally_is_saved_now_and_then_and_goes_on_where_it_was() -> None:
    rng = np.random.default_rng(6)
    batches = [{"x": rng.normal(0, 1 + at, (5, 4)).astype(np.float32)} for at in range(40)]
    whole = collect_histograms(scaling_model(), ["x", "y"], batches)
    saved: list[int] = []
    first = Tally()
    collect_histograms(scaling_model(), ["x", "y"], batches[:35], tally=first, save=lambda it: saved.append(it.batches))
    assert saved == [16, 32]
    calls: list[tuple[int, int]] = []
    resumed = collect_histograms(
        scaling_model(),
        ["x", "y"],
        batches[35:],
        total=40,
        progress=lambda label, done, total: calls.append((done, total)),
        tally=first,
    )
    assert calls[0] == (36, 40)
    for name in ("x", "y"):
        np.testing.assert_array_equal(resumed[name].counts, whole[name].counts)
        assert resumed[name].state[1] == whole[name].state[1]


def test_no_data_nan_and_unknown_method_are_refused() -> None:
    with pytest.raises(DataError, match="no crops"):
        collect_histograms(scaling_model(), ["y"], [])
    with pytest.raises(DataError, match="z is not finite on batch 1"):
        collect_histograms(scaling_model(), ["z"], [{"x": np.full((1, 4), np.nan, np.float32)}])
    with pytest.raises(ConfigurationError, match="minmax, percentile, entropy, mse"):
        ranges_of({}, "guess")
