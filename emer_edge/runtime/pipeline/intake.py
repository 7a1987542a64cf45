"""One stream's items on their way to the step: a thread a source, one that finds faces, and a ring after each.

    camera -> frames -> faces found -> looks -> step
    tracker -> samples -----------------------> step

Every ring has a fixed number of places and drops its oldest item, counted. Where faces can't be found as fast as frames
come, the face thread passes frames over and goes on with the newest.

What hangs is said once, counted, and noted in the results meanwhile. A live driver notices by itself that its device
has gone or is silent, says so, and tries to get it back; the watch here sees what a driver can't say of itself: one
that does not come back, a look at a frame that never ends. A thread can't be ended from outside: it goes on when what
it waits for does, and then with the newest items.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.faces import Look
from emer_edge.runtime.pipeline.core import PipelineCore
from emer_edge.runtime.ring import Bell, Ring
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers import Tracker

_FRAMES: Final = 4  # more would only make the evidence older
_LOOKS: Final = 16
_SAMPLES: Final = 4096
_BEHIND_NS: Final = 100_000_000  # a frame this old is not looked at any more where a newer one waits
_IDLE_S: Final = 0.1
_FAILED_LOOKS: Final = 10
_SILENT_NS: Final = 5 * NANOSECONDS  # live drivers speak first: after two seconds
_STUCK_NS: Final = 2 * NANOSECONDS  # a look takes milliseconds, on a slow board a tenth of a second


class Intake:
    """Feeds one core from its two sources.

    Args:
        core: takes the items, in the thread that takes the steps.
        camera, tracker: opened sources.
        bell: rung when a look is there.
        say: told in a sentence what is stuck or silent, and when it goes on.

    Attributes:
        core, say: as above.
        limit_ns: no window ends later, because a file has ended; None while both sources go on.
        failure: what ended one of the threads, or None.
        threads: those of this stream.
    """

    def __init__(self, core: PipelineCore, camera: Camera, tracker: Tracker, *, bell: Bell, say: Say) -> None:
        self.core, self._camera, self._tracker = core, camera, tracker
        self._frames: Ring[Frame] = Ring(_FRAMES)
        self._looks: Ring[tuple[Frame, Look | None]] = Ring(_LOOKS, bell)
        self._samples: Ring[TrackerSample] = Ring(_SAMPLES, bell)
        self.say = say
        self._watch = FeedWatch(say)
        self._passed_over = self._failed_looks = self._failed_in_row = 0
        self._stopping = False
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
        self.threads = [
            threading.Thread(target=self._guarded, args=(each,), name=f"emer-edge {name}", daemon=True)
            for name, each in work.items()
        ]
        for thread in self.threads:
            thread.start()

    def accept(self, due_ns: int) -> None:
        """Give the core what had arrived by `due_ns`; called by the thread that takes the steps."""
        for sample in self._samples.take_while(lambda each: each.arrival_ns <= due_ns):
            self.core.on_sample(sample)
        for frame, look in self._looks.take_while(lambda each: each[0].arrival_ns <= due_ns):
            self.core.on_look(frame, look)

    def before_step(self, late_steps: int) -> None:
        """Tell the core what was lost and what is wrong; called before each step.

        Args:
            late_steps: steps skipped just now.
        """
        now_ns = monotonic_ns()
        watch = self._watch
        watch.look(now_ns, self._excused())
        self.core.dropped["late steps"] += late_steps
        self.core.dropped.update(self._losses())
        failed = () if self.failure is None else (f"this stream has failed: {self.failure}",)
        self.core.troubles = (*failed, *watch.troubles(now_ns), *source_troubles(self._camera, self._tracker))

    def over(self, end_ns: int) -> bool:
        """Whether a file has ended before a window that ends at `end_ns`."""
        return self.limit_ns is not None and end_ns > self.limit_ns

    def stop(self) -> None:
        """Ask for the end; safe in a signal handler."""
        self._stopping = True

    def closers(self) -> dict[str, Callable[[], None]]:
        """What closes each source, which ends the threads; it may take a while."""
        return {"camera": self._camera.close, "tracker": self._tracker.close}

    def _on_frame(self, frame: Frame) -> None:
        self._watch.heard("camera")
        self._frames.put(frame)

    def _on_sample(self, sample: TrackerSample) -> None:
        self._watch.heard("tracker")
        self._samples.put(sample, ring=False)  # waking the step for each would cost more than they do

    def _excused(self) -> frozenset[str]:
        """Sources that are silent for a reason that is known."""
        known = {
            "camera": self._camera.trouble is not None,
            "tracker": not self._tracker.connected,
        }
        over = self.failure is not None or self.limit_ns is not None
        return frozenset(source for source, excused in known.items() if excused or over)

    def _losses(self) -> dict[str, int]:
        losses = {
            "late steps": 0,
            "results": 0,
            **self.core.dropped,
            "camera queue": self._frames.dropped,
            "frames passed over": self._passed_over,
            "failed looks": self._failed_looks,
            "face queue": self._looks.dropped,
            "tracker queue": self._samples.dropped,
        }
        return losses | self._watch.counts | source_drops(self._camera, self._tracker)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # must reach the reader of results, not die with the thread
            self.failure = self.failure or error

    def _feed(
        self,
        source: Camera | Tracker,
        rate_hz: float,
        take: Callable[[Frame], None] | Callable[[TrackerSample], None],
    ) -> None:
        last_ns: int | None = None
        for item in source:
            if self._stopping:
                return
            take(item)  # type: ignore[arg-type]
            last_ns = item.stamp_ns
        if not source.live:
            self._end((last_ns or 0) + round(NANOSECONDS / max(rate_hz, 1.0)))
        elif not self._stopping:
            self._end(monotonic_ns())

    def _end(self, limit_ns: int) -> None:
        with self._ends:
            self.limit_ns = limit_ns if self.limit_ns is None else min(self.limit_ns, limit_ns)

    def _find_faces(self) -> None:
        finder = self.core.evidence.faces.finder
        while not self._stopping:
            frame = self._frames.take(_IDLE_S)
            if frame is None:
                continue
            now_ns = monotonic_ns()
            if now_ns - frame.arrival_ns > _BEHIND_NS and len(self._frames) and finder.wants(frame):
                self._passed_over += 1
                continue
            self._looks.put((frame, self._look(frame, now_ns)))

    def _look(self, frame: Frame, now_ns: int) -> Look | None:
        """Look at a frame; one that can't be looked at is said and counted, several in a row end the stream."""
        try:
            with self._watch.looking(now_ns):
                look = self.core.evidence.faces.finder.see(frame)
        except Exception as error:
            self._failed_looks += 1
            self._failed_in_row += 1
            if self._failed_in_row >= _FAILED_LOOKS:
                raise
            if self._failed_in_row == 1:
                self.say(f"looking for a face failed, the next frame is tried: {error}")
            return None
        if look is not None:
            self._failed_in_row = 0
        return look


class FeedWatch:
    """Knows when a stream's threads last came round.

    Args:
        say: told once of each that hangs, and when it goes on.

    Attributes:
        counts: `camera silences`, `tracker silences` and `stuck faces` so far.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._heard_ns = {"camera": 0, "tracker": 0}
        self._silent: dict[str, int] = {}  # source -> since when
        self._looking_ns: int | None = None
        self._stuck = False
        self.counts = {"camera silences": 0, "tracker silences": 0, "stuck faces": 0}

    def start(self, now_ns: int) -> None:
        """Count from now on."""
        self._heard_ns = dict.fromkeys(self._heard_ns, now_ns)

    def heard(self, source: str) -> None:
        """Called by the thread of `camera` or `tracker` with every item."""
        self._heard_ns[source] = monotonic_ns()

    @contextmanager
    def looking(self, now_ns: int) -> Iterator[None]:
        """Held by the face thread while it looks at a frame."""
        self._looking_ns = now_ns
        try:
            yield
        finally:
            self._looking_ns = None

    def look(self, now_ns: int, excused: frozenset[str]) -> None:
        """See what hangs; called by the thread that takes the steps.

        Args:
            now_ns: host time.
            excused: sources whose driver or thread has told of its own trouble, or which have ended.
        """
        for source, heard_ns in self._heard_ns.items():
            if source in self._silent:
                if heard_ns > self._silent[source]:
                    self._say(f"the {source} sends again after {_seconds(self._silent.pop(source), heard_ns)} s")
            elif now_ns - heard_ns > _SILENT_NS and source not in excused:
                self._silent[source] = heard_ns
                self.counts[f"{source} silences"] += 1
                self._say(
                    f"nothing has come from the {source} for {_seconds(heard_ns, now_ns)} s; results hold no emotion "
                    "until it sends again"
                )
        since_ns = self._looking_ns
        stuck = since_ns is not None and now_ns - since_ns > _STUCK_NS
        if stuck and not self._stuck:
            self.counts["stuck faces"] += 1
            self._say(f"{self._told_stuck(now_ns)}; results hold no emotion until it does")
        elif self._stuck and not stuck:
            self._say("faces are looked for again")
        self._stuck = stuck

    def troubles(self, now_ns: int) -> tuple[str, ...]:
        """What hangs now, for the results."""
        return (self._told_stuck(now_ns),) if self._stuck else ()

    def _told_stuck(self, now_ns: int) -> str:
        since_ns = self._looking_ns
        return f"the look at a frame has not ended for {_seconds(now_ns if since_ns is None else since_ns, now_ns)} s"


def source_troubles(camera: Camera, tracker: Tracker) -> tuple[str, ...]:
    """What is wrong with the sources now: one that is lost, a tracker whose clock is known badly."""
    report = tracker.clock_report
    lost = () if camera.trouble is None else (f"camera lost: {camera.trouble}",)
    away = () if tracker.connected else (f"tracker lost: {tracker.description}",)
    return (*lost, *away, *(() if report is None else report.notes()))


def source_drops(camera: Camera, tracker: Tracker) -> dict[str, int]:
    """Place -> items that the sources themselves have lost."""
    return {"camera": camera.dropped, **{f"tracker {place}": count for place, count in tracker.dropped.items()}}


def _seconds(since_ns: int, now_ns: int) -> str:
    return f"{(now_ns - since_ns) / NANOSECONDS:.1f}"
