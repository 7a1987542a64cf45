"""One stream's side of a live run: the threads that read its sources, and look for faces in what comes.

Files that start over (`MachineOptions.loop`) are opened anew by a thread of their own, and the evidence begins anew
with them: a window holds one pass alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from emer_edge.core.errors import CameraError, DataError, TrackerError
from emer_edge.core.public_text import public
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.cameras.live_camera import LiveCapture
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.faces import Look
from emer_edge.runtime.pipeline.core import PipelineCore
from emer_edge.runtime.ring import Bell, Clock, FeedWatch, Ring
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.trackers.live_tracker import TOGETHER_S, LiveTracker

_FRAMES: Final = 16  # of which most are not looked at
_LOOKS: Final = 64
_SAMPLES: Final = 4096
_BEHIND_NS: Final = 100_000_000  # a frame this old is skipped where a newer one waits
_NAP_S: Final = 0.25  # after which it is asked whether to stop
_FAILED_LOOKS: Final = 10
_READ_BY: Final = 0.6  # of the allowance, after a window's end


class Intake:
    """Feeds one core from its two sources.

    Args:
        core: takes the items, in the thread that takes the steps.
        camera, tracker: opened sources.
        reopen: opens files anew, which start over at their end; None: they end.
        bell: rung when a look is there.
        say: reports what is stuck or silent, and when it continues.
        clock: host time.

    Attributes:
        core, say: as above.
        frames, samples: items that came.
        looks: frames and what the face thread saw in them, waiting for the step.
        limit_ns: no window ends later, because a file has ended; None while both sources continue.
        failure: what ended one of the threads, or None.
        threads: those of this stream.
    """

    def __init__(
        self,
        core: PipelineCore,
        camera: Camera,
        tracker: Tracker,
        *,
        bell: Bell,
        say: Say,
        reopen: Callable[[], tuple[Camera, Tracker]] | None = None,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.core, self._camera, self._tracker, self.say, self._clock = core, camera, tracker, say, clock
        self._live = tracker if isinstance(tracker, LiveTracker) else None  # its own ring is read, without a thread
        self._frames: Ring[Frame] = Ring(_FRAMES)
        self.looks: Ring[tuple[Frame, Look | None]] = Ring(_LOOKS, bell)
        self._samples: Ring[TrackerSample] = Ring(_SAMPLES, bell)
        self._watch = FeedWatch(say, clock)
        self._skipped = self._failed_looks = self._failed_in_row = 0
        self._stopping = self._reopening = False
        self._reopen = reopen
        self.frames = self.samples = self._stamp_ns = self._apart_ns = 0
        self._ends = threading.Lock()
        self.limit_ns: int | None = None
        self.failure: BaseException | None = None
        self.threads: list[threading.Thread] = []
        core.dropped = self._losses()

    def start(self, origin_ns: int) -> None:
        """Start the lattice, the sources and the threads."""
        self.core.evidence.start(origin_ns)
        self._camera.start(origin_ns)
        self._tracker.start(origin_ns)
        self._watch.start(origin_ns)
        work: dict[str, Callable[[], None]] = {
            "camera": lambda: self._feed(self._camera, self._camera.fps, self._on_frame),
            "tracker": lambda: self._feed(self._tracker, self._tracker.rate_hz, self._on_sample),
            "faces": self._find_faces,
        }
        if self._tracker.absent or self._live is not None:
            del work["tracker"]
        if self._live is not None:
            self._live.together_s = TOGETHER_S
            self._live.read_by_ns = self._read_by_ns
        if isinstance(self._camera, LiveCapture):
            self._camera.idle_ns = self._idle_ns
        self.threads = [
            threading.Thread(target=self._guarded, args=(task,), name=f"emer-edge {name}", daemon=True)
            for name, task in work.items()
        ]
        for thread in self.threads:
            thread.start()

    @property
    def starts_over(self) -> bool:
        """Whether it goes on after its files' end."""
        return self._reopening or (self._reopen is not None and self.failure is None)

    def started_over(self, end_ns: int) -> int | None:
        """Start over once the files have ended and are open again; None until then, and where they never do.

        Args:
            end_ns: the next point of the lattice.

        Returns:
            The first point of the lattice from there on that has not gone by: the new pass's time 0.
        """
        if self._reopen is None or self._stopping or not self.over(end_ns):
            return None
        if not self._reopening:
            self._reopening = True
            again = threading.Thread(
                target=self._guarded, args=(self._open_again,), name="emer-edge opening", daemon=True
            )
            self.threads = [*self.threads, again]
            again.start()
        if any(thread.is_alive() for thread in self.threads):
            return None
        self.limit_ns, self._reopening = None, False
        if self.failure is not None:
            return None
        hop_ns = self.core.evidence.spec.hop_ns
        origin_ns = end_ns + max(0, -((end_ns - self._clock()) // hop_ns)) * hop_ns
        self.start(origin_ns)
        return origin_ns

    def accept(self, due_ns: int) -> None:
        """Give the core what had arrived by `due_ns`; called by the thread that takes the steps."""
        if self._live is not None and self.failure is None:
            try:
                self._on_samples(self._live.take_until(due_ns))
            except TrackerError as error:
                self.failure = error
        self.core.on_samples(self._samples.take_while(lambda sample: sample.arrival_ns <= due_ns))
        for frame, look in self.looks.take_while(lambda pair: pair[0].arrival_ns <= due_ns):
            self.core.on_look(frame, look)

    def before_step(self, late_steps: int) -> None:
        """Pass losses, the steps skipped just now among them, and troubles to the core; called before each step."""
        now_ns, watch = self._clock(), self._watch
        watch.look(now_ns, self._excused())
        self.core.dropped["late steps"] += late_steps
        self.core.dropped.update(self._losses())
        failed = () if self.failure is None else (f"this stream has failed: {self.failure}",)
        self.core.troubles = (*failed, *watch.troubles(now_ns), *source_troubles(self._camera, self._tracker))

    def over(self, end_ns: int) -> bool:
        """Whether a file has ended before a window that ends at `end_ns`."""
        return self.limit_ns is not None and end_ns > self.limit_ns

    def end(self, limit_ns: int) -> None:
        """End the stream: no window ends after `limit_ns`."""
        with self._ends:
            self.limit_ns = limit_ns if self.limit_ns is None else min(self.limit_ns, limit_ns)

    def stop(self) -> None:
        """Ask for the end; safe in a signal handler."""
        self._stopping = True

    def closers(self) -> dict[str, Callable[[], None]]:
        """What closes each source, which ends the threads; it may take a while."""
        return {"camera": self._camera.close, "tracker": self._tracker.close}

    def _read_by_ns(self, now_ns: int) -> int:
        """When samples are to be read next, so that each step has those of its window."""
        evidence = self.core.evidence
        first_ns = evidence.origin_ns + round(_READ_BY * evidence.allowance_ns)
        return now_ns + evidence.spec.hop_ns - (now_ns - first_ns) % evidence.spec.hop_ns

    def _idle_ns(self, now_ns: int) -> int:
        """For how long images may wait at the camera: for two in mid-hop, for none near an end, whose step needs it."""
        hop_ns, two_ns = self.core.evidence.spec.hop_ns, 2 * self._apart_ns
        since_ns = (now_ns - self.core.evidence.origin_ns) % hop_ns
        left_ns = hop_ns - two_ns - since_ns
        return min(two_ns, left_ns) if two_ns <= min(since_ns, _BEHIND_NS) and left_ns > self._apart_ns else 0

    def _on_frame(self, frame: Frame) -> None:
        self.frames += 1
        self._apart_ns, self._stamp_ns = frame.stamp_ns - self._stamp_ns, frame.stamp_ns
        self._watch.heard("camera", frame.arrival_ns - frame.stamp_ns + self._camera.lag_ns)
        waiting = len(self._frames)  # those that nobody looks at are only passed on: not one by one
        self._frames.put(frame, ring=waiting >= _FRAMES // 2 or self.core.evidence.faces.finder.wants(frame, waiting))

    def _on_sample(self, sample: TrackerSample) -> None:
        self.samples += 1
        self._heard_tracker(sample)
        self._samples.put(sample, ring=False)  # waking the step for each would cost more than they do

    def _on_samples(self, samples: Sequence[TrackerSample]) -> None:
        """Take those of a live tracker's own ring."""
        if samples:
            self.samples += len(samples)
            self._heard_tracker(samples[-1])
            self.core.on_samples(samples)

    def _heard_tracker(self, sample: TrackerSample) -> None:
        self._watch.heard("tracker", sample.arrival_ns - sample.stamp_ns + self._tracker.lag_ns)

    def _excused(self) -> frozenset[str]:
        """Sources that are silent for a known reason."""
        if self.failure is not None or self.limit_ns is not None:
            return frozenset(("camera", "tracker"))
        known = {
            "camera": self._camera.trouble is not None,
            "tracker": self._tracker.absent or not self._tracker.connected or bool(self._tracker.troubles),
        }
        return frozenset(source for source, excused in known.items() if excused)

    def _losses(self) -> dict[str, int]:
        losses = {
            "late steps": 0,
            "results": 0,
            **self.core.dropped,
            "camera queue": self._frames.dropped,
            "frames passed over": self._skipped,
            "failed looks": self._failed_looks,
            "face queue": self.looks.dropped,
            "tracker queue": self._samples.dropped,
        }
        return losses | self._watch.counts | source_drops(self._camera, self._tracker)

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # must reach the reader of results, not die with the thread
            self.failure = self.failure or error

    def _open_again(self) -> None:
        """Close both files, which ends the other threads, and open them anew."""
        assert self._reopen is not None
        assert self.limit_ns is not None
        lasted_ns, needed_ns = self.limit_ns - self.core.evidence.origin_ns, self.core.evidence.spec.length_ns
        self._camera.close()
        self._tracker.close()
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join()
        if lasted_ns < needed_ns:
            raise DataError(
                f"--loop: the files last {lasted_ns / NANOSECONDS:.1f} s together, a reading takes "
                f"{needed_ns / NANOSECONDS:g} s: started over, they would never give one"
            )
        self._camera, self._tracker = self._reopen()

    def _feed(
        self, source: Camera | Tracker, rate_hz: float, take: Callable[[Frame], None] | Callable[[TrackerSample], None]
    ) -> None:
        last_ns: int | None = None
        for item in source:
            if self._stopping:
                return
            take(item)  # type: ignore[arg-type]
            last_ns = item.stamp_ns
        if not source.live:
            self.end((last_ns or 0) + round(NANOSECONDS / max(rate_hz, 1.0)))
        elif not self._stopping:
            self.end(self._clock())

    def _find_faces(self) -> None:
        finder = self.core.evidence.faces.finder
        while not (self._stopping or self._reopening):
            frame = self._frames.take(_NAP_S)
            if frame is None:
                continue
            now_ns = self._clock()
            if now_ns - frame.arrival_ns > _BEHIND_NS and len(self._frames) and finder.wants(frame):
                self._skipped += 1
                continue
            look = self._look(frame, now_ns)
            if look is None or look.candidate is None or not finder.ends_hop(frame.stamp_ns):
                self.looks.put((frame, look), ring=False)
                continue
            with self.core.embedder.early(look.candidate):
                self.looks.put((frame, look), ring=False)

    def _look(self, frame: Frame, now_ns: int) -> Look | None:
        """Look at a frame; a failure is reported and counted, several in a row end the stream."""
        try:
            with self._watch.looking(now_ns):
                look = self.core.evidence.faces.finder.see(frame)
        except Exception as error:
            self._failed_looks += 1
            self._failed_in_row += 1
            if self._failed_in_row >= _FAILED_LOOKS and not isinstance(error, CameraError):  # the camera is given up
                raise
            if self._failed_in_row == 1:
                self.say(f"looking for a face failed, the next frame is tried: {error}")
            return None
        if look is not None:
            self._failed_in_row = 0
        return look


def source_troubles(camera: Camera, tracker: Tracker) -> tuple[str, ...]:
    """What is wrong with the sources now: one that is lost, a tracker whose clock is known badly."""
    report = tracker.clock_report
    lost = () if camera.trouble is None else (f"camera lost: {camera.trouble}",)
    away = () if tracker.connected else (f"tracker lost: {public(tracker.description)}",)
    return (*lost, *away, *tracker.troubles, *(() if report is None else report.notes()))


def source_drops(camera: Camera, tracker: Tracker) -> dict[str, int]:
    """Place -> items that the sources themselves have lost."""
    return {"camera": camera.dropped, **{f"tracker {place}": count for place, count in tracker.dropped.items()}}
