"""Runs of several people over one film of six seconds, saved and recorded by the product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from emer_edge.bundle import Bundle
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.markers.marker_log import MarkerLog, MarkerSource
from emer_edge.runtime.options import BaselineOptions, MachineOptions, Source
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.recorder import Recorder
from emer_edge.runtime.outputs.session_folder import SessionFolder, SessionOptions
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
from emer_edge.runtime.recording.keep import RecordOptions

__all__ = ["MARKERS", "run"]

MARKERS = (("film 1 start", 0.5), ("film 1 end", 3.5), ("film 2", 3.5))


class _Timed(MarkerSource):
    """Adds markers with times of their own."""

    thread_name = "timed markers"

    def __init__(self, markers: Sequence[tuple[str, float]]) -> None:
        super().__init__()
        self._markers = markers

    def _read(self, log: MarkerLog) -> None:
        for label, at_s in self._markers:
            log.add(label, stamp_ns=round(at_s * NANOSECONDS))


def run(
    bundle: Bundle,
    root: Path,
    participant: str,
    streams: tuple[Path, Path | None],
    markers: Sequence[tuple[str, float]] = MARKERS,
    baseline_s: float | None = None,
    recorded: bool = True,
    **more: Any,
) -> Path:
    """Play a video and gaze as fast as they can be read, saved in `root`; return the session."""
    video, gaze = streams
    baseline = BaselineOptions(baseline_s, apply=baseline_s is not None)
    tracker = "none" if gaze is None else str(gaze)
    source = replace(Source(str(video), tracker, participant=participant, baseline=baseline), **more)
    pipeline = Pipeline(bundle, sources=[source], machine=MachineOptions(pace="fast"))
    options = SessionOptions(root / "sessions", "s1")
    host = Host(pipeline, say=lambda sentence: None)
    outputs = [SessionFolder(SessionFolder.settle(options, [source])[0], host)]
    if recorded:
        file = root / "recordings" / f"{participant}.mcap"
        outputs.append(Recorder(RecordOptions(file, participant=participant, session="s1"), host))
    play(pipeline, outputs, sources=[_Timed(markers)])
    return root / "sessions" / participant / "s1"
