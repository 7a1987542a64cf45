"""The rate of stamps, and rings that hold a window whatever rate a device claims."""

from __future__ import annotations

import numpy as np
import pytest

from emer_edge.core.window import EYE_COLUMN_COUNT, WindowSpec
from emer_edge.signals.rows import EyeStream
from emer_edge.signals.time_units import nominal_rate_hz, too_slow

SPEC = WindowSpec()


def steady(rate_hz: float, seconds: float, start_s: float = 0.0) -> np.ndarray:
    return np.round((start_s + np.arange(int(seconds * rate_hz)) / rate_hz) * 1e9).astype(np.int64)


def bursts(size: int, step_us: int, every_s: float, count: int = 30) -> np.ndarray:
    return np.concatenate([round(at * every_s * 1e9) + np.arange(size) * step_us * 1000 for at in range(count)])


@pytest.mark.case(
    "a tracker whose rows come 20 at a time, 0.1 ms apart",
    source="https://github.com/esdalmaijer/PyGaze/issues/173",
    before="10,000 Hz believed: a ring of 360,000 rows, steps of 0.3 s",
)
@pytest.mark.parametrize(("size", "step_us", "every_s"), [(20, 100, 1 / 6), (2, 900, 1 / 60), (120, 10, 1.0)])
def test_rows_in_bursts_have_the_rate_of_their_count_over_their_span(size, step_us, every_s) -> None:
    assert nominal_rate_hz(bursts(size, step_us, every_s)) == pytest.approx(size / every_s, rel=0.02)


def test_gaps_doubled_and_backward_stamps_do_not_change_a_rate() -> None:
    whole = steady(120, 20)
    assert nominal_rate_hz(np.delete(whole, slice(300, 900))) == pytest.approx(120.0)
    assert nominal_rate_hz(np.concatenate((whole, whole + 3_600_000_000_000))) == pytest.approx(120.0)
    assert nominal_rate_hz(np.repeat(whole, 2)) == pytest.approx(120.0)
    assert nominal_rate_hz(np.concatenate((whole, whole))) == pytest.approx(120.0)
    assert nominal_rate_hz((whole + 500_000) // 1_000_000 * 1_000_000) == pytest.approx(120.0, rel=1e-3)
    assert nominal_rate_hz([5]) == nominal_rate_hz([]) == nominal_rate_hz([7, 7]) == 0.0


def test_fewer_rows_than_any_eye_tracker_gives_are_named() -> None:
    assert "2.9 rows a second" in too_slow(2.9)
    assert "list of fixations?" in too_slow(2.9)
    assert too_slow(9.9) == too_slow(30.0) == ""


@pytest.mark.parametrize("claimed_hz", [30.0, 60.0])
def test_a_stream_faster_than_it_claims_keeps_its_window(claimed_hz: float) -> None:
    eyes = EyeStream(round(3 * 12 * claimed_hz), claimed_hz)
    times_ns = steady(500, 30)
    rows = np.zeros((len(times_ns), EYE_COLUMN_COUNT), np.float32)
    rows[:, 0] = np.arange(len(times_ns))
    cut = None
    for number, (row, time_ns) in enumerate(zip(rows, times_ns.tolist(), strict=True)):
        eyes.append(row, time_ns, True)
        if number % 97 == 0 and number >= 6000:
            cut = eyes.window(time_ns, SPEC)
            assert cut.covered.all()
            assert np.array_equal(cut.eye[:, 0], np.floor(np.linspace(0, 6000, 33)[1:] + number - 6000))
    assert cut is not None


def test_a_gap_of_a_day_costs_no_more_than_the_ring() -> None:
    eyes = EyeStream(1000, 120.0)
    row = np.ones(EYE_COLUMN_COUNT, np.float32)
    eyes.append(row, 0, True)
    eyes.append(row, 86_400_000_000_000, True)
    assert eyes.count <= 1002
    assert eyes.newest_ns == 86_400_000_000_000
    assert not eyes.window(86_400_000_000_000, SPEC).covered[:-1].any()
