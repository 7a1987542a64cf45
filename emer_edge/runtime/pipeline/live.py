"""The pipeline at real pace: a thread a source, and one that finds faces and takes the steps.

The step for T runs at T + D of the monotonic clock on what had arrived by then. A step that is late by a hop or more is
skipped and counted, never queued.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Final

from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.pipeline.core import PipelineCore
from emer_edge.runtime.pipeline.inbox import Inbox
from emer_edge.runtime.trackers import Tracker
from emer_edge.spec.results import Result
from emer_edge.spec.samples import Frame, TrackerSample
from emer_edge.spec.window import NANOSECONDS

__all__ = ["LiveRunner", "source_drops", "source_troubles"]

_RESULTS: Final = 16
_JOIN_S: Final = 3.0


class LiveRunner:
    """Runs a core on two sources until a file ends, a source fails, or `stop` is called.

    Args:
        core: its lattice is started by `start`.
        camera, tracker: opened sources; closed by `close`.
    """

    def __init__(self, core: PipelineCore, camera: Camera, tracker: Tracker) -> None:
        self._core, self._camera, self._tracker = core, camera, tracker
        self._inbox = Inbox()
        self._results: deque[Result] = deque()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._finished = False
        self._stopping = False
        self._threads: list[threading.Thread] = []

    def start(self, origin_ns: int) -> None:
        """Start the lattice and the threads."""
        self._core.evidence.start(origin_ns)
        self._camera.start(origin_ns)
        self._tracker.start(origin_ns)
        work = {
            "emer-edge camera": lambda: self._feed(self._camera, self._camera.fps),
            "emer-edge tracker": lambda: self._feed(self._tracker, self._tracker.rate_hz),
            "emer-edge steps": self._run,
        }
        self._threads = [threading.Thread(target=each, name=name, daemon=True) for name, each in work.items()]
        for thread in self._threads:
            thread.start()

    def results(self) -> Iterator[Result]:
        """Results as they come; ends with the run, raising what a source failed with."""
        while True:
            with self._changed:
                while not self._results and not self._finished:
                    self._changed.wait(0.1)  # wakes for signal handlers
                result = self._results.popleft() if self._results else None
            if result is None:
                break
            yield result
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask for the end; safe in a signal handler."""
        self._stopping = True

    def close(self) -> None:
        """Stop, close the sources, and wait for the threads."""
        self._stopping = True
        self._camera.close()
        self._tracker.close()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _feed(self, source: Camera | Tracker, rate_hz: float) -> None:
        last_ns: int | None = None
        try:
            for item in source:
                if self._stopping:
                    return
                self._inbox.put(item)
                last_ns = item.stamp_ns
        except BaseException as error:  # must reach the reader of results, not die with the thread
            self._inbox.fail(error)
            return
        if not source.live:
            self._inbox.end((last_ns or 0) + round(NANOSECONDS / max(rate_hz, 1.0)))
        elif not self._stopping:
            self._inbox.end(monotonic_ns())

    def _run(self) -> None:
        try:
            self._steps()
        except BaseException as error:  # see _feed
            self._failure = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _steps(self) -> None:
        core, inbox = self._core, self._inbox
        hop_ns, allowance_ns = core.evidence.spec.hop_ns, core.evidence.allowance_ns
        end_ns = core.evidence.origin_ns + hop_ns
        frames: deque[Frame] = deque()
        samples: deque[TrackerSample] = deque()
        core.dropped = inbox.dropped | {"late steps": 0, "results": 0}
        while not self._stopping and (inbox.limit_ns is None or end_ns <= inbox.limit_ns):
            due_ns = end_ns + allowance_ns
            more_frames, more_samples = inbox.take((due_ns - monotonic_ns()) / NANOSECONDS)
            frames.extend(more_frames)
            samples.extend(more_samples)
            while samples and samples[0].arrival_ns <= due_ns:
                core.on_sample(samples.popleft())
            while frames and frames[0].arrival_ns <= due_ns:
                core.on_frame(frames.popleft())
            now_ns = monotonic_ns()
            if now_ns >= due_ns:
                late = (now_ns - due_ns) // hop_ns
                end_ns += late * hop_ns
                core.dropped["late steps"] += late
                core.dropped.update(inbox.dropped | source_drops(self._camera, self._tracker))
                core.troubles = source_troubles(self._camera, self._tracker)
                self._publish(core.step(end_ns, end_ns + allowance_ns))
                end_ns += hop_ns
            if inbox.failure is not None:
                raise inbox.failure

    def _publish(self, result: Result) -> None:
        with self._changed:
            self._results.append(result)
            if len(self._results) > _RESULTS:
                self._results.popleft()
                self._core.dropped["results"] += 1
            self._changed.notify_all()


def source_troubles(camera: Camera, tracker: Tracker) -> tuple[str, ...]:
    """What is wrong with the sources now: one that is lost, a tracker whose clock is known badly."""
    report = tracker.clock_report
    lost = () if camera.trouble is None else (f"camera lost: {camera.trouble}",)
    away = () if tracker.connected else (f"tracker lost: {tracker.description}",)
    return (*lost, *away, *(() if report is None else report.notes()))


def source_drops(camera: Camera, tracker: Tracker) -> dict[str, int]:
    """Place -> items that the sources themselves have lost."""
    return {"camera": camera.dropped, **{f"tracker {place}": count for place, count in tracker.dropped.items()}}
