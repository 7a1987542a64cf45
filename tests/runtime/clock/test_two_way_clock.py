from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from clock_inputs import device_time, p99_ms, simulate
from hypothesis import given
from hypothesis import strategies as some

from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.clock import TwoWayClock

MS = 1_000_000


def run(
    seed: int,
    drift_ppm: float = 100.0,
    reset_at_s: float | None = 30.0,
    jump_s: float | None = None,
    asked_hz: float = 5.0,
    asymmetry: float = 1.0,
    least_ms: float = 0.0,
    seconds: float = 60.0,
    ordered: bool = True,
) -> tuple[TwoWayClock, np.ndarray, np.ndarray]:
    """A tracker whose samples and answers come over a jittery link: the clock, its stamps and the true times."""
    true_ns, device_ns, arrival_ns = simulate(seconds, seed, drift_ppm, reset_at_s, jump_s, ordered=ordered)
    arrival_ns = np.maximum.accumulate(arrival_ns)
    rng = np.random.default_rng([seed, 1])
    sent_ns = (true_ns[0] + np.arange(int(seconds * asked_hz)) * 1e9 / asked_hz).astype(np.int64)
    there_ns = sent_ns + ((rng.exponential(20.0, len(sent_ns)) + least_ms) * MS).astype(np.int64)
    back_ns = there_ns + ((rng.exponential(20.0 * asymmetry, len(sent_ns)) + least_ms) * MS).astype(np.int64)
    answered_ns = device_time(there_ns, int(true_ns[0]), drift_ppm, reset_at_s, jump_s)
    clock, stamps = TwoWayClock(), np.zeros_like(true_ns)
    for _, kind, at in sorted(
        [(int(each), 0, at) for at, each in enumerate(arrival_ns)]
        + [(int(each), 1, at) for at, each in enumerate(back_ns)]
    ):
        if kind:
            clock.exchange(int(sent_ns[at]), int(answered_ns[at]), int(back_ns[at]))
        else:
            stamps[at] = clock.map(int(device_ns[at]), int(arrival_ns[at]))
    return clock, stamps, true_ns


@pytest.mark.parametrize("drift_ppm", [100.0, -100.0, 15.0], ids=["slow", "fast", "as-logged"])
@pytest.mark.parametrize("jump_s", [None, 3.0, -0.2], ids=["to-zero", "+3s", "-0.2s"])
@pytest.mark.parametrize("seed", range(3))
def test_error_stays_under_2_ms_and_a_reset_is_forgotten_in_5_s(
    drift_ppm: float, jump_s: float | None, seed: int
) -> None:
    clock, stamps, true_ns = run(seed, drift_ppm, jump_s=jump_s)
    assert np.all(np.diff(stamps) > 0)
    assert p99_ms(stamps, true_ns, 10, 30) < 2.0
    assert p99_ms(stamps, true_ns, 35) < 2.0
    assert clock.resets == 1
    assert clock.drift_ppm == pytest.approx(drift_ppm, abs=50)


def test_the_mapping_errs_by_no_more_than_it_says() -> None:
    for seed in range(4):
        clock, stamps, true_ns = run(seed, reset_at_s=None, asymmetry=3.0, least_ms=2.0, seconds=40)
        assert clock.uncertainty_ms is not None
        assert abs(int(stamps[-1]) - int(true_ns[-1])) * 1e-6 <= clock.uncertainty_ms + 0.1
        assert 1.5 < clock.uncertainty_ms < 4.0


def test_a_device_that_says_both_times_takes_its_thinking_out() -> None:
    quick, slow = TwoWayClock(), TwoWayClock()
    for at in range(50):
        sent_ns = at * 200 * MS
        asked_ns = sent_ns + MS + 5_000 * MS  # the device's clock is 5 s ahead; 1 ms there, 8 ms of thinking, 1 ms back
        quick.exchange(sent_ns, asked_ns, sent_ns + 10 * MS, asked_ns + 8 * MS)
        slow.exchange(sent_ns, asked_ns, sent_ns + 10 * MS)
    assert abs(quick.map(20_000 * MS, 10**18) - 15_000 * MS) < 0.1 * MS
    assert quick.uncertainty_ms == pytest.approx(1.0, abs=0.01)
    assert slow.uncertainty_ms == pytest.approx(5.0, abs=0.01)


def test_finished_measurements_are_taken_too() -> None:
    clock = TwoWayClock()
    rng = np.random.default_rng(0)
    for at in range(20):
        host_ns = at * 5_000 * MS
        clock.offset(host_ns - 777 * MS, host_ns + int(rng.normal(0, 50_000)), 400_000)
    assert abs(clock.map(60_000 * MS, 10**18) - 60_777 * MS) < 200_000
    assert clock.report.uncertainty_ms == pytest.approx(0.2, abs=0.15)
    clock.offset(95_000 * MS - 777 * MS, 95_000 * MS, 400_000)  # the same again changes nothing
    assert clock.resets == 0


def test_without_exchanges_it_is_a_one_way_clock() -> None:
    true_ns, device_ns, arrival_ns = simulate(30, 1, 100.0)
    clock = TwoWayClock()
    stamps = np.array([clock.map(int(d), int(a)) for d, a in zip(device_ns, arrival_ns, strict=True)])
    assert p99_ms(stamps, true_ns, 10) < 2.0
    assert clock.uncertainty_ms is None
    assert clock.drift_ppm == pytest.approx(100, abs=20)


def test_a_clock_that_stopped_while_the_link_was_cut_is_followed_at_once() -> None:
    clock = TwoWayClock()
    for number in range(100):
        at_ns = number * 10_000_000
        clock.offset(at_ns, 5_000_000_000 + at_ns, 400_000)
        clock.map(at_ns, 5_000_000_000 + at_ns + 1_000_000)
    clock.resume()
    arrival_ns = 9_000_000_000 + 1_000_000_000
    assert clock.map(1_000_000_000, arrival_ns) == arrival_ns
    assert clock.resets == 1


def test_one_wrong_answer_is_no_reset() -> None:
    clock = TwoWayClock()
    for at in range(40):
        wrong_ns = 900 * MS if at == 20 else 0
        clock.exchange(at * 100 * MS, at * 100 * MS + wrong_ns, at * 100 * MS + 2 * MS)
    assert clock.resets == 0
    assert abs(clock.map(3_950 * MS, 10**18) - 3_951 * MS) < MS


def test_an_answer_before_its_question_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="before its question left"):
        TwoWayClock().exchange(10, 5, 9)


def test_a_slow_link_is_a_note() -> None:
    clock = TwoWayClock()
    clock.exchange(0, 0, 60 * MS)
    (note,) = clock.report.notes()
    assert note.startswith("the tracker's clock is known to 30 ms only")


TIMES = some.integers(min_value=-(2**62), max_value=2**62)
EXCHANGES = some.tuples(TIMES, some.integers(0, 2**60), TIMES, some.none() | TIMES)


@given(some.lists(some.tuples(some.none() | EXCHANGES, some.none() | TIMES, some.integers(0, 10**12)), max_size=40))
def test_stamps_rise_whatever_comes(steps) -> None:
    clock, stamps = TwoWayClock(), []
    for exchange, device_ns, arrival_ns in steps:
        if exchange is not None:
            sent_ns, round_trip_ns, at_ns, answered_ns = exchange
            clock.exchange(sent_ns, at_ns, sent_ns + round_trip_ns, answered_ns)
        stamps.append(clock.map(device_ns, arrival_ns))
    assert all(after > before for before, after in pairwise(stamps))
