from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display
from emer_edge.signals.fixations import Fixations, find_fixations, fixation_map, viewing_distance_mm

DISPLAY = Display(1920, 1080, 527.0, 296.0)
STEP_NS = 1_000_000_000 // 120
DEGREE_PX = 2 * 650 * np.tan(np.radians(0.5)) / (527 / 1920)


def looking(*places: tuple[float, float, int]) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of an eye that rests at x, y for so many rows, and leaps between; 620 mm from the display."""
    rows = np.zeros((sum(place[2] for place in places), 39), np.float32)
    gaze = np.concatenate([np.tile((x, y), (count, 1)) for x, y, count in places])
    rows[:, 0:6] = np.tile(gaze, (1, 3))
    rows[:, 22:26] = np.tile(gaze * (527 / 1920), (1, 2))
    rows[:, 16:22] = (235, 110, 620, 295, 110, 620)
    rows[:, 12:16] = (3.1, 3.2, 1, 1)
    return rows, np.arange(len(rows), dtype=np.int64) * STEP_NS, np.ones(len(rows), np.bool_)


def test_fixations_are_where_and_as_long_as_the_eye_rested() -> None:
    fixations = find_fixations(*looking((300, 300, 60), (1500, 800, 120)))
    assert len(fixations) == 2
    np.testing.assert_allclose(fixations.points_px, [[300, 300], [1500, 800]], atol=25)
    np.testing.assert_allclose(fixations.durations_ms, [500, 1000], atol=40)


def test_published_types_are_taken_as_they_are() -> None:
    rows, times_ns, seen = looking((300, 300, 60), (1500, 800, 60))
    rows[:30, 32], rows[30:50, 32], rows[50:, 32] = 1, 2, 0
    fixations = find_fixations(rows, times_ns, seen, "published")
    assert fixations.points_px.tolist() == [[300, 300]]
    assert fixations.durations_ms[0] == pytest.approx(250, abs=1)
    assert len(find_fixations(rows[:0], times_ns[:0], seen[:0])) == 0


def test_silence_is_no_looking() -> None:
    rows, times_ns, seen = looking((300, 300, 60))
    times_ns[30:] += 5_000_000_000
    rows[:, 32] = 1
    assert find_fixations(rows, times_ns, seen, "published").durations_ms.sum() < 700


def test_a_fixation_is_a_gaussian_of_one_degree() -> None:
    values = fixation_map(Fixations(np.array([[960.0, 540.0]]), np.array([2000.0]), np.array([0])), DISPLAY, width=960)
    assert values.shape == (540, 960)
    assert values.dtype == np.float32
    assert np.unravel_index(values.argmax(), values.shape) in {(269, 479), (270, 480), (269, 480), (270, 479)}
    across = values.sum(axis=0).astype(np.float64)
    x = np.arange(960) + 0.5
    middle = (across * x).sum() / across.sum()
    sigma = np.sqrt((across * (x - middle) ** 2).sum() / across.sum())
    assert sigma == pytest.approx(DEGREE_PX / 2, rel=0.01)  # the map has half of the display's pixels
    assert values.max() == pytest.approx(2.0 / (2 * np.pi), rel=0.01)


@pytest.mark.parametrize("width", [240, 480])
def test_a_map_adds_up_to_the_time_looked(width: int) -> None:
    fixations = Fixations(np.array([[500.0, 400.0], [1400.0, 700.0]]), np.array([300.0, 900.0]), np.array([0, 1]))
    values = fixation_map(fixations, DISPLAY, width=width)
    cell_deg2 = (1920 / width / DEGREE_PX) * (1080 / len(values) / DEGREE_PX * 296 / 1080 / (527 / 1920))
    assert values.sum(dtype=np.float64) * cell_deg2 == pytest.approx(1.2, rel=0.01)
    rows, columns = len(values), width
    first = values[round(400 / 1080 * rows), round(500 / 1920 * columns)]
    second = values[round(700 / 1080 * rows), round(1400 / 1920 * columns)]
    assert second / first == pytest.approx(3.0, rel=0.1)


def test_nearer_eyes_see_degrees_as_fewer_pixels() -> None:
    fixations = Fixations(np.array([[960.0, 540.0]]), np.array([1000.0]), np.array([0]))
    near, far = (fixation_map(fixations, DISPLAY, distance_mm) for distance_mm in (400.0, 800.0))
    assert (near > near.max() / 2).sum() < 0.3 * (far > far.max() / 2).sum()


def test_nobody_looked() -> None:
    empty = Fixations(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64))
    assert not fixation_map(empty, DISPLAY).any()
    with pytest.raises(ConfigurationError, match="above 0"):
        fixation_map(empty, DISPLAY, sigma_deg=0)


def test_viewing_distance() -> None:
    rows, _, seen = looking((300, 300, 20))
    assert viewing_distance_mm(rows, seen) == 620
    rows[:, 16:22] = 0
    assert viewing_distance_mm(rows, seen) == 650
