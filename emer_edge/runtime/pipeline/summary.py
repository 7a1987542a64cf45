"""What a run was like: latencies, losses, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emer_edge.core.session_facts import Baseline, Validation
from emer_edge.metrics.latency import LatencyRecorder, LatencySummary
from emer_edge.runtime.clock import ClockReport
from emer_edge.runtime.pipeline.core import AGES, STAGES, PipelineCore


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
        encoder_rss_mb: resident memory of the process that encodes images, None without one.
        markers: how many were set.
        baseline: the session's, None where none was asked for or the run ended before it was complete.
        validation: of the gaze before the run, None without one.
        outputs: output -> what it has lost -> count; those that lost nothing are left out.
        histograms: stage or age -> all its latencies: pairs of bin number and count (see `LatencyRecorder.bins`).
        streams: stream -> its own summary, where one run reads several people; the other figures are of all of them,
            `dropped` names the stream, and in `stages` a step is one of all streams.
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
    encoder_rss_mb: float | None = None
    markers: int = 0
    baseline: Baseline | None = None
    validation: Validation | None = None
    outputs: dict[str, dict[str, int]] = field(default_factory=dict)
    histograms: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    streams: dict[str, Summary] = field(default_factory=dict)

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
        plain["streams"] = {name: each.to_dict() for name, each in self.streams.items()}
        return plain


def core_summary(core: PipelineCore, dropped: Mapping[str, int], **rest: Any) -> Summary:
    """What a core can tell about its part of a run, without memory.

    Args:
        core: has taken steps.
        dropped: place -> count; places without losses are left out.
        rest: the other attributes of `Summary`.
    """
    faces = core.evidence.faces
    return Summary(
        frames=faces.frames,
        samples=core.evidence.samples,
        detections=faces.detections,
        faces=faces.found,
        missed={why.value: count for why, count in faces.missed.most_common()},
        states={state.value: count for state, count in core.states.items() if count},
        dropped={place: count for place, count in dropped.items() if count},
        rss_mb=None,
        peak_rss_mb=None,
        notes=core.notes,
        **_told_latencies(core.latencies),
        **rest,
    )


def summed(streams: Mapping[str, Summary], latencies: Mapping[str, LatencyRecorder], **rest: Any) -> Summary:
    """The summary of several streams, without memory.

    Args:
        streams: name -> the stream's own.
        latencies: stage or age -> those of all.
        rest: the other attributes of `Summary`.
    """
    each_of = list(streams.values())
    return Summary(
        frames=sum(each.frames for each in each_of),
        samples=sum(each.samples for each in each_of),
        detections=sum(each.detections for each in each_of),
        faces=sum(each.faces for each in each_of),
        missed=_sums(each.missed for each in each_of),
        states=_sums(each.states for each in each_of),
        dropped={f"{name}: {place}": n for name, each in streams.items() for place, n in each.dropped.items()},
        rss_mb=None,
        peak_rss_mb=None,
        notes=tuple(dict.fromkeys(note for each in each_of for note in each.notes)),
        streams=dict(streams),
        **_told_latencies(latencies),
        **rest,
    )


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _told_latencies(latencies: Mapping[str, LatencyRecorder]) -> dict[str, Any]:
    """The attributes `stages`, `ages` and `histograms` of a summary, of what was recorded at least once."""
    told = {name: each for name, each in latencies.items() if each.count}
    return {
        "stages": {stage: told[stage].summary() for stage in STAGES if stage in told},
        "ages": {age: told[age].summary() for age in AGES if age in told},
        "histograms": {name: each.bins() for name, each in told.items()},
    }


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
