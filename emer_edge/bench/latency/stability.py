"""Whether a closed loop ran under one condition from beginning to end, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

import numpy as np

from emer_edge.bench.records import Stability

__all__ = ["DRIFT", "OWN_CORE", "SPREAD", "judge", "load_reason"]

DRIFT: Final = 0.05
"""By how much the median of the second half may differ from that of the first, as a share of it."""

SPREAD: Final = 0.10
"""How large the interquartile range may be, as a share of the median."""

OWN_CORE: Final = 0.95
"""Which share of a core's time a process with one thread shall have had."""


def judge(
    durations_ns: Sequence[int], cpu_share: float | None = None, changed: Sequence[str] = (), load: str = ""
) -> Stability:
    """Judge a closed loop.

    Args:
        durations_ns: of every query, in order, at least one.
        cpu_share: processor time over elapsed time, None where it says nothing.
        changed: what the machine changed meanwhile, see `conditions_of`.
        load: see `load_reason`.
    """
    half = len(durations_ns) // 2
    drift = median(durations_ns[half:]) / median(durations_ns[:half]) - 1 if half else 0.0
    low, middle, high = np.percentile(durations_ns, (25, 50, 75)).tolist()
    spread = (high - low) / middle if middle else 0.0
    reasons = tuple(_reasons(drift, spread, cpu_share, changed, load))
    return Stability(stable=not reasons, reasons=reasons, drift=drift, spread=spread, cpu_share=cpu_share)


def load_reason(load_average: float | None, cores: int, threads: int) -> str:
    """Why the load before the run is too high to measure beside; empty where it is not.

    What else runs shall leave the threads cores of their own, and keep no more than half of all cores busy.
    """
    most = max(min(cores - threads, cores / 2), 0.5)
    if load_average is None or load_average <= most:
        return ""
    return f"the load average was {load_average:.1f} on {cores} cores before it began"


def _reasons(drift: float, spread: float, cpu_share: float | None, changed: Sequence[str], load: str) -> Iterator[str]:
    if abs(drift) > DRIFT:
        yield f"the second half was {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than the first"
    if spread > SPREAD:
        yield f"half of the queries lie {spread:.0%} of the median apart"
    if cpu_share is not None and cpu_share < OWN_CORE:
        yield f"other work took {1 - cpu_share:.0%} of its core's time"
    yield from changed
    if load:
        yield load
