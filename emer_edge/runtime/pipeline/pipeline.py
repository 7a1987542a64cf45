"""The public pipeline: a bundle, a camera and a tracker in, results out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from emer_edge.bundle import Bundle, load_bundle
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.evidence import replay
from emer_edge.runtime.faces import Subject
from emer_edge.runtime.pipeline.core import PipelineCore
from emer_edge.runtime.pipeline.machine import Machine
from emer_edge.runtime.pipeline.pairing import recorded_steps
from emer_edge.runtime.pipeline.running import Running
from emer_edge.runtime.pipeline.stream import Stream
from emer_edge.runtime.pipeline.summary import Summary
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.validation import Presenter, five_targets, validate_gaze
from emer_edge.spec.results import Result
from emer_edge.spec.samples import Display, StimulusRect
from emer_edge.spec.validation import Validation
from emer_edge.spec.window import NANOSECONDS

__all__ = ["Pipeline"]


class Pipeline(Stream, Running):
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
        super().__init__(
            bundle if isinstance(bundle, Bundle) else load_bundle(bundle),
            camera,
            tracker,
            pace=pace,
            display=display,
            stimulus=stimulus,
            offset_ms=offset_ms,
            detect_every=detect_every,
            arrival_allowance_ms=arrival_allowance_ms,
            subject=subject,
            say=say,
            baseline_s=baseline_s,
            apply_baseline=apply_baseline,
        )
        self._machine = Machine(self.bundle, engine, threads, say)

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
            _ = self._machine.session  # first, as it may take minutes where engines are built
            tracker = self.open_tracker()
            targets = five_targets(self._display) if targets_px is None else targets_px
            self.validation = validate_gaze(
                tracker, self._display, presenter, targets, lambda: self._stopping, self._say
            )
        except BaseException:
            self.close()
            raise
        return self.validation

    def _begin(self) -> Iterator[Result]:
        if self._pace == "real":
            return self._machine.run([self])
        session = self._machine.session
        core = self.open_core(session, session.detector)
        return self._replayed(core, self.camera, self.tracker)

    def _replayed(self, core: PipelineCore, camera: Camera, tracker: Tracker) -> Iterator[Result]:
        frame_ns, sample_ns = (round(NANOSECONDS / max(each, 1.0)) for each in (camera.fps, tracker.rate_hz))
        steps_ns = recorded_steps(camera, tracker, self.bundle.manifest.window.hop_ns)
        for end_ns in replay(core.evidence, camera, tracker, frame_ns, sample_ns, steps_ns):
            if self._stopping:
                return
            yield core.step(end_ns)

    def stop(self) -> None:
        """Ask for the end: iteration stops soon. Safe in a signal handler and from any thread."""
        self.ask_to_stop()
        self._machine.stop()

    def close(self) -> None:
        """Stop, close the sources and free the engines; may be called twice. `summary` still works."""
        self.ask_to_stop()
        self._machine.close([self])

    def summary(self) -> Summary:
        """What the run was like so far; raise ConfigurationError before it was opened."""
        machine = self._machine
        summary = self.stream_summary(machine.ended_s, machine.told)
        return replace(summary, dropped=summary.dropped | machine.dropped, **machine.memory_mb([self]))
