"""Whole latency distributions of a run, small enough to be sent with every result."""

from __future__ import annotations

import math
from typing import Any, Final

from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.spec.results import Result

__all__ = ["BINS_A_DECADE", "Latencies"]

BINS_A_DECADE: Final = 20
"""Bin k holds durations in (10^((k-1)/20), 10^(k/20)] ms."""

_ROUNDING: Final = 1e-9


class Latencies:
    """Every duration and age that the results have told, none left out."""

    def __init__(self) -> None:
        self._recorders: dict[str, LatencyRecorder] = {}

    def add(self, result: Result) -> None:
        """Take a result's stages and ages."""
        ages = {"face age": result.face_age_ms, "sample age": result.sample_age_ms}
        for name, value_ms in (result.stages_ms | ages).items():
            if value_ms is not None:
                self._recorders.setdefault(name, LatencyRecorder()).record(round(value_ms * 1e6))

    def to_dict(self) -> dict[str, Any]:
        """Name -> percentiles, `count`, and `bins`: pairs of bin number and count, empty bins left out."""
        told: dict[str, Any] = {}
        for name, recorder in list(self._recorders.items()):
            edges_ms, counts = recorder.distribution()
            bins: dict[int, int] = {}
            for edge_ms, count in zip(edges_ms.tolist(), counts.tolist(), strict=True):
                number = math.ceil(BINS_A_DECADE * math.log10(edge_ms) - _ROUNDING)
                bins[number] = bins.get(number, 0) + count
            told[name] = {key: round(value, 3) for key, value in recorder.summary().to_dict().items()}
            told[name]["bins"] = list(bins.items())
        return told
