from __future__ import annotations

import numpy as np
import pytest

from emer_edge.runtime.clock import ClockMapper

RATE_HZ = 120.0


def simulate(
    seconds: float,
    seed: int,
    drift_ppm: float = 0.0,
    reset_at_s: float | None = None,
    jump_s: float | None = None,
    jitter_ms: float = 20.0,
    rate_hz: float = RATE_HZ,
    ordered: bool = False,
):
    """True host times, device times and arrivals of a tracker behind exponential jitter.

    `ordered` lets no sample overtake another, as on a wire: the delays grow to 35 ms and follow one another.
    """
    rng = np.random.default_rng(seed)
    true_ns = (np.arange(int(seconds * rate_hz)) * 1e9 / rate_hz).astype(np.int64) + 7_000_000_000_000
    elapsed = true_ns - true_ns[0]
    device_ns = (elapsed * (1 - drift_ppm * 1e-6)).astype(np.int64) + 123_456_789_000
    if reset_at_s is not None:
        after = elapsed >= reset_at_s * 1e9
        if jump_s is None:
            device_ns[after] -= device_ns[after][0]
        else:
            device_ns[after] += int(jump_s * 1e9)
    arrival_ns = true_ns + rng.exponential(jitter_ms * 1e6, len(true_ns)).astype(np.int64)
    return true_ns, device_ns, np.maximum.accumulate(arrival_ns) if ordered else arrival_ns


def mapped(mapper: ClockMapper, device_ns, arrival_ns) -> np.ndarray:
    return np.array([mapper.map(int(d), int(a)) for d, a in zip(device_ns, arrival_ns, strict=True)])


def p99_ms(stamps, true_ns, start_s, end_s=np.inf) -> float:
    elapsed_s = (true_ns - true_ns[0]) * 1e-9
    chosen = (elapsed_s >= start_s) & (elapsed_s < end_s)
    return float(np.percentile(np.abs(stamps - true_ns)[chosen], 99)) * 1e-6


@pytest.mark.parametrize("drift_ppm", [100.0, -100.0, 15.0], ids=["slow", "fast", "as-logged"])
@pytest.mark.parametrize("seed", range(3))
def test_error_stays_under_2_ms_through_jitter_and_drift(drift_ppm: float, seed: int) -> None:
    true_ns, device_ns, arrival_ns = simulate(90, seed, drift_ppm)
    mapper = ClockMapper()
    stamps = mapped(mapper, device_ns, arrival_ns)
    assert p99_ms(stamps, true_ns, 10) < 2.0
    assert mapper.resets == 0
    assert mapper.drift_ppm == pytest.approx(drift_ppm, abs=20)
    assert np.all(np.diff(stamps) > 0)
    assert 0.0 < mapper.residual_ms < 20.0


@pytest.mark.parametrize("jump_s", [None, 0.3, 3.0, -0.2, -40.0], ids=["to-zero", "+0.3s", "+3s", "-0.2s", "-40s"])
@pytest.mark.parametrize("seed", range(2))
def test_recovers_within_5_s_of_a_reset(jump_s: float | None, seed: int) -> None:
    true_ns, device_ns, arrival_ns = simulate(60, seed, 100.0, reset_at_s=30, jump_s=jump_s)
    mapper = ClockMapper()
    stamps = mapped(mapper, device_ns, arrival_ns)
    assert mapper.resets == 1
    assert p99_ms(stamps, true_ns, 10, 30) < 2.0
    assert p99_ms(stamps, true_ns, 35) < 2.0
    assert np.all(np.diff(stamps) > 0)


@pytest.mark.parametrize("seed", range(4))
def test_delays_that_follow_one_another_cost_little(seed: int) -> None:
    true_ns, device_ns, arrival_ns = simulate(60, seed, 100.0, reset_at_s=30, ordered=True)
    mapper = ClockMapper()
    stamps = mapped(mapper, device_ns, arrival_ns)
    assert mapper.resets == 1
    assert p99_ms(stamps, true_ns, 10, 30) < 4.0
    assert p99_ms(stamps, true_ns, 35) < 4.0


def test_a_paused_device_clock_is_followed() -> None:
    true_ns, device_ns, arrival_ns = simulate(60, 5, 50.0, reset_at_s=30, jump_s=-0.5)
    device_ns = np.maximum.accumulate(device_ns)  # stands still for half a second instead of stepping back
    stamps = mapped(ClockMapper(), device_ns, arrival_ns)
    assert p99_ms(stamps, true_ns, 36) < 2.0
    assert np.all(np.diff(stamps) > 0)


def test_a_stalled_host_is_no_reset() -> None:
    true_ns, device_ns, arrival_ns = simulate(40, 1)
    stalled = (true_ns - true_ns[0] > 20e9) & (true_ns - true_ns[0] < 21.5e9)
    arrival_ns[stalled] = np.maximum(arrival_ns[stalled], true_ns[0] + 21_500_000_000)
    arrival_ns = np.maximum.accumulate(arrival_ns)
    mapper = ClockMapper()
    stamps = mapped(mapper, device_ns, arrival_ns)
    assert mapper.resets == 0
    assert p99_ms(stamps, true_ns, 10) < 2.0


def test_a_slow_tracker_is_mapped_too() -> None:
    true_ns, device_ns, arrival_ns = simulate(120, 2, 60.0, rate_hz=30.0)
    stamps = mapped(ClockMapper(), device_ns, arrival_ns)
    assert p99_ms(stamps, true_ns, 20) < 4.0


def test_without_device_time_the_arrival_counts() -> None:
    mapper = ClockMapper()
    assert [mapper.map(None, each) for each in (5, 9, 9, 20)] == [5, 9, 10, 20]
    assert mapper.resets == 0


def test_stamps_do_not_run_ahead_of_arrivals() -> None:
    _, device_ns, arrival_ns = simulate(20, 3, 100.0, reset_at_s=8)
    stamps = mapped(ClockMapper(), device_ns, arrival_ns)
    assert np.all(stamps - arrival_ns <= 1000)
