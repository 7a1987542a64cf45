"""Every duration and age of a run as whole distributions, for outputs that tell them while it goes on."""

from __future__ import annotations

from typing import Any, Final

from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.faces import Look
from emer_edge.spec.results import Result

__all__ = ["Latencies"]

_OF_LOOKS: Final = ("detect", "align")  # those that no window uses count, too


class Latencies:
    """Hears of looks and results, none left out; written by one thread, read by any.

    Args:
        names: stages and ages that are there from the start.

    Attributes:
        recorders: stage, `face age` or `sample age` -> its durations.
    """

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        self.recorders = {name: LatencyRecorder() for name in names}

    def look(self, look: Look | None) -> None:
        """Take what a look at a frame cost; None, and a look that comes from a recording, cost nothing."""
        if look is None or not look.detect_ns:
            return
        self._record("detect", look.detect_ns)
        if look.align_ns:
            self._record("align", look.align_ns)

    def result(self, result: Result) -> None:
        """Take a result's stages and ages."""
        for name, value_ms in result.stages_ms.items():
            if name not in _OF_LOOKS:
                self._record(name, round(value_ms * 1e6))
        for name, age_ms in (("face age", result.face_age_ms), ("sample age", result.sample_age_ms)):
            if age_ms is not None:
                self._record(name, round(age_ms * 1e6))

    def to_dict(self) -> dict[str, Any]:
        """Name -> percentiles, `count`, and `bins` (see `LatencyRecorder.bins`); those without durations left out."""
        return {
            name: {key: round(value, 3) for key, value in each.summary().to_dict().items()} | {"bins": each.bins()}
            for name, each in list(self.recorders.items())
            if each.count
        }

    def _record(self, name: str, duration_ns: int) -> None:
        recorder = self.recorders.get(name)
        if recorder is None:
            recorder = self.recorders[name] = LatencyRecorder()
        recorder.record(duration_ns)
