"""What a run was like: latencies, losses, memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emer_edge.metrics.latency import LatencySummary
from emer_edge.runtime.clock import ClockReport
from emer_edge.spec.baseline import Baseline
from emer_edge.spec.validation import Validation

__all__ = ["Summary", "resident_mb"]


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run.

    Attributes:
        seconds: how long it took, by the host's clock.
        engine: engine and device.
        frames, samples: items taken.
        detections, faces: frames looked at, and those in which the subject was found.
        missed: why a frame that was looked at gave no usable face -> number of frames.
        states: state -> number of results.
        stages: stage -> latencies; `total` is hop deadline to result.
        ages: `face age` and `sample age` -> age of the evidence at the windows' ends.
        dropped: place -> count.
        rss_mb, peak_rss_mb: resident memory now and at most; None where the system does not tell.
        notes: what holds for every result.
        tracker: what was opened and how it is read.
        clock: how well the tracker's clock is known; None where stamps are not mapped.
        capture_rss_mb: resident memory of a live camera's capture process, None without one.
        markers: how many were set.
        baseline: the session's, None where none was asked for or the run ended before it was complete.
        validation: of the gaze before the run, None without one.
        outputs: output -> what it has lost -> count; those that lost nothing are left out.
        histograms: stage or age -> all its latencies: pairs of bin number and count (see `LatencyRecorder.bins`).
    """

    seconds: float
    engine: str
    frames: int
    samples: int
    detections: int
    faces: int
    states: dict[str, int]
    stages: dict[str, LatencySummary]
    ages: dict[str, LatencySummary]
    dropped: dict[str, int]
    rss_mb: float | None
    peak_rss_mb: float | None
    notes: tuple[str, ...]
    missed: dict[str, int] = field(default_factory=dict)
    tracker: str = ""
    clock: ClockReport | None = None
    capture_rss_mb: float | None = None
    markers: int = 0
    baseline: Baseline | None = None
    validation: Validation | None = None
    outputs: dict[str, dict[str, int]] = field(default_factory=dict)
    histograms: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for kind in ("stages", "ages"):
            plain[kind] = {
                name: each.to_dict() | {"bins": [list(pair) for pair in self.histograms.get(name, [])]}
                for name, each in plain[kind].items()
            }
        del plain["histograms"]  # its bins stand beside the percentiles
        plain["notes"] = list(self.notes)
        plain["clock"] = None if self.clock is None else self.clock.to_dict()
        plain["baseline"] = None if self.baseline is None else self.baseline.to_dict()
        plain["validation"] = None if self.validation is None else self.validation.to_dict()
        return plain


def resident_mb(process: int | str = "self") -> tuple[float | None, float | None]:
    """Resident memory of a process and its peak, in megabytes (10^6 bytes), from /proc; None where there is none."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None, None
    found = {name: value for name, _, value in (each.partition(":") for each in lines) if name in ("VmRSS", "VmHWM")}

    def megabytes(name: str) -> float | None:
        return int(found[name].split()[0]) * 1024 / 1e6 if name in found else None

    return megabytes("VmRSS"), megabytes("VmHWM")
