"""Several people in one process: a camera and a tracker each, one step for all, and the bundle loaded once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from emer_edge.bundle import Bundle, load_bundle
from emer_edge.errors import ConfigurationError
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.faces import Subject
from emer_edge.runtime.markers import MarkerLog
from emer_edge.runtime.pipeline.machine import Machine
from emer_edge.runtime.pipeline.running import Running
from emer_edge.runtime.pipeline.stream import Stream
from emer_edge.runtime.pipeline.summary import Summary, told_latencies
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.trackers import Tracker
from emer_edge.spec.markers import Marker
from emer_edge.spec.results import Result
from emer_edge.spec.samples import Display, StimulusRect

__all__ = ["StreamSource", "Streams", "check_stream_names"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class StreamSource:
    """Where one person's data come from.

    Attributes:
        name: of the stream, in every one of its results: letters, digits, dots, dashes and underscores, 64 at most.
        camera, tracker: as `Pipeline` takes them.
        offset_ms, display, stimulus, subject, detect_every: see `Pipeline`.
    """

    name: str
    camera: str | Camera
    tracker: str | Tracker
    offset_ms: float | None = None
    display: Display | None = None
    stimulus: StimulusRect | None = None
    subject: Subject = "largest"
    detect_every: int = 5


def check_stream_names(names: Sequence[str]) -> None:
    """Raise ConfigurationError on names that no stream can have, on one that two have, and where there is none."""
    if not names:
        raise ConfigurationError("a run needs at least one stream")
    for each in names:
        if not _NAME.fullmatch(each):
            raise ConfigurationError(
                f"a stream can't be called {each!r}: names are up to 64 letters, digits, dots, dashes and underscores, "
                "and begin with a letter or a digit"
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigurationError(f"two streams are called {twice[0]}; each needs a name of its own")


class Streams(Running):
    """Reads several people, and gives one Result for each a hop; `Result.stream` tells whose it is.

    All windows of a step end at the same time; their crops go through the encoder in one call, and the windows through
    the fusion part in another. Use as a context manager and iterate, as a `Pipeline`. Sources run at real pace.

    A stream whose source fails is `stale` from then on, and its results say why; one whose file ends has no more
    results. The run ends when no stream goes on, and raises what the last ones failed with.

    Args:
        bundle: a bundle or its folder.
        sources: one for each stream.
        engine, threads, arrival_allowance_ms, say, baseline_s, apply_baseline: as `Pipeline` takes them, for all.

    Attributes:
        bundle: what is run.
        streams: name -> stream: its sources, markers and baseline; `tap` it before the run begins.
        markers: what is set here is set in every stream.
        pace: `real`.

    Raises:
        BundleError, EngineError, CameraError, TrackerError: on entry, what can't be opened; the message names the
            stream.
        ConfigurationError: arguments that make no sense, such as two streams of one name.
    """

    pace = "real"

    def __init__(
        self,
        bundle: Bundle | str | Path,
        sources: Sequence[StreamSource],
        *,
        engine: str = "auto",
        threads: int = 1,
        arrival_allowance_ms: float = 50.0,
        say: Say = say_to_log,
        baseline_s: float | None = None,
        apply_baseline: bool = False,
    ) -> None:
        check_stream_names([each.name for each in sources])
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self.streams = {
            each.name: Stream(
                self.bundle,
                each.camera,
                each.tracker,
                name=each.name,
                display=each.display,
                stimulus=each.stimulus,
                offset_ms=each.offset_ms,
                detect_every=each.detect_every,
                arrival_allowance_ms=arrival_allowance_ms,
                subject=each.subject,
                say=say,
                baseline_s=baseline_s,
                apply_baseline=apply_baseline,
            )
            for each in sources
        }
        self.say = say
        self.markers = MarkerLog()
        self.markers.listen(self._mark_all)
        self._machine = Machine(self.bundle, engine, threads, say)
        self._began_s = monotonic()

    @property
    def opened(self) -> bool:
        """Whether it has been opened, so that there is a summary."""
        return self._results is not None

    @property
    def told(self) -> str:
        """What is read, in a line."""
        return ", ".join(self.streams)

    @property
    def step_latencies(self) -> Mapping[str, LatencyRecorder]:
        """`wait`, `encode`, `fuse` or `total` -> that of the steps, which all streams share; empty before the start."""
        return self._machine.latencies

    def mark(self, label: str, stamp_ns: int | None = None) -> Marker:
        """Set a marker in every stream, see `Pipeline.mark`; `streams[name].mark` sets it in one."""
        return self.markers.add(label, stamp_ns=stamp_ns)

    def _begin(self) -> Iterator[Result]:
        results = self._machine.run(list(self.streams.values()))
        self._began_s = monotonic()
        return results

    def stop(self) -> None:
        """Ask for the end: iteration stops soon. Safe in a signal handler and from any thread."""
        for each in self.streams.values():
            each.ask_to_stop()
        self._machine.stop()

    def close(self) -> None:
        """Stop, close all sources and free the engines; may be called twice. `summary` still works."""
        self.stop()
        self._machine.close(list(self.streams.values()))

    def summary(self) -> Summary:
        """What the run was like so far, and in `Summary.streams` each stream; ConfigurationError before it was opened.

        Figures are sums over the streams; `stages` holds the steps, `detect` and `align` those of all streams.
        """
        if not self.opened:
            raise ConfigurationError("a run of several streams has no summary before it is opened")
        machine = self._machine
        each_of = {name: each.stream_summary(machine.ended_s, machine.told) for name, each in self.streams.items()}
        all_of = list(each_of.values())
        dropped = {f"{name}: {place}": n for name, each in each_of.items() for place, n in each.dropped.items()}
        return Summary(
            seconds=(machine.ended_s or monotonic()) - self._began_s,
            engine=machine.told,
            frames=sum(each.frames for each in all_of),
            samples=sum(each.samples for each in all_of),
            detections=sum(each.detections for each in all_of),
            faces=sum(each.faces for each in all_of),
            missed=_sums([each.missed for each in all_of]),
            states=_sums([each.states for each in all_of]),
            dropped=dropped | machine.dropped,
            notes=tuple(dict.fromkeys(note for each in all_of for note in each.notes)),
            markers=self.markers.count,
            streams=each_of,
            **told_latencies(self._latencies()),
            **machine.memory_mb(list(self.streams.values())),
        )

    def _latencies(self) -> dict[str, LatencyRecorder]:
        merged: dict[str, LatencyRecorder] = {}
        for stream in self.streams.values():
            for name, recorder in stream.latencies.items():
                if name not in self._machine.latencies:
                    merged.setdefault(name, LatencyRecorder()).merge(recorder)
        return merged | self._machine.latencies

    def _mark_all(self, marker: Marker) -> None:
        for each in self.streams.values():
            each.markers.add(marker.label, marker.source, marker.stamp_ns, marker.clock)


def _sums(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
