"""What makes a whole source doubtful."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emer_edge.core.samples import EyeReading, TrackerSample
from emer_edge.runtime.doubts import SourceDoubts

WINDOW_NS = 12_000_000_000


def fed(rate_hz: float, seconds: float = 20.0, valid: bool = True, gaze: float = 500.0) -> SourceDoubts:
    doubts = SourceDoubts(WINDOW_NS)
    eye = EyeReading(gaze_px=(gaze, gaze), valid=valid)
    for number in range(int(seconds * rate_hz)):
        stamp_ns = round(number / rate_hz * 1e9)
        doubts.on_sample(TrackerSample(stamp_ns, stamp_ns, stamp_ns, eye, eye))
    return doubts


@pytest.mark.parametrize(("rate_hz", "few"), [(2.9, True), (5.0, True), (10.0, False), (30.0, False), (1000.0, False)])
def test_a_window_of_too_few_rows_is_named(rate_hz: float, few: bool) -> None:
    doubts = fed(rate_hz)
    assert doubts.too_few(20_000_000_000) == few
    assert [fault.key for fault in doubts.faults] == ["rows"] * few
    if few:
        given_hz = float(doubts.faults[0].text.split()[3])
        assert given_hz == pytest.approx(rate_hz, abs=0.15)


def test_eyes_that_are_never_valid_are_named_after_five_seconds() -> None:
    assert fed(60.0, 4.0, valid=False).faults == ()
    (fault,) = fed(60.0, 6.0, valid=False).faults
    assert "called no eye valid in 360 samples, 360 of which have a gaze point" in fault.text
    assert "coded otherwise" in fault.text
    (fault,) = fed(60.0, 6.0, valid=False, gaze=math.nan).faults
    assert "does it see the eyes?" in fault.text
    assert fed(60.0, 6.0).faults == ()


@pytest.mark.case("an infrared camera: pictures without colour", before="an emotion from grey faces, not said")
@pytest.mark.parametrize(("spread", "grey"), [(0, True), (2, True), (40, False)])
def test_faces_without_colour_are_named(spread: int, grey: bool) -> None:
    doubts = SourceDoubts(WINDOW_NS)
    light = np.random.default_rng(1).integers(0, 200, (112, 112, 1), np.uint8)
    crop = np.concatenate([light, light + np.uint8(spread), light], axis=2)
    for _ in range(5):
        assert doubts.faults == ()
        doubts.on_face(crop)
    assert [fault.key for fault in doubts.faults] == ["colour"] * grey
