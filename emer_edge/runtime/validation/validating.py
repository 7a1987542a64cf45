"""A gaze validation on a live tracker, and accuracy and precision from the samples of its fixations.

A target is shown, the eyes settle, what comes is taken, and the next target follows.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import GAZE_POINT, POSITION
from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.samples import Display, StimulusRect, TrackerSample
from emer_edge.core.session_facts import TargetMeasure, Validation
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.validation.present import Presenter
from emer_edge.signals.rows import raw_rows

ASSUMED_DISTANCE_MM: Final = 650.0
"""Eye to display where the tracker does not say: what makers of remote trackers ask for."""

_MARGIN: Final = 0.1  # of the display, between its edge and the outer targets
_MOST: Final = 50
_EYES: Final = slice(POSITION[0].start, POSITION[1].stop)

SETTLING_NS: Final = 1_000_000_000
"""From a target's appearance to the first sample that counts: a saccade, a correction, and the eye at rest."""

FIXATION_NS: Final = 1_000_000_000
"""What is measured of each fixation."""

_LATE_NS: Final = 100_000_000  # samples of the fixation's end may still be under way
_POLL_S: Final = 0.01
_MEASURED: Final = ("gaze_x_px", "gaze_y_px", "offset_px", "offset_mm", "offset_deg", "rms_deg", "sd_deg")
_KEPT: Final = 20_000  # samples: two seconds and more of the fastest trackers
_SILENT_S: Final = 2.0


def validate_gaze(
    tracker: Tracker,
    display: Display,
    presenter: Presenter,
    targets_px: Sequence[tuple[float, float]],
    *,
    stopped: Callable[[], bool],
    say: Say,
) -> Validation | None:
    """Validate the gaze; takes about two seconds a target, and the tracker's samples meanwhile.

    Args:
        tracker: opened and live.
        display: what gaze and targets refer to.
        presenter: shows the targets.
        targets_px: display pixels.
        stopped: called all the time: whether to give up.
        say: reports the outcome.

    Returns:
        The validation, None when `stopped` said so.

    Raises:
        ConfigurationError: the tracker is a file, or a target is outside of the display.
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


def five_targets(display: Display) -> tuple[tuple[float, float], ...]:
    """The centre and four points towards the corners, display pixels."""
    low, high = _MARGIN, 1 - _MARGIN
    shares = ((0.5, 0.5), (low, low), (high, low), (high, high), (low, high))
    return tuple((x * display.width_px, y * display.height_px) for x, y in shares)


def check_targets(targets_px: Sequence[tuple[float, float]], display: Display) -> None:
    """Raise ConfigurationError unless there are targets, not too many, all of them on the display."""
    if not 1 <= len(targets_px) <= _MOST:
        raise ConfigurationError(f"a validation takes 1 to {_MOST} targets, not {len(targets_px)}")
    for x, y in targets_px:
        if not (0 <= x <= display.width_px and 0 <= y <= display.height_px):
            raise ConfigurationError(
                f"the validation target {x:g},{y:g} is outside of the display of {display.width_px}x"
                f"{display.height_px} px; say --display, or choose other --validation-targets"
            )


def measure_target(
    target_px: tuple[float, float], samples: Sequence[TrackerSample], expected: int, display: Display
) -> tuple[TargetMeasure, NDArray[np.float64]]:
    """Measure one fixation.

    Angles are those between rays from the middle of the eyes' median position, or, where the tracker does not say it,
    from `ASSUMED_DISTANCE_MM` before the display's centre.

    Args:
        target_px: where the person was to look.
        samples: of the fixation.
        expected: how many were due.
        display: turns pixels into millimetres.

    Returns:
        The measure, and the (3,) median eye position in DACS mm, NaN where the tracker does not say it.
    """
    stimulus = StimulusRect.whole(display)
    rows = raw_rows(samples, display, stimulus)
    seen = rows[~np.isnan(rows[:, 0])] if len(rows) else rows
    x_px, y_px = target_px
    expected = max(expected, len(samples))
    if not len(seen):
        unknown = dict.fromkeys(_MEASURED)
        return TargetMeasure(x_px=x_px, y_px=y_px, samples=0, expected=expected, **unknown), np.full(3, np.nan)
    per_px = np.array([display.width_mm / display.width_px, display.height_mm / display.height_px])
    eye_mm = _eye_position(seen)
    assumed = np.array([display.width_mm / 2, display.height_mm / 2, ASSUMED_DISTANCE_MM])
    eye = assumed if np.isnan(eye_mm).any() else eye_mm
    gaze_px = seen[:, GAZE_POINT]
    middle_px = np.median(gaze_px, axis=0)
    off_px = middle_px - np.array(target_px)
    rays = _rays(gaze_px * per_px, eye)
    middle = _rays(middle_px[None] * per_px, eye)
    target = _rays(np.array(target_px)[None] * per_px, eye)
    steps_deg = _angles_deg(rays[:-1], rays[1:])
    centre = gaze_px.mean(axis=0)
    spread_px = gaze_px - centre
    sideways = [
        _angles_deg(_rays((centre + spread_px * axis) * per_px, eye), _rays(centre[None] * per_px, eye))
        for axis in (np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    ]
    measure = TargetMeasure(
        x_px=x_px,
        y_px=y_px,
        gaze_x_px=float(middle_px[0]),
        gaze_y_px=float(middle_px[1]),
        offset_px=float(np.hypot(*off_px)),
        offset_mm=float(np.hypot(*(off_px * per_px))),
        offset_deg=float(_angles_deg(middle, target)[0]),
        rms_deg=float(np.sqrt(np.mean(steps_deg**2))) if len(steps_deg) else None,
        sd_deg=float(np.sqrt(sum(np.mean(offsets**2) for offsets in sideways))),
        samples=len(seen),
        expected=expected,
    )
    return measure, eye_mm


def summed_up(measures: Sequence[TargetMeasure], eyes_mm: Sequence[NDArray[np.float64]], presented: str) -> Validation:
    """Put the targets of a validation together.

    Args:
        measures: of each target.
        eyes_mm: (3,) eye position at each, NaN where not known.
        presented: how they were shown.
    """
    depths = [eye_mm[2] for eye_mm in eyes_mm if not math.isnan(eye_mm[2])]
    due = sum(measure.expected for measure in measures)
    return Validation(
        targets=tuple(measures),
        accuracy_px=_mean([measure.offset_px for measure in measures]),
        accuracy_mm=_mean([measure.offset_mm for measure in measures]),
        accuracy_deg=_mean([measure.offset_deg for measure in measures]),
        rms_deg=_mean([measure.rms_deg for measure in measures]),
        sd_deg=_mean([measure.sd_deg for measure in measures]),
        data_loss=1.0 - sum(measure.samples for measure in measures) / due if due else 1.0,
        distance_mm=float(np.median(depths)) if depths else ASSUMED_DISTANCE_MM,
        distance_known=bool(depths),
        presented=presented,
    )


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
            return [sample for sample in self._kept if from_ns < sample.stamp_ns <= to_ns]

    def _run(self) -> None:
        try:
            for sample in self._tracker:
                with self._lock:
                    self._kept.append(sample)
                if self._stop:
                    return
        except BaseException as error:  # must reach the validation, not die with the thread
            self._failure = error


def _eye_position(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median position of the middle of the eyes, or of the one that is known; NaN where none is."""
    both = rows[:, _EYES].reshape(-1, 2, 3)
    known = [both[~np.isnan(both[:, eye]).any(axis=1), eye] for eye in (0, 1)]
    medians = [np.median(positions, axis=0) for positions in known if len(positions)]
    return np.mean(medians, axis=0) if medians else np.full(3, np.nan)


def _rays(points_mm: NDArray[np.float64], eye_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) unit vectors from the eye to points of the display."""
    rays = np.column_stack([points_mm, np.zeros(len(points_mm))]) - eye_mm
    unit: NDArray[np.float64] = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return unit


def _angles_deg(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles between unit vectors; by the sine of half of them, which is exact for small ones."""
    half = np.linalg.norm(one - other, axis=1) / 2
    angles: NDArray[np.float64] = np.degrees(2 * np.arcsin(np.clip(half, 0.0, 1.0)))
    return angles


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
