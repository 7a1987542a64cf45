"""Trackers behind jittery links, for the tests of clocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emer_edge.runtime.clock import Clock

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
    device_ns = device_time(true_ns, true_ns[0], drift_ppm, reset_at_s, jump_s)
    arrival_ns = true_ns + rng.exponential(jitter_ms * 1e6, len(true_ns)).astype(np.int64)
    return true_ns, device_ns, np.maximum.accumulate(arrival_ns) if ordered else arrival_ns


def device_time(
    true_ns: np.ndarray, start_ns: int, drift_ppm: float, reset_at_s: float | None, jump_s: float | None
) -> np.ndarray:
    """What the device's clock shows at host times; a reset sets it to 0, a jump moves it."""
    elapsed_ns = true_ns - start_ns
    device_ns = (elapsed_ns * (1 - drift_ppm * 1e-6)).astype(np.int64) + 123_456_789_000
    if reset_at_s is not None:
        after = elapsed_ns >= reset_at_s * 1e9
        zero_ns = round(reset_at_s * 1e9 * (1 - drift_ppm * 1e-6)) + 123_456_789_000
        device_ns[after] += -zero_ns if jump_s is None else round(jump_s * 1e9)
    return device_ns


def mapped(clock: Clock, device_ns: Sequence[int] | np.ndarray, arrival_ns: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.array([clock.map(int(d), int(a)) for d, a in zip(device_ns, arrival_ns, strict=True)])


def errors_ms(stamps: np.ndarray, true_ns: np.ndarray, start_s: float, end_s: float = np.inf) -> np.ndarray:
    elapsed_s = (true_ns - true_ns[0]) * 1e-9
    chosen = (elapsed_s >= start_s) & (elapsed_s < end_s)
    return np.abs(stamps - true_ns)[chosen] * 1e-6


def p99_ms(stamps: np.ndarray, true_ns: np.ndarray, start_s: float, end_s: float = np.inf) -> float:
    return float(np.percentile(errors_ms(stamps, true_ns, start_s, end_s), 99))
