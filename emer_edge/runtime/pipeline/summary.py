"""What a run was like: latencies, losses, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emer_edge.core.public_text import public
from emer_edge.core.session_facts import Baseline, Validation
from emer_edge.metrics.latency import LatencyRecorder, LatencySummary
from emer_edge.runtime.board import read_sizes_mb
from emer_edge.runtime.board_watch import BoardReport
from emer_edge.runtime.clock import ClockReport
from emer_edge.runtime.pipeline.core import AGES, END_TO_END, STAGES, PipelineCore


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run.

    Attributes:
        seconds: how long it took, by the host's clock.
        engine: engine and device.
        engines: part -> `int8 on tensorrt`: what it computes in, and the engine.
        frames, samples: items taken.
        detections, faces: frames looked at, and those in which the subject was found.
        missed: why a frame that was looked at gave no usable face -> number of frames.
        states: state -> number of results.
        stages: stage -> latencies; `total` is the step latency (deadline to result).
        ages: `face age` and `sample age` -> age of the evidence at the windows' ends.
        dropped: place -> count.
        rss_mb, peak_rss_mb: resident memory now and at most; None where the system has no figure.
        notes: what holds for every result.
        tracker: what was opened and how it is read.
        clock: how well the tracker's clock is known; None where stamps are not mapped.
        capture_rss_mb: resident memory of a live camera's capture process, None without one.
        markers: how many were set.
        baseline: the session's, None without one or where the run ended before it was complete.
        validation: of the gaze before the run, None without one.
        board: what was seen of the machine, None where it tells nothing, and of one stream.
        outputs: output -> what it has lost -> count; those that lost nothing are left out.
        histograms: stage or age -> all its latencies: pairs of bin number and count (see `LatencyRecorder.bins`).
        end_to_end: the newest frame's capture to its result; None without any face. Not in `to_dict`.
        signal: the number of the signal that ended it, None without one. Not in `to_dict`.
        lost_kept: those of `outputs` that were to keep what they took, and lost some of it. Not in `to_dict`.
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
    rss_mb: float | None = None
    peak_rss_mb: float | None = None
    notes: tuple[str, ...] = ()
    missed: dict[str, int] = field(default_factory=dict)
    tracker: str = ""
    clock: ClockReport | None = None
    capture_rss_mb: float | None = None
    markers: int = 0
    baseline: Baseline | None = None
    validation: Validation | None = None
    board: BoardReport | None = None
    outputs: dict[str, dict[str, int]] = field(default_factory=dict)
    histograms: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    end_to_end: LatencySummary | None = None
    engines: dict[str, str] = field(default_factory=dict)
    signal: int | None = None
    lost_kept: tuple[str, ...] = ()
    streams: dict[str, Summary] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for kind in ("stages", "ages"):
            plain[kind] = {
                name: item.to_dict() | {"bins": [list(pair) for pair in self.histograms.get(name, [])]}
                for name, item in plain[kind].items()
            }
        del plain["histograms"], plain["end_to_end"], plain["signal"], plain["lost_kept"]  # bins are by the percentiles
        plain["notes"] = list(self.notes)
        for part in ("clock", "baseline", "validation", "board"):
            plain[part] = None if plain[part] is None else plain[part].to_dict()
        if self.board is None:  # a replay, or one stream of several
            del plain["board"]
        plain["streams"] = {name: item.to_dict() for name, item in self.streams.items()}
        return plain


def core_summary(core: PipelineCore, dropped: Mapping[str, int], **rest: Any) -> Summary:
    """The summary of one stream, without memory.

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
        notes=tuple(map(public, (*core.notes, *core.unfinished))),
        **_recorded(core.latencies),
        **rest,
    )


def summed(streams: Mapping[str, Summary], latencies: Mapping[str, LatencyRecorder], **rest: Any) -> Summary:
    """The summary of several streams, without memory.

    Args:
        streams: name -> the stream's own.
        latencies: stage or age -> those of all.
        rest: the other attributes of `Summary`.
    """
    parts = list(streams.values())
    return Summary(
        frames=sum(part.frames for part in parts),
        samples=sum(part.samples for part in parts),
        detections=sum(part.detections for part in parts),
        faces=sum(part.faces for part in parts),
        missed=_sums(part.missed for part in parts),
        states=_sums(part.states for part in parts),
        dropped={f"{name}: {place}": n for name, item in streams.items() for place, n in item.dropped.items()},
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        streams=dict(streams),
        **_recorded(latencies),
        **rest,
    )


def _sums(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def _recorded(latencies: Mapping[str, LatencyRecorder]) -> dict[str, Any]:
    """The attributes `stages`, `ages`, `end_to_end` and `histograms` of a summary, of what was recorded at all."""
    recorded = {name: recorder for name, recorder in latencies.items() if recorder.count}
    return {
        "stages": {stage: recorded[stage].summary() for stage in STAGES if stage in recorded},
        "ages": {age: recorded[age].summary() for age in AGES if age in recorded},
        "end_to_end": recorded[END_TO_END].summary() if END_TO_END in recorded else None,
        "histograms": {name: recorder.bins() for name, recorder in recorded.items()},
    }


def resident_mb(process: int | str = "self") -> tuple[float | None, float | None]:
    """Resident memory of a process and its peak, in megabytes (10^6 bytes), from /proc; None where there is none."""
    sizes_mb = read_sizes_mb(Path(f"/proc/{process}/status"))
    return sizes_mb.get("VmRSS"), sizes_mb.get("VmHWM")
