from __future__ import annotations

import math

import numpy as np
import pytest

from emer_edge.core.columns import COLUMN_KEYS, column_words
from emer_edge.core.samples import Display, EyeReading, StimulusRect, TrackerSample
from emer_edge.signals.rows import network_rows, raw_rows, unfilled_columns

DISPLAY = Display(1920, 1080, 527.0, 296.0)
WHOLE = StimulusRect.whole(DISPLAY)


def sample(left: EyeReading, right: EyeReading) -> TrackerSample:
    return TrackerSample(None, 0, 0, left, right)


def test_millimetres_pixels_and_direction_are_derived_from_each_other() -> None:
    eye = EyeReading(gaze_px=(960, 540), position_mm=(263.5, 148.0, 650.0), pupil_mm=3.5, valid=True)
    row = raw_rows([sample(eye, eye)], DISPLAY, WHOLE)[0]
    assert row[22:24] == pytest.approx((263.5, 148.0))
    assert row[6:9] == pytest.approx((0, 0, -1))
    assert row[26:28] == pytest.approx((0.5, 0.5))
    back = EyeReading(gaze_mm=(263.5, 148.0), valid=True)
    assert raw_rows([sample(back, back)], DISPLAY, WHOLE)[0, 0:2] == pytest.approx((960, 540))


def test_an_eye_that_is_not_valid_is_blank_and_the_other_speaks_for_both() -> None:
    good = EyeReading(gaze_px=(100, 200), valid=True)
    bad = EyeReading(gaze_px=(900, 900), valid=False)
    row = network_rows(raw_rows([sample(good, bad)], DISPLAY, WHOLE))[0]
    assert row.dtype == np.float32
    assert row[0:6].tolist() == [100, 200, 100, 200, 0, 0]
    assert row[14:16].tolist() == [1, 0]
    assert not network_rows(raw_rows([sample(bad, bad)], DISPLAY, WHOLE)).any()


def test_mcs_is_relative_to_the_stimulus() -> None:
    eye = EyeReading(gaze_px=(300, 200), valid=True)
    row = raw_rows([sample(eye, eye)], DISPLAY, StimulusRect(100, 100, 400, 200))[0]
    assert row[26:28] == pytest.approx((0.5, 0.5))


def test_columns_that_a_tracker_never_fills_are_named() -> None:
    eye = EyeReading(gaze_px=(300, 200), valid=True)
    names = unfilled_columns(raw_rows([sample(eye, eye)] * 3, DISPLAY, WHOLE))
    assert "Pupil diameter left [mm]" in names
    assert "Eye position right Z [DACS mm]" in names
    assert not [name for name in names if name.startswith(("Gaze point", "Eye movement", "Validity"))]


def test_infinite_numbers_do_not_reach_the_network() -> None:
    eye = EyeReading(gaze_px=(math.inf, 2.0), pupil_mm=-math.inf, valid=True)
    assert np.isfinite(network_rows(raw_rows([sample(eye, eye)], DISPLAY, WHOLE))).all()


LAPTOP = Display(1366, 768, 344.0, 194.0)
MONITOR = Display(2560, 1440, 597.0, 336.0)


@pytest.mark.parametrize("display", [DISPLAY, LAPTOP, MONITOR], ids=["training", "laptop", "monitor"])
def test_every_column_that_a_gaze_point_and_an_eye_give_is_filled(display: Display) -> None:
    """A fraction of the display and two eye positions, as Gazepoint sends them: all but the pupils follow."""
    stimulus = StimulusRect(0.25 * display.width_px, 0.0, 0.5 * display.width_px, float(display.height_px))
    eyes = []
    for shift in (-31.0, 31.0):
        fraction = (0.75, 0.25)
        eyes.append(
            EyeReading(
                gaze_px=(fraction[0] * display.width_px, fraction[1] * display.height_px),
                position_mm=(display.width_mm / 2 + shift, display.height_mm / 2, 600.0),
                valid=True,
            )
        )
    row = raw_rows([sample(*eyes)], display, stimulus)[0]
    assert unfilled_columns(row[None]) == ("Pupil diameter left [mm]", "Pupil diameter right [mm]")
    assert row[22:26] == pytest.approx((0.75 * display.width_mm, 0.25 * display.height_mm) * 2)
    assert row[26:32] == pytest.approx((1.0, 0.25) * 3)
    for first, shift in ((6, -31.0), (9, 31.0)):
        ray = np.array([0.25 * display.width_mm - shift, -0.25 * display.height_mm, -600.0])
        assert row[first : first + 3] == pytest.approx(ray / np.linalg.norm(ray))


def test_the_gaze_point_is_where_the_gaze_direction_meets_the_display() -> None:
    position = (200.0, 150.0, 640.0)
    ray = np.array([300.0, 100.0, 0.0]) - position
    unit = tuple(float(part) for part in ray / np.linalg.norm(ray))
    eye = EyeReading(direction=unit, position_mm=position, valid=True)  # type: ignore[arg-type]
    row = raw_rows([sample(eye, eye)], DISPLAY, WHOLE)[0]
    assert row[22:24] == pytest.approx((300.0, 100.0))
    assert row[2:4] == pytest.approx((300.0 * 1920 / 527, 100.0 * 1080 / 296))
    away = EyeReading(direction=(0.0, 0.0, 1.0), position_mm=position, valid=True)
    assert np.isnan(raw_rows([sample(away, away)], DISPLAY, WHOLE)[0, :6]).all()


def test_directions_that_a_tracker_gives_are_kept() -> None:
    given = (0.6, 0.0, -0.8)
    eye = EyeReading(gaze_px=(10, 10), direction=given, position_mm=(0.0, 0.0, 600.0), valid=True)
    assert raw_rows([sample(eye, eye)], DISPLAY, WHOLE)[0, 6:9] == pytest.approx(given)


def test_a_display_is_read_as_a_user_writes_it() -> None:
    assert Display.parse("2560x1440,597x336mm") == MONITOR
    assert StimulusRect.parse("100,50,1600,900") == StimulusRect(100.0, 50.0, 1600.0, 900.0)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ((), ""),
        (("Pupil diameter left [mm]",), "pupil diameter left"),
        (("Gaze point X [DACS px]", "Gaze point left X [DACS px]", "Gaze point right X [MCS norm]"), "gaze point"),
        (COLUMN_KEYS[6:14], "gaze direction and pupil diameter"),
        (COLUMN_KEYS[9:22], "gaze direction right, pupil diameter, validity and eye position"),
    ],
)
def test_columns_are_named_by_what_they_are_about(keys: tuple[str, ...], words: str) -> None:
    assert column_words(keys) == words
