"""The pipeline at real pace: the threads of each stream, and one thread that takes the steps of all of them.

    camera -> frames -> face thread -> looks -> step
    tracker -> samples ----------------------> step

Every arrow between threads is a ring (`emer_edge.runtime.ring`); the step reads a live tracker's own, and sleeps until
it is due, or a tenth of a second. Where faces take longer to find than frames to come, the face thread skips frames and
continues with the newest. The step for T runs at T + D of the monotonic clock on what had arrived by then; a step that
is late by a hop or more is skipped and counted, never queued. The lattices of several people are staggered, so that
their steps don't wait for each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from emer_edge.core.errors import CameraError, TrackerError
from emer_edge.core.public_text import public
from emer_edge.core.results import Result
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.faces import Look
from emer_edge.runtime.pipeline.core import PipelineCore, Stepper, no_result
from emer_edge.runtime.ring import Bell, Clock, FeedWatch, Ring
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.trackers.live_tracker import LiveTracker

_FRAMES: Final = 16  # of which most are not looked at
_LOOKS: Final = 64
_SAMPLES: Final = 4096
_STEPS: Final = 16  # whose results wait for their reader
_BEHIND_NS: Final = 100_000_000  # a frame this old is skipped where a newer one waits
_NAP_S: Final = 0.1  # so that a stop asked for by a signal handler, which may not ring, is seen
_LEAD_NS: Final = 5_000_000  # before a step is due, what waits is worked off: the step is left with little
_FAILED_LOOKS: Final = 10
_TOGETHER_S: Final = 0.03  # that a tracker may let samples wait to be read together: less than the allowance


class Intake:
    """Feeds one core from its two sources.

    Args:
        core: takes the items, in the thread that takes the steps.
        camera, tracker: opened sources.
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
        self, core: PipelineCore, camera: Camera, tracker: Tracker, *, bell: Bell, say: Say, clock: Clock = monotonic_ns
    ) -> None:
        self.core, self._camera, self._tracker, self.say, self._clock = core, camera, tracker, say, clock
        self._live = tracker if isinstance(tracker, LiveTracker) else None  # its own ring is read, without a thread
        self._frames: Ring[Frame] = Ring(_FRAMES)
        self.looks: Ring[tuple[Frame, Look | None]] = Ring(_LOOKS, bell)
        self._samples: Ring[TrackerSample] = Ring(_SAMPLES, bell)
        self._watch = FeedWatch(say, clock)
        self._skipped = self._failed_looks = self._failed_in_row = 0
        self._stopping = False
        self.frames = self.samples = 0
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
            self._live.together_s = min(_TOGETHER_S, self.core.evidence.allowance_ns / NANOSECONDS / 2)
        self.threads = [
            threading.Thread(target=self._guarded, args=(task,), name=f"emer-edge {name}", daemon=True)
            for name, task in work.items()
        ]
        for thread in self.threads:
            thread.start()

    def accept(self, due_ns: int) -> None:
        """Give the core what had arrived by `due_ns`; called by the thread that takes the steps."""
        if self._live is not None and self.failure is None:
            try:
                for sample in self._live.take_until(due_ns):
                    self._on_sample(sample)
            except TrackerError as error:
                self.failure = error
        for sample in self._samples.take_while(lambda sample: sample.arrival_ns <= due_ns):
            self.core.on_sample(sample)
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

    def _on_frame(self, frame: Frame) -> None:
        self.frames += 1
        self._watch.heard("camera", frame.arrival_ns - frame.stamp_ns + self._camera.lag_ns)
        self._frames.put(frame, ring=self.core.evidence.faces.finder.wants(frame, len(self._frames)))

    def _on_sample(self, sample: TrackerSample) -> None:
        self.samples += 1
        self._watch.heard("tracker", sample.arrival_ns - sample.stamp_ns + self._tracker.lag_ns)
        self._samples.put(sample, ring=False)  # waking the step for each would cost more than they do

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
        while not self._stopping:
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


class LiveRunner:
    """Runs intakes until their files have ended, a source fails, or `stop` is called.

    Of several streams one that fails does not end the run: its results are `stale`, and say why.

    Args:
        stepper: takes the steps.
        intakes: one for each stream, which share the lattice; their sources are closed by `close`.
        bell: that the intakes ring.
        say: reports what is stuck or has failed.
        clock: host time.

    Attributes:
        stuck_steps: how often a step has not come back for `stuck_ns`.
        threads: all of the run.
        stuck_ns: after this long a step is reported as stuck.
        join_s: how long `close` waits for the threads.
    """

    stuck_ns = 5 * NANOSECONDS
    join_s = 6.0  # longer than a capture process may take to end its programs

    def __init__(
        self, stepper: Stepper, intakes: Sequence[Intake], bell: Bell, say: Say, *, clock: Clock = monotonic_ns
    ) -> None:
        self._stepper, self._intakes, self._bell, self._say = stepper, tuple(intakes), bell, say
        self._clock = clock
        self._results: Ring[list[Result]] = Ring(_STEPS)
        self._failure: BaseException | None = None
        self._reported: set[int] = set()
        self._finished = self._stopping = self._stuck = False
        self._came_round_ns = 0
        self.stuck_steps = 0
        self.threads: list[threading.Thread] = []

    def start(self, origin_ns: int) -> None:
        """Start the lattice and the threads."""
        self._came_round_ns = self._clock()
        hop_ns = self._intakes[0].core.evidence.spec.hop_ns
        for number, intake in enumerate(self._intakes):
            intake.start(origin_ns + number * hop_ns // len(self._intakes))
        steps = threading.Thread(target=self._run, name="emer-edge steps", daemon=True)
        self.threads = [steps, *(thread for intake in self._intakes for thread in intake.threads)]
        steps.start()

    def results(self) -> Iterator[Result]:
        """Results as they come; ends with the run, raising what a source failed with."""
        while True:
            finished = self._finished  # read before the ring: what came before the end must not be missed
            results = self._results.take(_NAP_S)
            if results is not None:
                yield from results
            elif finished:
                break
            else:
                self._watch_steps()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask for the end; safe in a signal handler."""
        self._stopping = True
        for intake in self._intakes:
            intake.stop()

    def close(self) -> bool:
        """Stop, close the sources, and wait some seconds for the threads; return whether all have ended."""
        self.stop()
        closers = [
            threading.Thread(target=close, name=f"emer-edge closing the {source}", daemon=True)
            for intake in self._intakes
            for source, close in intake.closers().items()
        ]
        for closer in closers:
            closer.start()
        ended = True
        deadline_ns = monotonic_ns() + round(self.join_s * NANOSECONDS)
        for thread in (*closers, *self.threads):
            if thread is threading.current_thread():
                continue
            thread.join(max(0.0, (deadline_ns - monotonic_ns()) / NANOSECONDS))
            if thread.is_alive():
                ended = False
                self._say(f"the thread {thread.name!r} has not ended within {self.join_s:g} s; it is left behind")
        return ended

    def _run(self) -> None:
        try:
            self._steps()
        except BaseException as error:  # must reach the reader of results, not die with the thread
            self._failure = error
        finally:
            self._finished = True

    def _steps(self) -> None:
        evidence = self._intakes[0].core.evidence
        hop_ns, allowance_ns = evidence.spec.hop_ns, evidence.allowance_ns
        ends_ns = {intake: intake.core.evidence.origin_ns + hop_ns for intake in self._intakes}
        stepped = False
        while not self._stopping:
            self._came_round_ns = self._clock()
            intakes = [intake for intake in self._intakes if not intake.over(ends_ns[intake])]
            if self._over(intakes):
                if not stepped and not self._stopping:
                    raise no_result((one.frames, one.samples) for one in self._intakes)
                return
            end_ns = min(ends_ns[intake] for intake in intakes)
            due_ns = end_ns + allowance_ns
            for intake in intakes:
                intake.accept(due_ns)
            now_ns = self._clock()
            if now_ns < due_ns:
                left_ns = due_ns - now_ns
                with self._bell:
                    wait_ns = left_ns - _LEAD_NS if left_ns > _LEAD_NS else left_ns
                    self._bell.wait(min(wait_ns / NANOSECONDS, _NAP_S))
                continue
            late = (now_ns - due_ns) // hop_ns
            if late:
                end_ns, due_ns = end_ns + late * hop_ns, due_ns + late * hop_ns
            stepping = [intake for intake in intakes if ends_ns[intake] + late * hop_ns == end_ns]
            for intake in stepping:
                intake.accept(due_ns)
                intake.before_step(late)
                ends_ns[intake] = end_ns + hop_ns
            self._results.put(self._stepper.step([intake.core for intake in stepping], end_ns, due_ns))
            for intake in stepping:
                intake.core.dropped["results"] = self._results.dropped
            stepped = True

    def _over(self, intakes: Sequence[Intake]) -> bool:
        """Whether nothing is left to step; raise what the last stream failed with."""
        failed = [(intake, intake.failure) for intake in intakes if intake.failure is not None]
        for intake, failure in failed:
            if id(intake) not in self._reported and len(self._intakes) > 1:
                self._reported.add(id(intake))
                intake.say(f"this stream has failed, its results are stale from now on: {failure}")
        if len(failed) < len(intakes):
            return False
        if failed:
            raise failed[0][1]
        return True

    def _watch_steps(self) -> None:
        """Report once when the steps do not come round; called by the reader of results."""
        stuck_ns = self._clock() - self._came_round_ns
        if stuck_ns < self.stuck_ns:
            if self._stuck:
                self._say("steps are taken again")
            self._stuck = False
        elif not self._stuck:
            self._stuck = True
            self.stuck_steps += 1
            self._say(f"a step has not ended for {stuck_ns / NANOSECONDS:.1f} s; does the engine hang?")
