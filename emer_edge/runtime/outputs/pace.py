"""Whether a run's results come at their pace: what `/healthz` answers, of the page and of the metrics.

It says nothing of what the results hold: a person who has left is no fault of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

_HOPS: Final = 10
_LEAST_S: Final = 5.0  # shorter pauses are a busy machine's


class Pace:
    """Notes when results come.

    Args:
        hop_ns: time between two results.
        clock: host time in seconds.
    """

    def __init__(self, hop_ns: int, clock: Callable[[], float] = monotonic) -> None:
        self._hop_s, self._clock = hop_ns * 1e-9, clock
        self._newest_s: float | None = None

    def mark(self) -> None:
        """A result has come, of any stream."""
        self._newest_s = self._clock()

    def trouble(self) -> str | None:
        """What is wrong, in a sentence; None while results come, with pauses of ten hops, or 5 s, at most."""
        if self._newest_s is None:
            return "no result yet: the run is starting"
        silent_s = self._clock() - self._newest_s
        if silent_s <= max(_HOPS * self._hop_s, _LEAST_S):
            return None
        return f"no result for {silent_s:.0f} s, where one is due every {self._hop_s:g} s"
