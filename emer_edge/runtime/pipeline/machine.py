"""What runs the streams of one process: the bundle, loaded once, the live runner, and what both cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

from emer_edge.bundle import Bundle
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.pipeline.feed import Feed
from emer_edge.runtime.pipeline.live import LiveRunner
from emer_edge.runtime.pipeline.stepping import Stepper
from emer_edge.runtime.pipeline.stream import Stream
from emer_edge.runtime.pipeline.summary import resident_mb
from emer_edge.runtime.ring import Bell
from emer_edge.runtime.say import Say
from emer_edge.runtime.session import Session
from emer_edge.spec.results import Result

__all__ = ["Machine"]


class Machine:
    """Loads a bundle, runs streams with it, and lets both go.

    Args:
        bundle: to be loaded on first use.
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        say: told what hangs.

    Attributes:
        ended_s: host time of the end, None before.
    """

    def __init__(self, bundle: Bundle, engine: str, threads: int, say: Say) -> None:
        self._bundle, self._engine, self._threads, self._say = bundle, engine, threads, say
        self._session: Session | None = None
        self._runner: LiveRunner | None = None
        self._stepper: Stepper | None = None
        self._memory_mb: tuple[float | None, float | None, float | None] | None = None
        self._hung = False
        self.ended_s: float | None = None

    @property
    def session(self) -> Session:
        """The loaded bundle, every part run once."""
        if self._session is None:
            self._session = Session(self._bundle, self._engine, self._threads)
            self._session.warm_up()
        return self._session

    @property
    def told(self) -> str:
        """Engine and device; empty before the bundle was loaded."""
        return "" if self._session is None else self._session.described

    @property
    def latencies(self) -> dict[str, LatencyRecorder]:
        """Those of the live steps, see `Stepper`; empty before the start."""
        return {} if self._stepper is None else self._stepper.latencies

    @property
    def dropped(self) -> dict[str, int]:
        """What was lost here: place -> count."""
        return {"stuck steps": self._runner.stuck_steps} if self._runner and self._runner.stuck_steps else {}

    def run(self, streams: Sequence[Stream]) -> Iterator[Result]:
        """Open the streams' sources, start all threads, and give the results as they come.

        Raises:
            BundleError, EngineError, CameraError, TrackerError: what can't be opened.
        """
        session, bell = self.session, Bell()
        first = session.detector
        detectors = [first, *(first.twin() for _ in streams[1:])]  # a face thread each
        cores = [each.open_core(session, detector) for each, detector in zip(streams, detectors, strict=True)]
        feeds = [
            Feed(core, each.camera, each.tracker, bell, each.say) for core, each in zip(cores, streams, strict=True)
        ]
        self._stepper = Stepper(session)
        self._runner = LiveRunner(self._stepper, feeds, bell, self._say)
        self._runner.start(monotonic_ns())
        return self._runner.results()

    def stop(self) -> None:
        """Ask for the end; safe in a signal handler."""
        if self._runner is not None:
            self._runner.stop()

    def close(self, streams: Sequence[Stream]) -> None:
        """Stop, close the streams' sources and free the engines; may be called twice."""
        self.stop()
        if self._hung:
            return
        if self.ended_s is None:
            self.ended_s = monotonic()
            self._memory_mb = self._resident_mb(streams)
        self._hung = self._runner is not None and not self._runner.close()
        if self._hung:
            return  # a thread that hangs may still use its source and the engines
        for each in streams:
            each.close_sources()
        if self._session is not None:
            self._session.close()

    def memory_mb(self, streams: Sequence[Stream]) -> dict[str, Any]:
        """Resident memory at the end, or now: the attributes of `Summary` that tell it."""
        rss_mb, peak_rss_mb, capture_rss_mb = self._memory_mb or self._resident_mb(streams)
        return {"rss_mb": rss_mb, "peak_rss_mb": peak_rss_mb, "capture_rss_mb": capture_rss_mb}

    def _resident_mb(self, streams: Sequence[Stream]) -> tuple[float | None, float | None, float | None]:
        processes = [each.camera.pid for each in streams if each.opened]
        captures = [mb for pid in processes if pid is not None and (mb := resident_mb(pid)[0]) is not None]
        return (*resident_mb(), sum(captures) if captures else None)
