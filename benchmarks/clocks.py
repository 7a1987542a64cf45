"""Clock mappings on simulated trackers: 100 ppm of drift, 20 ms of mean exponential jitter, a reset after 30 s.

Errors are those of sample stamps against the true host times, after 10 s and from 5 s after the reset on. One driver
reads its samples together, as `LiveTracker` does once the mapping has settled.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.common import Floor, conclude, parser, show
from emer_edge.report.table import Cell, Column
from emer_edge.runtime.clock import Clock, ClockMapper, TwoWayClock
from emer_edge.runtime.trackers.live_tracker import SETTLING_NS, TOGETHER_S

RATE_HZ, SECONDS, RESET_S = 120.0, 60, 30
DRIFTS_PPM = (100.0, -100.0)
JITTER_NS = 20e6
ASKED_HZ = 5.0
QUIET_NS = 2e6
"""Mean jitter of a link whose samples are read together; most that a driver takes for quiet."""


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Errors of the clock mappings on simulated trackers.")
    made.add_argument("--seeds", type=int, default=40, help="runs of each kind and drift")
    arguments = made.parse_args()
    kinds = {
        "one way": (False, False, 0.0),
        "one way, in order": (False, True, 0.0),
        f"one way, {QUIET_NS * 1e-6:g} ms of jitter, read together": (False, True, QUIET_NS),
        f"two ways, {ASKED_HZ:g} exchanges a second": (True, True, 0.0),
    }
    rows: list[tuple[Cell, ...]] = []
    floors, figures = [], {}
    for name, (two_way, ordered, quiet_ns) in kinds.items():
        runs = [
            run(seed, drift, two_way, ordered, quiet_ns=quiet_ns)
            for drift in DRIFTS_PPM
            for seed in range(arguments.seeds)
        ]
        settled, recovered = (np.concatenate([run_errors[at] for run_errors in runs]) for at in (0, 1))
        worst = [max(float(np.percentile(run_errors[at], 99)) for run_errors in runs) for at in (0, 1)]
        over = sum(max(float(np.percentile(run_errors[at], 99)) for at in (0, 1)) > 2.0 for run_errors in runs)
        p99 = [float(np.percentile(errors, 99)) for errors in (settled, recovered)]
        rising = all(run_errors[2] for run_errors in runs)
        rows.append((name, p99[0], p99[1], worst[0], worst[1], over, len(runs)))
        figures[name] = {
            "p99_after_10_s_ms": p99[0], "p99_5_s_after_reset_ms": p99[1], "worst_run_p99_ms": worst,
            "runs_over_2_ms": over, "runs": len(runs), "always_rising": rising,
        }  # fmt: skip
        floors += [
            Floor(f"{name}: p99 of all stamps", max(p99), 2.0, False, " ms"),
            Floor(f"{name}: runs whose stamps always rise", 100.0 if rising else 0.0, 100.0, unit=" %"),
        ]
    columns = (
        Column("link"), Column("p99 after 10 s", "ms", 2), Column("p99 5 s after the reset", "ms", 2),
        Column("worst run", "ms", 2), Column("worst after reset", "ms", 2), Column("runs over 2 ms"), Column("runs"),
    )  # fmt: skip
    show("Errors of stamps", columns, rows, "Worst run: the largest p99 of a single run.")
    return conclude("clocks", floors, figures)


def run(
    seed: int, drift_ppm: float, two_way: bool, ordered: bool, *, quiet_ns: float = 0.0
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Errors in ms after 10 s and from 5 s after the reset on, and whether stamps always rose."""
    rng = np.random.default_rng(seed)
    true_ns = (np.arange(int(SECONDS * RATE_HZ)) * 1e9 / RATE_HZ).astype(np.int64) + 7_000_000_000_000
    start_ns = int(true_ns[0])
    arrival_ns = true_ns + rng.exponential(quiet_ns or JITTER_NS, len(true_ns)).astype(np.int64)
    if ordered:
        arrival_ns = np.maximum.accumulate(arrival_ns)
    if quiet_ns:
        arrival_ns = read_together(arrival_ns, (start_ns, start_ns + RESET_S * 1e9))
    device_ns = device_time(true_ns, start_ns, drift_ppm)
    clock: Clock = TwoWayClock() if two_way else ClockMapper()
    stamps = np.zeros_like(true_ns)
    events = [(int(arrival), 0, at) for at, arrival in enumerate(arrival_ns)]
    sent_ns = (start_ns + np.arange(int(SECONDS * ASKED_HZ)) * 1e9 / ASKED_HZ).astype(np.int64)
    there_ns = sent_ns + rng.exponential(JITTER_NS, len(sent_ns)).astype(np.int64)
    back_ns = there_ns + rng.exponential(JITTER_NS, len(sent_ns)).astype(np.int64)
    answered_ns = device_time(there_ns, start_ns, drift_ppm)
    if two_way:
        events += [(int(back), 1, at) for at, back in enumerate(back_ns)]
    order = sorted(events) if two_way else events
    for _, kind, at in order:
        if kind and isinstance(clock, TwoWayClock):
            clock.exchange(int(sent_ns[at]), int(answered_ns[at]), int(back_ns[at]))
        else:
            stamps[at] = clock.map(int(device_ns[at]), int(arrival_ns[at]))
    elapsed_s = (true_ns - start_ns) * 1e-9
    error_ms = np.abs(stamps - true_ns) * 1e-6
    settled = error_ms[(elapsed_s >= 10) & (elapsed_s < RESET_S)]
    return settled, error_ms[elapsed_s >= RESET_S + 5], bool(np.all(np.diff(stamps) > 0))


def read_together(arrival_ns: np.ndarray, unsure_ns: tuple[float, ...]) -> np.ndarray:
    """When samples are read by a driver that pauses, but not for a while after some times; then reads one alone."""
    read_ns = arrival_ns.copy()
    at, now_ns = 0, int(arrival_ns[0])
    while at < len(arrival_ns):
        if not any(0 <= now_ns - since_ns <= SETTLING_NS for since_ns in unsure_ns):
            now_ns = max(now_ns + round(TOGETHER_S * 1e9), int(arrival_ns[at]))
            until = int(np.searchsorted(arrival_ns, now_ns, side="right"))
            read_ns[at:until], at = now_ns, until
        if at < len(arrival_ns):
            now_ns, at = max(now_ns, int(arrival_ns[at])), at + 1
    return read_ns


def device_time(true_ns: np.ndarray, start_ns: int, drift_ppm: float) -> np.ndarray:
    """The device's clock, which starts again at 0."""
    rate = 1 - drift_ppm * 1e-6
    device_ns = ((true_ns - start_ns) * rate).astype(np.int64) + 123_456_789_000
    after = true_ns - start_ns >= RESET_S * 1e9
    device_ns[after] -= round(RESET_S * 1e9 * rate) + 123_456_789_000
    return device_ns


if __name__ == "__main__":
    sys.exit(main())
