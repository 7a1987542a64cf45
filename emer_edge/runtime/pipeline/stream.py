"""One person's side of a run: a camera and a tracker, how they are read, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError, EmerEdgeError
from emer_edge.core.public_text import public
from emer_edge.core.samples import Display
from emer_edge.core.session_facts import Baseline, Marker, Validation
from emer_edge.core.window import NANOSECONDS
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.cameras import Camera, open_camera
from emer_edge.runtime.cameras.opening import check_camera
from emer_edge.runtime.faces import FaceDetector
from emer_edge.runtime.markers import MarkerLog
from emer_edge.runtime.options import DETECT_EVERY, MachineOptions, Source
from emer_edge.runtime.pipeline.core import PipelineCore
from emer_edge.runtime.pipeline.intake import source_drops
from emer_edge.runtime.pipeline.summary import Summary, core_summary
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.session import Session
from emer_edge.runtime.trackers import Tracker, open_tracker
from emer_edge.runtime.trackers.base import TrackerOptions
from emer_edge.runtime.trackers.registry import check_tracker
from emer_edge.runtime.validation import Presenter, five_targets, validate_gaze


class Stream:
    """A camera and a tracker that see the same person.

    Args:
        bundle: what reads them.
        source: where from, and how they are read.
        machine: at what pace.
        say: reports when a source goes and comes back, and when eye columns can't be right; the sentences begin with
            the stream's name, where it has one.

    Attributes:
        bundle, source, machine, say: as above.
        name: of the stream; None where the run reads this person alone.
        display: the display the gaze falls on.
        markers: all markers; `markers.listen` reports them at once.
        validation: of the gaze before the run, None without one.
        core: what takes the steps; None before it is opened.
    """

    def __init__(
        self, bundle: Bundle, source: Source, machine: MachineOptions = MachineOptions(), say: Say = say_to_log
    ) -> None:
        self.bundle, self.source, self.machine, self.name = bundle, source, machine, source.name
        self.display: Display = source.seen_on(bundle.manifest.display)
        title = "" if self.name is None else f"{self.name}: "
        self.say: Say = lambda sentence: say(public(f"{title}{sentence}").replace("\n", " "))
        self.markers = MarkerLog()
        self.validation: Validation | None = None
        self._listeners: list[Callable[..., None]] = []
        self._camera: Camera | None = None
        self._tracker: Tracker | None = None
        self._again = False  # whether files have started over
        self.core: PipelineCore | None = None
        self._began_s = monotonic()

    @property
    def opened(self) -> bool:
        """Whether it has been opened, so that there is a summary."""
        return self.core is not None

    @property
    def baseline(self) -> Baseline | None:
        """The session's baseline; None until it is complete, and without `BaselineOptions.seconds`."""
        return None if self.core is None else self.core.baseline

    @property
    def latencies(self) -> dict[str, LatencyRecorder]:
        """Stage or age -> its latencies; empty before it is opened."""
        return {} if self.core is None else self.core.latencies

    @property
    def camera(self) -> Camera:
        """The opened camera; raise ConfigurationError before it is opened."""
        if self._camera is None:
            raise ConfigurationError("a pipeline has no camera before it is opened")
        return self._camera

    @property
    def tracker(self) -> Tracker:
        """The opened tracker; raise ConfigurationError before it is opened."""
        if self._tracker is None:
            raise ConfigurationError("a pipeline has no tracker before it is opened")
        return self._tracker

    @property
    def described(self) -> tuple[str, str]:
        """Camera and tracker, without passwords; raise ConfigurationError before they are opened."""
        return public(self.camera.description), public(self.tracker.description)

    def listen(self, listener: Callable[..., None]) -> None:
        """Call `listener` with every item and result (`Evidence.listeners`), from the start.

        Raises:
            ConfigurationError: it is opened.
        """
        if self.opened:
            raise ConfigurationError("a pipeline that runs can't be listened to: some items have gone by")
        self._listeners.append(listener)

    def mark(self, label: str, stamp_ns: int | None = None) -> Marker:
        """Set a marker in this stream alone (`Pipeline.mark`)."""
        check_now(self.machine, stamp_ns)
        return self.markers.add(label, stamp_ns=stamp_ns)

    def problems(self) -> list[str]:
        """What is wrong with the sources, as far as can be told without opening a device: one line per problem."""
        problems: list[str] = []
        source, options = self.source, self._tracker_options()

        def live(source: object, look: Callable[[str], bool]) -> bool:
            try:
                return isinstance(source, str) and look(source)
            except EmerEdgeError as error:
                problems.append(str(error))
                return False

        machine = self.machine
        problems += filter(None, [self._refusal()])
        lives = {
            "camera": live(source.camera, lambda text: check_camera(text, machine.pace)),
            "tracker": live(source.tracker, lambda text: check_tracker(text, options)),
        }
        names = [name for name, is_live in lives.items() if is_live]
        if names and (why := _files_alone(machine)):
            problems.append(f"{why}; live: {' and '.join(names)}")
        return problems if self.name is None else [f"stream {self.name}: {problem}" for problem in problems]

    def validate(
        self, presenter: Presenter, targets_px: Sequence[tuple[float, float]] | None, stopped: Callable[[], bool]
    ) -> bool:
        """Validate the gaze (`Pipeline.validate`); false when `stopped` said so."""
        if self.name is not None:
            self.say("the gaze is validated now: look at the targets")
        targets = five_targets(self.display) if targets_px is None else targets_px
        with self._named():
            self.validation = validate_gaze(
                self._open_tracker(), self.display, presenter, targets, stopped=stopped, say=self.say
            )
        return self.validation is not None

    def open_core(self, session: Session, detector: FaceDetector) -> PipelineCore:
        """Open what is not open yet, and make the core.

        Args:
            session: the loaded bundle.
            detector: its face detector, or a twin of it.

        Raises:
            CameraError, TrackerError: what can't be opened.
            ConfigurationError: a fast replay of a live source.
        """
        with self._named():
            core = self.core = self._opened_core(session, detector)
        core.evidence.listeners.extend(self._listeners)
        self._began_s = monotonic()
        return core

    def reopen(self) -> tuple[Camera, Tracker]:
        """Open both files anew (`MachineOptions.loop`); that they start over is said the first time.

        Raises:
            CameraError, TrackerError: one can't be opened any more.
        """
        if not self._again:
            self.say("the files have ended and start over, and so do the windows: none holds data of two passes")
        self._again, dropped = True, self.camera.dropped
        with self._named():
            options = replace(self._tracker_options(), say=_unsaid)
            self._tracker = open_tracker(str(self.source.tracker or "none"), options)
            self._camera = open_camera(str(self.source.camera), self.machine.pace, say=_unsaid)
        self._camera.dropped = dropped
        return self._camera, self._tracker

    def summary(self, ended_s: float | None, engine: str) -> Summary:
        """What this stream was like so far, without memory, which all share.

        Args:
            ended_s: host time of the end, None while the run goes on.
            engine: engine and device.

        Raises:
            ConfigurationError: it was never opened.
        """
        core = self.core
        if core is None:
            raise ConfigurationError("a pipeline has no summary before it is opened")
        return core_summary(
            core,
            seconds=(ended_s or monotonic()) - self._began_s,
            engine=engine,
            dropped={**core.drops(), **source_drops(self.camera, self.tracker)},
            tracker=public(self.tracker.description),
            clock=self.tracker.clock_report,
            markers=self.markers.count,
            baseline=self.baseline,
            validation=self.validation,
        )

    def close_sources(self) -> None:
        """Close both sources; may be called twice."""
        for source in (self._camera, self._tracker):
            if source is not None:
                source.close()

    def refuse_blind(self) -> None:
        """Raise ConfigurationError where there is no eye tracker, and the bundle or an option needs one."""
        with self._named():
            if (refusal := self._refusal()) is not None:
                raise ConfigurationError(refusal)

    def _refusal(self) -> str | None:
        absent = self.source.tracker is None if self._tracker is None else self._tracker.absent
        refusal = self.bundle.manifest.blind_refusal if absent else None
        return refusal and f"without an eye tracker nothing can be read: {refusal}; name one with --tracker"

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Have errors name the stream."""
        try:
            yield
        except EmerEdgeError as error:
            if self.name is not None:
                error.args = (f"stream {self.name}: {error}",)
            raise

    def _tracker_options(self) -> TrackerOptions:
        offset_ms, pace = self.source.offset_ms, self.machine.pace
        return TrackerOptions(display=self.display, pace=pace, offset_ms=offset_ms, say=self.say)

    def _open_tracker(self) -> Tracker:
        if self._tracker is None:
            source = "none" if self.source.tracker is None else self.source.tracker
            self._tracker = open_tracker(source, self._tracker_options()) if isinstance(source, str) else source
            self.refuse_blind()
        return self._tracker

    def _opened_core(self, session: Session, detector: FaceDetector) -> PipelineCore:
        source, pace = self.source, self.machine.pace
        tracker = self._open_tracker()
        camera = self._camera = (
            open_camera(source.camera, pace, say=self.say) if isinstance(source.camera, str) else source.camera
        )
        for word, opened, given in (("camera", camera, source.camera), ("tracker", tracker, source.tracker)):
            if opened.live and (why := _files_alone(self.machine)):
                raise ConfigurationError(f"{why}; the {word} is live")
            if self.machine.loop and not isinstance(given, str | None):
                raise ConfigurationError(f"files that start over are opened anew: give the {word}'s address")
            if opened.live and isinstance(given, str):
                self.say(f"{word}: {public(opened.description)}")
        if not camera.live and source.faces.detect_every is None:  # a file waits for every look
            source = replace(source, faces=replace(source.faces, detect_every=DETECT_EVERY))
        if tracker.absent:
            self.say("no eye tracker: what the face shows is read alone (FER); --tracker names one")
        _check_meeting(camera, tracker)
        for note in (*camera.notes, *tracker.notes):
            self.say(note)
        validated = () if self.validation is None else self.validation.notes()
        looped = ("files that start over are read: the same data again and again",) if self.machine.loop else ()
        notes = (*looped, *_synchrony_notes(camera, tracker), *camera.notes, *tracker.notes, *validated)
        of_run: dict[str, Any] = {"say": self.say, "markers": self.markers, "detector": detector}
        return PipelineCore(session, tracker.rate_hz, source, eyes=not tracker.absent, notes=notes, **of_run)


def _unsaid(_: str) -> None:
    """Takes what was said already when the files were opened first."""


def _files_alone(machine: MachineOptions) -> str:
    """Why a live source is refused; empty where none is."""
    if machine.loop:
        return "--loop starts files over, and a device has no end"
    return "--pace fast replays files, use --pace real" if machine.pace == "fast" else ""


def check_now(machine: MachineOptions, stamp_ns: int | None) -> None:
    """Raise ConfigurationError for a marker without a time in a fast replay."""
    if stamp_ns is None and machine.pace == "fast":
        raise ConfigurationError("a fast replay has no now: give a marker its time in the recording (stamp_ns)")


def _check_meeting(camera: Camera, tracker: Tracker) -> None:
    """Raise ConfigurationError where a video's and a tracker file's times lie apart, as far as both are known."""
    length_ns, span_ns = getattr(camera, "length_ns", None), getattr(tracker, "span_ns", None)
    if span_ns is None or length_ns is None or (span_ns[1] >= 0 and span_ns[0] <= length_ns):
        return
    first_s, last_s, length_s = (time_ns / NANOSECONDS for time_ns in (*span_ns, length_ns))
    raise ConfigurationError(
        f"the tracker's times ({first_s:.1f} to {last_s:.1f} s) do not meet the video's (0.0 to {length_s:.1f} s); "
        "give what puts them on the video's clock as --offset-ms, or leave it out to start both together"
    )


def _synchrony_notes(camera: Camera, tracker: Tracker) -> tuple[str, ...]:
    """How the two sources' times relate, for readers of results."""
    if tracker.absent:
        return ()
    if camera.live != tracker.live:
        live, played = ("camera", "tracker") if camera.live else ("tracker", "video")
        return (f"unsynchronised: the {live} is live, the {played} is a file played beside it",)
    if not tracker.synchronised:
        return ("unsynchronised: nobody has said how the video's and the tracker's times relate; use --offset-ms",)
    return ()
