"""A device's clock beside the host's."""

from __future__ import annotations

import numpy as np
import pytest

from emer_edge.runtime.clock import PaceCheck


def said(name: str, device_ns: np.ndarray, arrival_ns: np.ndarray) -> str:
    check = PaceCheck()
    stamps = zip(device_ns.tolist(), arrival_ns.tolist(), strict=True)
    return next((text for device, arrival in stamps if (text := check.problem(device, arrival, name))), "")


def arrivals(seconds: float = 4.0, rate_hz: float = 120.0, bunch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """True times and arrivals, up to 20 ms late and `bunch` at a time."""
    true_ns = (np.arange(int(seconds * rate_hz)) * 1e9 / rate_hz).astype(np.int64)
    late_ns = true_ns + np.random.default_rng(3).integers(0, 20_000_000, len(true_ns))
    ends = np.minimum((np.arange(len(true_ns)) // bunch + 1) * bunch - 1, len(true_ns) - 1)
    return true_ns, np.maximum.accumulate(late_ns)[ends] + 10**12


@pytest.mark.case(
    "a serial tracker whose `time_us` holds milliseconds",
    before="109 kHz believed: 794 MB, the steps hang, --seconds overrun",
)
@pytest.mark.parametrize(
    ("name", "pace", "unit"),
    [
        ("time_us", 1e-3, "milliseconds"),
        ("time_ms", 1e3, "microseconds"),
        ("time=ms", 1e-3, "seconds"),
        ("time_us", 1e-6, "seconds"),
        ("time_s", 1e9, "nanoseconds"),
    ],
)
def test_a_wrong_unit_is_named_within_three_seconds(name: str, pace: float, unit: str) -> None:
    true_ns, arrival_ns = arrivals(3.0)
    text = said(name, (true_ns * pace).astype(np.int64), arrival_ns)
    assert f"the times look like {unit}: is `{name}` right?" in text


def test_a_clock_that_stands_still_runs_backwards_or_at_another_pace_is_named() -> None:
    true_ns, arrival_ns = arrivals()
    assert said("", true_ns * 0, arrival_ns) == "its clock stands still"
    assert said("", -true_ns, arrival_ns) == "its clock runs backwards"
    assert "times as fast as it should" in said("time_us", true_ns * 10, arrival_ns)


@pytest.mark.parametrize("bunch", [1, 20, 200])
@pytest.mark.parametrize("rate_hz", [10.0, 120.0, 1000.0])
def test_lateness_and_bunches_are_no_pace(rate_hz: float, bunch: int) -> None:
    true_ns, arrival_ns = arrivals(12.0, rate_hz, bunch)
    assert said("time_us", true_ns, arrival_ns) == ""


@pytest.mark.case(
    "stamps that jump back and forth while a recording goes on",
    source="https://github.com/sccn/labstreaminglayer/issues/131",
    before="mapped anew after each jump",
)
def test_jumps_and_resets_are_no_pace() -> None:
    true_ns, arrival_ns = arrivals(20.0)
    device_ns = true_ns.copy()
    device_ns[600:] -= 3_600_000_000_000
    device_ns[1200:] += 40_000_000_000
    device_ns[1800:] -= device_ns[1800]
    assert said("time_us", device_ns, arrival_ns) == ""
