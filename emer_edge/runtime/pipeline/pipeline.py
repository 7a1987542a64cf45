"""The public pipeline: a bundle, a camera and a tracker in, results out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType

from emer_edge.bundle import Bundle, load_bundle
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.baseline import BaselineMeter, check_baseline_s
from emer_edge.runtime.cameras import Camera, open_camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.evidence import replay
from emer_edge.runtime.faces import SUBJECTS, Subject
from emer_edge.runtime.markers import MarkerLog
from emer_edge.runtime.pipeline.core import AGES, STAGES, PipelineCore
from emer_edge.runtime.pipeline.live import LiveRunner, source_drops
from emer_edge.runtime.pipeline.pairing import recorded_steps, synchrony_notes
from emer_edge.runtime.pipeline.summary import Summary, resident_mb
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.session import Session
from emer_edge.runtime.tap import Tap
from emer_edge.runtime.trackers import Tracker, open_tracker
from emer_edge.runtime.trackers.base import TrackerOptions
from emer_edge.runtime.validation import Presenter, five_targets, validate_gaze
from emer_edge.spec.baseline import Baseline
from emer_edge.spec.markers import Marker
from emer_edge.spec.results import Result
from emer_edge.spec.samples import Display, StimulusRect
from emer_edge.spec.validation import Validation
from emer_edge.spec.window import NANOSECONDS

__all__ = ["Pipeline"]


class Pipeline:
    """Reads a face and an eye tracker together and gives one Result a hop.

    Use as a context manager and iterate. Sources open, and threads start, on entry.

    Args:
        bundle: a bundle or its folder.
        camera: index (`0`), device path, address, video file (see `open_camera`), or an opened camera.
        tracker: serial device, Tobii export, or an opened tracker.
        pace: `real`, or `fast` to replay two files as fast as they can be read, with nothing dropped.
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        display: the display the gaze falls on; the bundle's training display by default.
        stimulus: frame of the MCS columns; the whole display by default.
        offset_ms: added to a tracker file's times so that they match the video's.
        detect_every: faces are looked for at least on every n-th frame.
        arrival_allowance_ms: the step for a window ending at T runs at T + this.
        subject: who is followed when several faces are seen at first: `largest`, `center`, `left` or `right`, as the
            camera sees them.
        say: told in a sentence when a source goes and comes back, and when eye columns can't be right.
        baseline_s: seconds of valid data that the baseline is measured on; None: none is.
        apply_baseline: whether results carry their distance from the baseline (`from_baseline`).

    Attributes:
        bundle: what is run.
        baseline_s, apply_baseline: as above.
        markers: all markers; `markers.listen` has them told at once.
        validation: what `validate` found, None before.

    Raises:
        BundleError, EngineError, CameraError, TrackerError: on entry, what can't be opened.
        ConfigurationError: arguments that make no sense, such as `fast` on a live source.
    """

    def __init__(
        self,
        bundle: Bundle | str | Path,
        camera: str | Camera = "0",
        tracker: str | Tracker = "/dev/ttyUSB0",
        *,
        pace: str = "real",
        engine: str = "auto",
        threads: int = 1,
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
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self._camera_source, self._tracker_source = camera, tracker
        self._pace, self._engine, self._threads = pace, engine, threads
        self._display = display or self.bundle.manifest.display or Display()
        if subject not in SUBJECTS:
            raise ConfigurationError(f"the subject is {', '.join(SUBJECTS[:-1])} or {SUBJECTS[-1]}, not {subject!r}")
        self._subject = subject
        self._stimulus, self._offset_ms = stimulus, offset_ms
        self._detect_every, self._allowance_ns = detect_every, round(arrival_allowance_ms * 1e6)
        self._say = say
        self.baseline_s, self.apply_baseline = baseline_s, apply_baseline
        self._meter: BaselineMeter | None = None
        self._taps: list[Tap] = []
        self.markers = MarkerLog()
        self.validation: Validation | None = None
        self._session: Session | None = None
        self._camera: Camera | None = None
        self._tracker: Tracker | None = None
        self._core: PipelineCore | None = None
        self._runner: LiveRunner | None = None
        self._results: Iterator[Result] | None = None
        self._stopping = False
        self._began_s = monotonic()
        self._ended_s: float | None = None
        self._memory_mb: tuple[float | None, float | None, float | None] | None = None

    @property
    def opened(self) -> bool:
        """Whether it has been opened, so that there is a summary."""
        return self._results is not None

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

    def validate(
        self, presenter: Presenter, targets_px: Sequence[tuple[float, float]] | None = None
    ) -> Validation | None:
        """Have somebody look at targets, before the run, and say how far from them the gaze falls.

        Results hold a note where that is poor.

        Args:
            presenter: shows the targets.
            targets_px: display pixels; None: the centre and four towards the corners.

        Returns:
            The validation; None when `stop` was called meanwhile.

        Raises:
            ConfigurationError: the run has begun, the tracker is a file, or a target lies outside of the display.
            TrackerError: the tracker fell silent.
        """
        if self.opened:
            raise ConfigurationError("the gaze is validated before a run, not in one")
        try:
            self._prepare()
            assert self._tracker is not None
            targets = five_targets(self._display) if targets_px is None else targets_px
            self.validation = validate_gaze(
                self._tracker, self._display, presenter, targets, lambda: self._stopping, self._say
            )
        except BaseException:
            self.close()
            raise
        return self.validation

    def open(self) -> Pipeline:
        """Load the bundle, open both sources, start; entering the context does this."""
        if self._results is not None:
            return self
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def _prepare(self) -> tuple[Session, Tracker]:
        if self._session is None:
            self._session = self.bundle.open(self._engine, self._threads)
            self._session.warm_up()
        if self._tracker is None:
            self._tracker = self._opened_tracker()
        return self._session, self._tracker

    def _open(self) -> None:
        session, tracker = self._prepare()
        source = self._camera_source
        camera = self._camera = open_camera(source, self._pace, say=self._say) if isinstance(source, str) else source
        if camera.live and isinstance(source, str):
            self._say(f"camera: {camera.description}")
        if tracker.live and isinstance(self._tracker_source, str):
            self._say(f"tracker: {tracker.description}")
        notes = (*synchrony_notes(camera, tracker), *(() if self.validation is None else self.validation.notes()))
        if self.baseline_s is not None:
            length_ns = self.bundle.manifest.window.length_ns
            self._meter = BaselineMeter(self.baseline_s, length_ns, tracker.rate_hz, self.apply_baseline)
        core = self._core = PipelineCore(
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
        )
        core.evidence.taps.extend(self._taps)
        self._began_s = monotonic()
        if self._pace == "real":
            self._runner = LiveRunner(core, camera, tracker)
            start_ns = monotonic_ns()
            camera.start(start_ns)
            tracker.start(start_ns)
            self._runner.start(start_ns)
            self._results = self._runner.results()
        else:
            live = [name for name, each in (("camera", camera), ("tracker", tracker)) if each.live]
            if live:
                raise ConfigurationError(f"--pace fast replays files; the {live[0]} is live: use --pace real")
            self._results = self._replayed(core, camera, tracker)

    def _opened_tracker(self) -> Tracker:
        source = self._tracker_source
        if not isinstance(source, str):
            return source
        options = TrackerOptions(display=self._display, pace=self._pace, offset_ms=self._offset_ms, say=self._say)
        return open_tracker(source, options)

    def _replayed(self, core: PipelineCore, camera: Camera, tracker: Tracker) -> Iterator[Result]:
        frame_ns, sample_ns = (round(NANOSECONDS / max(each, 1.0)) for each in (camera.fps, tracker.rate_hz))
        steps_ns = recorded_steps(camera, tracker, self.bundle.manifest.window.hop_ns)
        for end_ns in replay(core.evidence, camera, tracker, frame_ns, sample_ns, steps_ns):
            if self._stopping:
                return
            yield core.step(end_ns)

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        self.open()
        assert self._results is not None
        try:
            return next(self._results)
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Ask for the end: iteration stops soon. Safe in a signal handler and from any thread."""
        self._stopping = True
        if self._runner is not None:
            self._runner.stop()

    def close(self) -> None:
        """Stop, close the sources and free the engines; may be called twice. `summary` still works."""
        self.stop()
        if self._ended_s is None:
            self._ended_s = monotonic()
            self._memory_mb = self._resident_mb()
        if self._runner is not None:
            self._runner.close()
        for each in (self._camera, self._tracker, self._session):
            if each is not None:
                each.close()

    def __enter__(self) -> Pipeline:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def summary(self) -> Summary:
        """What the run was like so far; raise ConfigurationError before it was opened."""
        core, camera, tracker, session = self._core, self._camera, self._tracker, self._session
        if core is None or camera is None or tracker is None or session is None:
            raise ConfigurationError("a pipeline has no summary before it is opened")
        latencies = {name: each.summary() for name, each in core.latencies.items() if each.count}
        rss_mb, peak_rss_mb, capture_rss_mb = self._memory_mb or self._resident_mb()
        faces = core.evidence.faces
        return Summary(
            seconds=(self._ended_s or monotonic()) - self._began_s,
            engine=f"{session.engine_name} ({session.device})"
            + ("" if session.detector_engine == session.engine_name else f", faces on {session.detector_engine}"),
            frames=faces.frames,
            samples=core.evidence.samples,
            detections=faces.detections,
            faces=faces.found,
            missed={why.value: count for why, count in faces.missed.most_common()},
            states={state.value: count for state, count in core.states.items() if count},
            stages={stage: latencies[stage] for stage in STAGES if stage in latencies},
            ages={age: latencies[age] for age in AGES if age in latencies},
            dropped={
                place: count for place, count in {**core.drops(), **source_drops(camera, tracker)}.items() if count
            },
            rss_mb=rss_mb,
            peak_rss_mb=peak_rss_mb,
            capture_rss_mb=capture_rss_mb,
            notes=core.notes,
            tracker=tracker.description,
            clock=tracker.clock_report,
            markers=self.markers.count,
            baseline=self.baseline,
            validation=self.validation,
            histograms={name: each.bins() for name, each in core.latencies.items() if each.count},
        )

    def _resident_mb(self) -> tuple[float | None, float | None, float | None]:
        process = None if self._camera is None else self._camera.pid
        return (*resident_mb(), None if process is None else resident_mb(process)[0])
