"""What a simulated tracker sees: synthetic eyes without end, or a recording once.

Samples have their time since the start in `device_ns` (the tracker's clock) and `arrival_ns` (when they are due to be
sent).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from emer_edge.data.synth.eyes import RATE_HZ, generate, samples
from emer_edge.runtime.trackers import TrackerOptions, open_tracker
from emer_edge.spec.labels import EMOTIONS
from emer_edge.spec.samples import TrackerSample
from emer_edge.spec.window import NANOSECONDS

__all__ = ["recorded_samples", "simulated_samples"]

_FEELING_S: Final = 12.0


def simulated_samples(rate_hz: float = RATE_HZ, seed: int = 0) -> Iterator[TrackerSample]:
    """Return synthetic samples without end, at `device_ns` 0, 1 / rate, 2 / rate ...; same seed, same samples.

    They feel one emotion after the other; the eyes repeat after a while, the clock does not.
    """
    recorded = [sample for each in EMOTIONS for sample in samples(generate(each, seconds=_FEELING_S, seed=seed))]
    return _endless(recorded, rate_hz)


def _endless(recorded: list[TrackerSample], rate_hz: float) -> Iterator[TrackerSample]:
    index = 0
    while True:
        device_ns = round(index * NANOSECONDS / rate_hz)
        row = recorded[int(index * RATE_HZ / rate_hz) % len(recorded)]
        yield replace(row, device_ns=device_ns, stamp_ns=device_ns, arrival_ns=device_ns)
        index += 1


def recorded_samples(path: str) -> tuple[Iterator[TrackerSample], float]:
    """Open a tracker's file or a recording's folder; return its samples, the first at 0, and its rate in Hz.

    Raises:
        TrackerError, DataError: no recording that can be read.
    """
    tracker = open_tracker(path, TrackerOptions(pace="fast", offset_ms=0.0))
    return _rebased(tracker), tracker.rate_hz


def _rebased(recorded: Iterator[TrackerSample]) -> Iterator[TrackerSample]:
    start_ns: int | None = None
    for each in recorded:
        start_ns = each.stamp_ns if start_ns is None else start_ns
        time_ns = each.stamp_ns - start_ns
        yield replace(each, device_ns=time_ns, stamp_ns=time_ns, arrival_ns=time_ns)
