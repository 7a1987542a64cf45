"""A gaze validation on a live tracker: show a target, wait for the eyes to settle, take what comes, next target."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from emer_edge.errors import ConfigurationError, TrackerError
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.validation.measure import check_targets, measure_target, summed_up
from emer_edge.runtime.validation.present import Presenter
from emer_edge.spec.samples import Display, TrackerSample
from emer_edge.spec.validation import Validation
from emer_edge.spec.window import NANOSECONDS

__all__ = ["FIXATION_NS", "SETTLING_NS", "validate_gaze"]

SETTLING_NS: Final = 1_000_000_000
"""From a target's appearance to the first sample that counts: a saccade, a correction, and the eye at rest."""

FIXATION_NS: Final = 1_000_000_000
"""What is measured of each fixation."""

_LATE_NS: Final = 100_000_000  # samples of the fixation's end may still be under way
_POLL_S: Final = 0.01
_KEPT: Final = 20_000  # samples: two seconds and more of the fastest trackers
_SILENT_S: Final = 2.0


def validate_gaze(
    tracker: Tracker,
    display: Display,
    presenter: Presenter,
    targets_px: Sequence[tuple[float, float]],
    stopped: Callable[[], bool],
    say: Say,
) -> Validation | None:
    """Validate the gaze; takes about two seconds a target, and the tracker's samples meanwhile.

    Args:
        tracker: opened and live.
        display: what gaze and targets refer to.
        presenter: shows the targets.
        targets_px: display pixels.
        stopped: asked all the time whether to give up.
        say: told the outcome.

    Returns:
        The validation, None when `stopped` said so.

    Raises:
        ConfigurationError: the tracker is a file, or a target lies outside of the display.
        TrackerError: the tracker failed or fell silent.
    """
    if not tracker.live:
        raise ConfigurationError("the gaze of a recording can't be validated: --validate needs a live tracker")
    check_targets(targets_px, display)
    measures, eyes_mm = [], []
    with _Pump(tracker) as pump:
        try:
            presenter.begin(display)
            for number, target_px in enumerate(targets_px, 1):
                if not presenter.show(target_px, number, len(targets_px), stopped):
                    return None
                from_ns = monotonic_ns() + SETTLING_NS
                while (now_ns := monotonic_ns()) < from_ns + FIXATION_NS + _LATE_NS:
                    if stopped():
                        return None
                    pump.check()
                    presenter.refresh(min(1.0, 1 - (from_ns - now_ns) / SETTLING_NS))
                    time.sleep(_POLL_S)
                samples = pump.between(from_ns, from_ns + FIXATION_NS)
                expected = round(tracker.rate_hz * FIXATION_NS / NANOSECONDS)
                measure, eye_mm = measure_target(target_px, samples, expected, display)
                measures.append(measure)
                eyes_mm.append(eye_mm)
        finally:
            presenter.end()
    validation = summed_up(measures, eyes_mm, presenter.name)
    say(f"gaze validation: {validation}")
    for note in validation.notes():
        say(note)
    return validation


class _Pump:
    """Takes a tracker's samples in a thread, for as long as the validation lasts."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._kept: deque[TrackerSample] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="emer-edge validation", daemon=True)

    def __enter__(self) -> _Pump:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._stop = True
        self._thread.join(_SILENT_S)
        if self._thread.is_alive() and error is None:
            raise TrackerError("the tracker has fallen silent at the end of the gaze validation")

    def check(self) -> None:
        """Raise what ended the tracker."""
        if self._failure is not None:
            raise self._failure
        if not self._thread.is_alive():
            raise TrackerError("the tracker has ended during the gaze validation")

    def between(self, from_ns: int, to_ns: int) -> list[TrackerSample]:
        """Samples stamped after `from_ns` and up to `to_ns`."""
        with self._lock:
            return [each for each in self._kept if from_ns < each.stamp_ns <= to_ns]

    def _run(self) -> None:
        try:
            for sample in self._tracker:
                with self._lock:
                    self._kept.append(sample)
                if self._stop:
                    return
        except BaseException as error:  # must reach the validation, not die with the thread
            self._failure = error
