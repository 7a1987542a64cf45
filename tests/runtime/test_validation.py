"""Gaze validation: the arithmetic on synthetic fixations, and a tracker on a pseudo-terminal that looks at targets."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from machine import needs
from runtime_inputs import RATE_HZ, LiveCamera, LiveTracker, sample, scene

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.samples import MISSING_2, MISSING_3, Display, EyeReading, TrackerSample
from emer_edge.core.session_facts import Validation
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.trackers import Tracker, TrackerOptions, open_tracker
from emer_edge.runtime.trackers.formats.emer import EMER
from emer_edge.runtime.validation import five_targets, presenter, validate_gaze
from emer_edge.runtime.validation.present import Presenter, TerminalPresenter, has_window, target_image
from emer_edge.runtime.validation.validating import ASSUMED_DISTANCE_MM, check_targets, measure_target, summed_up
from emer_edge.tools.simulate.transport import TerminalTransport

DISPLAY = Display()
PX_MM = (527.0 / 1920, 296.0 / 1080)
EYE_MM = (263.5, 148.0, 600.0)

HEADLESS = re.search(r"GUI: +NONE", cv2.getBuildInformation()) is not None


def look(point_px: tuple[float, float], stamp_ns: int, eye_mm: tuple[float, float, float] = EYE_MM) -> TrackerSample:
    eye = EyeReading(point_px, MISSING_2, MISSING_3, eye_mm, 3.3, True)
    return TrackerSample(stamp_ns, stamp_ns, stamp_ns, eye, eye)


def angle_deg(one_px: tuple[float, float], other_px: tuple[float, float], eye_mm: tuple[float, float, float]) -> float:
    rays = [np.array([x * PX_MM[0] - eye_mm[0], y * PX_MM[1] - eye_mm[1], -eye_mm[2]]) for x, y in (one_px, other_px)]
    cosine = np.dot(*rays) / np.prod([np.linalg.norm(each) for each in rays])
    return math.degrees(math.acos(cosine))


def test_offsets_are_those_put_in() -> None:
    target = (192.0, 108.0)
    gaze = (232.0, 78.0)
    measure, eye_mm = measure_target(target, [look(gaze, at) for at in range(60)], 60, DISPLAY)
    np.testing.assert_allclose(eye_mm, EYE_MM)
    assert measure.offset_px == pytest.approx(50.0)
    assert measure.offset_mm == pytest.approx(math.hypot(40 * PX_MM[0], 30 * PX_MM[1]))
    assert measure.offset_deg == pytest.approx(angle_deg(target, gaze, EYE_MM), rel=1e-6)
    assert (measure.rms_deg, measure.sd_deg) == (0.0, 0.0)
    assert (measure.gaze_x_px, measure.gaze_y_px, measure.samples, measure.expected) == (232.0, 78.0, 60, 60)


def test_precision_is_that_of_the_noise() -> None:
    rng = np.random.default_rng(0)
    middle, sigma_px = (960.0, 540.0), 8.0
    samples = [look((middle[0] + x, middle[1] + y), at) for at, (x, y) in enumerate(rng.normal(0, sigma_px, (4000, 2)))]
    measure, _ = measure_target(middle, samples, 4000, DISPLAY)
    one_px_deg = math.degrees(math.atan(PX_MM[0] / EYE_MM[2]))
    # Independent noise of sigma in x and y: SD sqrt(2) sigma, from sample to sample 2 sigma.
    assert measure.sd_deg == pytest.approx(math.sqrt(2) * sigma_px * one_px_deg, rel=0.03)
    assert measure.rms_deg == pytest.approx(2 * sigma_px * one_px_deg, rel=0.03)
    assert measure.offset_px == pytest.approx(0.0, abs=0.5)


def test_the_median_forgives_a_blink_and_counts_it() -> None:
    good = [look((970.0, 540.0), at) for at in range(50)]
    wild = [look((100.0, 900.0), at) for at in range(50, 60)]
    closed = [sample(at, seen=False) for at in range(60, 90)]
    measure, _ = measure_target((960.0, 540.0), [*good, *wild, *closed], 120, DISPLAY)
    assert measure.offset_px == pytest.approx(10.0)
    assert (measure.samples, measure.expected) == (60, 120)


def test_without_eye_positions_the_distance_is_assumed_and_said() -> None:
    target, gaze = (960.0, 540.0), (1056.0, 540.0)
    measure, eye_mm = measure_target(target, [look(gaze, at, MISSING_3) for at in range(60)], 60, DISPLAY)
    assert measure.offset_deg == pytest.approx(math.degrees(math.atan(96 * PX_MM[0] / ASSUMED_DISTANCE_MM)))
    validation = summed_up([measure], [eye_mm], "terminal")
    assert (validation.distance_mm, validation.distance_known) == (650.0, False)
    assert "650 mm assumed" in str(validation)
    assert validation.notes() == (
        "gaze validation: 2.3 degrees off on average, more than 2: calibrate the tracker again, and check --display",
    )


def test_losses_are_said() -> None:
    seen = measure_target((960.0, 540.0), [look((960.0, 540.0), at) for at in range(60)], 120, DISPLAY)
    unseen = measure_target((192.0, 108.0), [], 120, DISPLAY)
    validation = summed_up([seen[0], unseen[0]], [seen[1], unseen[1]], "terminal")
    assert validation.data_loss == pytest.approx(0.75)
    assert validation.accuracy_px == 0.0
    assert validation.distance_known
    assert validation.notes() == (
        "gaze validation: no gaze on 1 of 2 targets",
        "gaze validation: 75% of the samples were missing or invalid",
    )
    nothing = summed_up([unseen[0]], [unseen[1]], "terminal")
    assert nothing.accuracy_deg is None
    assert str(nothing) == "no gaze on any of 1 targets"
    assert nothing.notes() == ("gaze validation: no gaze on 1 of 1 targets",)


def test_five_targets_lie_on_the_display() -> None:
    targets = five_targets(Display(1000, 500, 400.0, 200.0))
    assert targets == ((500.0, 250.0), (100.0, 50.0), (900.0, 50.0), (900.0, 450.0), (100.0, 450.0))
    check_targets(targets, Display(1000, 500, 400.0, 200.0))
    with pytest.raises(ConfigurationError, match="outside of the display of 1920x1080"):
        check_targets([(1921.0, 5.0)], DISPLAY)
    with pytest.raises(ConfigurationError, match="not 0"):
        check_targets([], DISPLAY)


class Looker(Presenter):
    """Shows targets to eyes on a pseudo-terminal: they reach each after 0.2 s, off by `offset_px` and noise."""

    name = "terminal"

    def __init__(self, offset_px: tuple[float, float], noise_px: float) -> None:
        self._transport = TerminalTransport(EMER, DISPLAY)
        self.source = f"{self._transport.address}?format=emer&rate={RATE_HZ}"
        self._offset_px, self._noise_px = offset_px, noise_px
        self._from = self._to = (960.0, 540.0)
        self._shown_s = -1.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()
        self.ended = False

    def show(self, target_px: tuple[float, float], number: int, total: int, stopped: Callable[[], bool]) -> bool:
        self._from, self._to, self._shown_s = self._to, target_px, time.monotonic()
        return not stopped()

    def end(self) -> None:
        self.ended = True

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._transport.close()

    def _send(self) -> None:
        rng = np.random.default_rng(0)
        began_s, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, began_s + number / RATE_HZ - time.monotonic())):
            there = self._to if time.monotonic() - self._shown_s > 0.2 else self._from
            x, y = np.array(there) + self._offset_px + rng.normal(0, self._noise_px, 2)
            self._transport.send(look((float(x), float(y)), round(number * 1e9 / RATE_HZ)))
            number += 1


def test_a_tracker_that_looks_at_targets_is_measured_as_it_is() -> None:
    looker = Looker(offset_px=(24.0, -18.0), noise_px=4.0)
    said: list[str] = []
    targets = ((192.0, 108.0), (1728.0, 972.0))
    try:
        with open_tracker(looker.source, TrackerOptions(display=DISPLAY)) as tracker:
            validation = validate_gaze(tracker, DISPLAY, looker, targets, stopped=lambda: False, say=said.append)
            assert next(tracker).left.valid  # the run has the tracker after that
    finally:
        looker.close()
    assert validation is not None
    assert looker.ended
    assert validation.accuracy_px == pytest.approx(30.0, abs=2.0)
    expected_deg = np.mean([angle_deg(each, (each[0] + 24.0, each[1] - 18.0), EYE_MM) for each in targets])
    assert validation.accuracy_deg == pytest.approx(expected_deg, abs=0.05)
    for target, each in zip(targets, validation.targets, strict=True):
        assert (each.x_px, each.y_px) == target
        assert each.offset_px == pytest.approx(30.0, abs=3.0)
        # In the corners a pixel is a smaller angle: of the noise along the line from the centre by cos^2.
        assert each.sd_deg is not None
        assert 0.7 < each.sd_deg / math.degrees(math.atan(math.sqrt(2) * 4.0 * PX_MM[0] / EYE_MM[2])) < 1.1
    assert validation.data_loss < 0.1
    assert validation.distance_mm == pytest.approx(600.0, abs=0.1)
    assert validation.distance_known
    assert validation.notes() == ()
    assert said == [f"gaze validation: {validation}"]


def test_a_poor_validation_is_in_every_result_and_the_summary(bundle: Bundle) -> None:
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker(), say=lambda sentence: None)
    assert pipeline.validate(TerminalPresenter(lambda sentence: None), [(192.0, 108.0)])
    validation = pipeline.streams[None].validation
    assert validation is not None
    assert validation.targets[0].gaze_x_px == 960.0
    with pipeline:
        result = next(pipeline)
        with pytest.raises(ConfigurationError, match="before a run"):
            pipeline.validate(TerminalPresenter(print))
    assert any("degrees off on average" in note for note in result.notes)
    assert pipeline.summary().validation == validation


def test_a_validation_can_be_stopped(bundle: Bundle) -> None:
    said: list[str] = []
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker(), say=said.append)
    threading.Timer(0.5, pipeline.stop).start()
    assert not pipeline.validate(TerminalPresenter(said.append))
    pipeline.close()
    assert said == ["target 1 of 5: look at x 960, y 540 px"]


def test_a_tracker_that_falls_silent_or_fails_is_one_error() -> None:
    class Failing(LiveTracker):
        def __next__(self) -> TrackerSample:
            if self._index > 20:
                raise TrackerError("test tracker was pulled out")
            return super().__next__()

    def validated(tracker: Tracker) -> Validation | None:
        quiet = TerminalPresenter(lambda sentence: None)
        return validate_gaze(
            tracker, DISPLAY, quiet, [(960.0, 540.0)], stopped=lambda: False, say=lambda sentence: None
        )

    with pytest.raises(TrackerError, match="pulled out"):
        validated(Failing())
    silent = LiveTracker(silent_s=0.3)
    with pytest.raises(TrackerError, match="fallen silent"):
        validated(silent)
    silent.close()


def test_a_file_is_not_validated(bundle: Bundle, video: Path, tracker: Path) -> None:
    pipeline = Pipeline(bundle, str(video), str(tracker), offset_ms=0.0)
    with pytest.raises(ConfigurationError, match="needs a live tracker"):
        pipeline.validate(TerminalPresenter(print))


def test_without_a_display_the_terminal_says_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_window()
    assert presenter("auto", print).name == "terminal"
    with pytest.raises(ConfigurationError, match="--validation-by terminal"):
        presenter("window", print)
    with pytest.raises(ConfigurationError, match="auto, window, terminal"):
        presenter("paper", print)


def test_a_display_that_refuses_is_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", "127.0.0.1:9")  # nobody listens: OpenCV's window code would abort this process
    assert not has_window()


def test_a_target_is_drawn_where_it_is() -> None:
    image = target_image((192.0, 108.0), DISPLAY)
    assert image.shape == (1080, 1920, 3)
    assert tuple(image[108, 192]) == (255, 255, 255)
    assert tuple(image[108, 192 + 20]) == (0, 0, 0)
    assert tuple(image[108, 192 + 60]) == (128, 128, 128)
    assert tuple(target_image((192.0, 108.0), DISPLAY, 1.0)[108, 192 + 20]) == (128, 128, 128)
    assert (target_image((0.0, 1080.0), DISPLAY) != 128).any()


@pytest.mark.skipif(
    "GUI:                           NONE" in cv2.getBuildInformation(), reason="this OpenCV is headless"
)
@needs("Xvfb")
def test_a_window_fills_the_display_with_targets() -> None:
    code = (
        "from emer_edge.runtime.validation.present import has_window, presenter\n"
        "from emer_edge.core.samples import Display\n"
        "assert has_window()\n"
        "shown = presenter('auto', print)\n"
        "shown.begin(Display(800, 600))\n"
        "print(shown.name, shown.show((10.0, 10.0), 1, 1, lambda: False), shown._fills())\n"
        "shown.refresh(0.5)\nshown.end()\n"
    )
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    try:
        os.close(write)
        display = f":{os.read(read, 16).decode().strip()}"
        environment = os.environ | {"DISPLAY": display}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    finally:
        os.close(read)
        server.terminate()
        server.wait(10)
    assert done.stdout.strip() == "window True True", done.stderr
