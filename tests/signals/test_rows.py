from __future__ import annotations

import math

import numpy as np
import pytest

from emer_edge.signals.rows import eye_row, raw_row, unfilled_columns
from emer_edge.spec.samples import Display, EyeReading, StimulusRect, TrackerSample

DISPLAY = Display(1920, 1080, 527.0, 296.0)
WHOLE = StimulusRect.whole(DISPLAY)


def sample(left: EyeReading, right: EyeReading) -> TrackerSample:
    return TrackerSample(None, 0, 0, left, right)


def test_millimetres_pixels_and_direction_are_derived_from_each_other() -> None:
    eye = EyeReading(gaze_px=(960, 540), position_mm=(263.5, 148.0, 650.0), pupil_mm=3.5, valid=True)
    row = raw_row(sample(eye, eye), DISPLAY, WHOLE)
    assert row[22:24] == pytest.approx((263.5, 148.0))
    assert row[6:9] == pytest.approx((0, 0, -1))
    assert row[26:28] == pytest.approx((0.5, 0.5))
    back = EyeReading(gaze_mm=(263.5, 148.0), valid=True)
    assert raw_row(sample(back, back), DISPLAY, WHOLE)[0:2] == pytest.approx((960, 540))


def test_an_eye_that_is_not_valid_is_blank_and_the_other_speaks_for_both() -> None:
    good = EyeReading(gaze_px=(100, 200), valid=True)
    bad = EyeReading(gaze_px=(900, 900), valid=False)
    row, seen = eye_row(sample(good, bad), DISPLAY, WHOLE)
    assert seen
    assert row.dtype == np.float32
    assert row[0:6].tolist() == [100, 200, 100, 200, 0, 0]
    assert row[14:16].tolist() == [1, 0]
    row, seen = eye_row(sample(bad, bad), DISPLAY, WHOLE)
    assert not seen
    assert not row.any()


def test_mcs_is_relative_to_the_stimulus() -> None:
    eye = EyeReading(gaze_px=(300, 200), valid=True)
    row = raw_row(sample(eye, eye), DISPLAY, StimulusRect(100, 100, 400, 200))
    assert row[26:28] == pytest.approx((0.5, 0.5))


def test_columns_that_a_tracker_never_fills_are_named() -> None:
    eye = EyeReading(gaze_px=(300, 200), valid=True)
    names = unfilled_columns(np.stack([raw_row(sample(eye, eye), DISPLAY, WHOLE)] * 3))
    assert "Pupil diameter left [mm]" in names
    assert "Eye position right Z [DACS mm]" in names
    assert not [each for each in names if each.startswith(("Gaze point", "Eye movement", "Validity"))]


def test_infinite_numbers_do_not_reach_the_network() -> None:
    eye = EyeReading(gaze_px=(math.inf, 2.0), pupil_mm=-math.inf, valid=True)
    row, _ = eye_row(sample(eye, eye), DISPLAY, WHOLE)
    assert np.isfinite(row).all()
