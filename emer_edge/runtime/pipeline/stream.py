"""One person's side of a run: a camera and a tracker, how they are read, and what has been found."""

from __future__ import annotations

from time import monotonic

from emer_edge.bundle import Bundle
from emer_edge.errors import ConfigurationError, EmerEdgeError
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.baseline import BaselineMeter, check_baseline_s
from emer_edge.runtime.cameras import Camera, open_camera
from emer_edge.runtime.faces import SUBJECTS, FaceDetector, Subject
from emer_edge.runtime.markers import MarkerLog
from emer_edge.runtime.pipeline.core import PipelineCore
from emer_edge.runtime.pipeline.pairing import synchrony_notes
from emer_edge.runtime.pipeline.summary import Summary, core_summary
from emer_edge.runtime.pipeline.watch import source_drops
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.session import Session
from emer_edge.runtime.tap import Tap
from emer_edge.runtime.trackers import Tracker, open_tracker
from emer_edge.runtime.trackers.base import TrackerOptions
from emer_edge.spec.baseline import Baseline
from emer_edge.spec.markers import Marker
from emer_edge.spec.samples import Display, StimulusRect
from emer_edge.spec.validation import Validation

__all__ = ["Stream"]


class Stream:
    """A camera and a tracker that see the same person.

    Args:
        bundle: what reads them.
        camera, tracker: sources, or opened ones.
        name: of the stream, where one run reads several; None where it reads one.
        pace, display, stimulus, offset_ms, detect_every, arrival_allowance_ms, subject, say, baseline_s,
            apply_baseline: see `Pipeline`.

    Attributes:
        bundle, name, baseline_s, apply_baseline: as above.
        markers: all markers; `markers.listen` has them told at once.
        keep_originals: whether a camera that sends JPEGs is asked for them; set before it is opened.
        validation: of the gaze before the run, None without one.

    Raises:
        ConfigurationError: arguments that make no sense.
    """

    def __init__(
        self,
        bundle: Bundle,
        camera: str | Camera,
        tracker: str | Tracker,
        *,
        name: str | None = None,
        pace: str = "real",
        display: Display | None = None,
        stimulus: StimulusRect | None = None,
        offset_ms: float | None = None,
        detect_every: int = 5,
        arrival_allowance_ms: float = 50.0,
        subject: Subject = "largest",
        say: Say = say_to_log,
        baseline_s: float | None = None,
        apply_baseline: bool = False,
    ) -> None:
        if pace not in ("real", "fast"):
            raise ConfigurationError(f"the pace is real or fast, not {pace!r}")
        if not 0 <= arrival_allowance_ms <= 1000:
            raise ConfigurationError(f"the arrival allowance must lie in 0 to 1000 ms, not {arrival_allowance_ms:g}")
        if baseline_s is not None:
            check_baseline_s(baseline_s)
        elif apply_baseline:
            raise ConfigurationError("a baseline can be applied only where one is measured: add --baseline 30s")
        if subject not in SUBJECTS:
            raise ConfigurationError(f"the subject is {', '.join(SUBJECTS[:-1])} or {SUBJECTS[-1]}, not {subject!r}")
        self.bundle, self.name = bundle, name
        self._camera_source, self._tracker_source = camera, tracker
        self._pace = pace
        self._display = display or bundle.manifest.display or Display()
        self._stimulus, self._offset_ms = stimulus, offset_ms
        self._subject: Subject = subject
        self._detect_every, self._allowance_ns = detect_every, round(arrival_allowance_ms * 1e6)
        self._say: Say = say if name is None else lambda sentence: say(f"{name}: {sentence}")
        self.baseline_s, self.apply_baseline = baseline_s, apply_baseline
        self._meter: BaselineMeter | None = None
        self._taps: list[Tap] = []
        self.markers = MarkerLog()
        self.keep_originals = False
        self.validation: Validation | None = None
        self._camera: Camera | None = None
        self._tracker: Tracker | None = None
        self._core: PipelineCore | None = None
        self._stopping = False
        self._began_s = monotonic()

    @property
    def opened(self) -> bool:
        """Whether it has been opened, so that there is a summary."""
        return self._core is not None

    @property
    def baseline(self) -> Baseline | None:
        """The session's baseline; None until it is complete, and where none was asked for."""
        return None if self._meter is None else self._meter.baseline

    @property
    def pace(self) -> str:
        """`real` or `fast`."""
        return self._pace

    @property
    def stopping(self) -> bool:
        """Whether the end has been asked for."""
        return self._stopping

    @property
    def sources(self) -> tuple[str, str]:
        """Camera and tracker in a line each, without passwords; raise ConfigurationError before they are opened."""
        if self._camera is None or self._tracker is None:
            raise ConfigurationError("a pipeline has no sources before it is opened")
        return self._camera.description, self._tracker.description

    @property
    def told(self) -> str:
        """What is read, in a line, once it is opened."""
        return " and ".join(self.sources)

    @property
    def display(self) -> Display:
        """The display the gaze falls on."""
        return self._display

    @property
    def stimulus(self) -> StimulusRect | None:
        """Frame of the MCS columns; None for the whole display."""
        return self._stimulus

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
    def face_settings(self) -> tuple[int, Subject]:
        """Every how many frames a face is looked for at least, and whose."""
        return self._detect_every, self._subject

    @property
    def allowance_ns(self) -> int:
        """How long a window waits for late items."""
        return self._allowance_ns

    @property
    def say(self) -> Say:
        """Told in a sentence what the person who watches should know."""
        return self._say

    def tap(self, tap: Tap) -> None:
        """Have every item and step told to `tap`, from the start; ConfigurationError once it is opened."""
        if self.opened:
            raise ConfigurationError("a pipeline that runs can't be tapped: some items have gone by")
        self._taps.append(tap)

    def mark(self, label: str, stamp_ns: int | None = None) -> Marker:
        """Set a marker; from any thread.

        Args:
            label: what it is called.
            stamp_ns: when it was, in the results' time; None: now.

        Raises:
            ConfigurationError: an empty label, or no time in a fast replay, whose time is the recording's.
        """
        if stamp_ns is None and self._pace == "fast":
            raise ConfigurationError("a fast replay has no now: give a marker its time in the recording (stamp_ns)")
        return self.markers.add(label, stamp_ns=stamp_ns)

    def open_tracker(self) -> Tracker:
        """Open the tracker, unless it is."""
        if self._tracker is None:
            source = self._tracker_source
            options = TrackerOptions(display=self._display, pace=self._pace, offset_ms=self._offset_ms, say=self._say)
            self._tracker = open_tracker(source, options) if isinstance(source, str) else source
        return self._tracker

    @property
    def latencies(self) -> dict[str, LatencyRecorder]:
        """Stage or age -> its latencies; empty before it is opened."""
        return {} if self._core is None else self._core.latencies

    def open_core(self, session: Session, detector: FaceDetector) -> PipelineCore:
        """Open what is not open yet, and make the core.

        Args:
            session: the loaded bundle.
            detector: its face detector, or a twin of it.

        Raises:
            CameraError, TrackerError: what can't be opened.
            ConfigurationError: a fast replay of a live source.
        """
        try:
            core = self._core = self._opened_core(session, detector)
        except EmerEdgeError as error:
            if self.name is not None:
                error.args = (f"stream {self.name}: {error}",)
            raise
        core.evidence.taps.extend(self._taps)
        self._began_s = monotonic()
        return core

    def _opened_core(self, session: Session, detector: FaceDetector) -> PipelineCore:
        tracker = self.open_tracker()
        source = self._camera_source
        camera = self._camera = (
            open_camera(source, self._pace, say=self._say, originals=self.keep_originals)
            if isinstance(source, str)
            else source
        )
        for word, each, given in (("camera", camera, source), ("tracker", tracker, self._tracker_source)):
            if each.live and self._pace == "fast":
                raise ConfigurationError(f"--pace fast replays files; the {word} is live: use --pace real")
            if each.live and isinstance(given, str):
                self._say(f"{word}: {each.description}")
        notes = (*synchrony_notes(camera, tracker), *(() if self.validation is None else self.validation.notes()))
        if self.baseline_s is not None:
            length_ns = self.bundle.manifest.window.length_ns
            self._meter = BaselineMeter(self.baseline_s, length_ns, tracker.rate_hz, self.apply_baseline)
        return PipelineCore(
            session,
            tracker.rate_hz,
            self._display,
            self._stimulus,
            notes,
            self._detect_every,
            self._allowance_ns,
            self._say,
            self._subject,
            self.markers,
            self._meter,
            detector,
            self.name,
        )

    def stream_summary(self, ended_s: float | None, engine: str) -> Summary:
        """What this stream was like so far, without memory, which all share.

        Args:
            ended_s: host time of the end, None while the run goes on.
            engine: engine and device.

        Raises:
            ConfigurationError: it was never opened.
        """
        core = self._core
        if core is None or self._camera is None or self._tracker is None:
            raise ConfigurationError("a pipeline has no summary before it is opened")
        return core_summary(
            core,
            seconds=(ended_s or monotonic()) - self._began_s,
            engine=engine,
            dropped={**core.drops(), **source_drops(self._camera, self._tracker)},
            tracker=self._tracker.description,
            clock=self._tracker.clock_report,
            markers=self.markers.count,
            baseline=self.baseline,
            validation=self.validation,
        )

    def ask_to_stop(self) -> None:
        """Remember that the end was asked for; safe in a signal handler."""
        self._stopping = True

    def close_sources(self) -> None:
        """Close both sources; may be called twice."""
        for each in (self._camera, self._tracker):
            if each is not None:
                each.close()
