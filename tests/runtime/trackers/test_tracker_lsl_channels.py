from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.core.samples import Display, TrackerSample
from emer_edge.runtime.trackers.gazepoint import CameraPlace
from emer_edge.runtime.trackers.lsl_channels import Channel, ChannelReader

DISPLAY = Display(1000, 500, 500.0, 250.0)
NAN = math.nan


def reader(channels: list[Channel] | str, camera: CameraPlace | None = None, said: list[str] | None = None):
    if isinstance(channels, str):
        channels = [Channel(*label.split(":")) for label in channels.split()]
    return ChannelReader(channels, DISPLAY, camera, (said if said is not None else []).append)


def read(channels: list[Channel] | str, *values: float, camera: CameraPlace | None = None) -> TrackerSample:
    sample = reader(channels, camera).read(values, 7, 42)
    assert sample is not None
    return sample


@pytest.mark.parametrize(
    "labels",
    [
        "left_x left_y right_x right_y left_pupil right_pupil",
        "LeftGazeX LeftGazeY RightGazeX RightGazeY LeftPupilDiameter RightPupilDiameter",
        "gaze_x_left gaze_y_left gaze_x_right gaze_y_right pupil_left pupil_right",
        "GazeL_X GazeL_Y GazeR_X GazeR_Y PupilL PupilR",
        "left_gaze_point_on_display_area_0 left_gaze_point_on_display_area_1 right_gaze_point_on_display_area_0 "
        "right_gaze_point_on_display_area_1 left_pupil_diameter right_pupil_diameter",
        "a:left:ScreenX b:left:ScreenY c:right:ScreenX d:right:ScreenY e:left:Diameter f:right:Diameter:mm",
    ],
)
def test_labels_as_connectors_write_them(labels: str) -> None:
    sample = read(labels, 0.25, 0.5, 0.75, 0.5, 3.25, 4.0)
    assert (sample.device_ns, sample.stamp_ns, sample.arrival_ns) == (7, 42, 42)
    assert sample.left.gaze_px == (250.0, 250.0)
    assert sample.right.gaze_px == (750.0, 250.0)
    assert (sample.left.pupil_mm, sample.right.pupil_mm) == (3.25, 4.0)
    assert sample.left.valid


@pytest.mark.parametrize(
    ("unit", "x", "y"),
    [
        ("normalized", 0.25, 0.5),
        ("normalised", 0.25, 0.5),
        ("screencoords", 250.0, 250.0),
        ("pixels", 250.0, 250.0),
        ("mm", 125.0, 125.0),
        ("metres", 0.125, 0.125),
    ],
)
def test_units_of_gaze(unit: str, x: float, y: float) -> None:
    sample = read([Channel("x", unit=unit), Channel("y", unit=unit)], x, y)
    assert sample.left == sample.right
    assert sample.left.gaze_px == pytest.approx((250.0, 250.0))


def test_without_a_unit_large_numbers_are_pixels_and_this_is_said_once() -> None:
    said: list[str] = []
    made = reader("left_x left_y right_x right_y", said=said)
    for values in ((0.25, 0.5, 0.25, 0.5), (250.0, 250.0, 260.0, 250.0), (300.0, 1.0, 2.0, 2.0)):
        sample = made.read(values, None, 0)
    assert sample is not None
    assert sample.left.gaze_px == pytest.approx((300.0, 1.0))
    assert sample.right.gaze_px == pytest.approx((2.0, 2.0))
    assert len(said) == 1


def test_nan_is_missing_and_validity_counts() -> None:
    labels = "left_x left_y left_validity right_x right_y right_validity"
    sample = read(labels, NAN, NAN, 1.0, 0.5, 0.5, 0.0)
    assert (sample.left.valid, sample.right.valid) == (False, False)
    assert math.isnan(sample.left.gaze_px[0])


def test_a_pupil_in_metres_is_brought_to_millimetres() -> None:
    sample = read([Channel("x"), Channel("y"), Channel("pupil", unit="m")], 0.5, 0.5, 0.0032)
    assert sample.left.pupil_mm == pytest.approx(3.2)


POSITION = "x y left_origin_x:::{} left_origin_y:::{} left_origin_z:::{}"


def test_eye_positions_need_a_frame() -> None:
    numbers = (0.5, 0.5, 10.0, 20.0, 600.0)
    unknown = reader(POSITION.format(*["mm"] * 3))
    assert "left position" not in unknown.fields
    named = read(POSITION.format(*["mm:DACS"] * 3), *numbers)
    assert named.left.position_mm == (10.0, 20.0, 600.0)
    placed = read(POSITION.format(*["m"] * 3), 0.5, 0.5, 0.01, 0.02, 0.6, camera=CameraPlace((250.0, 300.0, 0.0)))
    assert placed.left.position_mm == pytest.approx((260.0, 280.0, 600.0))


def test_three_dimensional_points_of_other_frames_are_left_out() -> None:
    labels = " ".join(
        f"left_{part}_{axis}"
        for part in ("gaze_point_in_user_coordinate_system", "gaze_origin_in_trackbox_coordinate_system", "gaze_point")
        for axis in "xyz"
    )
    sample = read(labels, 1e3, 1e3, 1e3, 0.1, 0.1, 0.1, 0.25, 0.5, 0.0)
    assert sample.left.gaze_px == (250.0, 250.0)
    assert math.isnan(sample.left.position_mm[0])


def test_gazepoint_names_are_its_records() -> None:
    made = reader("CNT TIME LPOGX LPOGY LPOGV RPOGX RPOGY RPOGV LPMM LPMMV")
    sample = made.read((5, 1.0, 0.25, 0.5, 1, 0.75, 0.5, 0, 3.5, 1), 9, 0)
    assert sample is not None
    assert sample.left.gaze_px == (250.0, 250.0)
    assert (sample.left.valid, sample.right.valid) == (True, False)
    assert sample.left.pupil_mm == 3.5
    assert sample.device_ns == 9
    made.read((8, 1.1, 0.25, 0.5, 1, 0.75, 0.5, 0, 3.5, 1), 10, 0)
    assert made.counters.losses() == {"lost": 2}


def test_a_stream_of_something_else_has_no_gaze() -> None:
    assert not reader("left_pupil right_pupil timestamp acc_magnitude").has_gaze
    assert reader("x y").has_gaze


words = st.sampled_from(
    ["left", "right", "x", "y", "z", "0", "gaze", "pupil", "validity", "origin", "direction", "LPOGX", "LPOGY", "user"]
)
labels = st.lists(words | st.text(max_size=4), max_size=3).map("_".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(labels, st.sampled_from(["", "mm", "px", "odd"])), max_size=8), st.data())
def test_any_stream_is_read_without_a_raise(channels: list[tuple[str, str]], data: st.DataObject) -> None:
    made = reader([Channel(label, unit=unit) for label, unit in channels])
    number = st.floats() | st.sampled_from([0.5, 4.0])
    values = data.draw(st.lists(number, min_size=len(channels), max_size=len(channels)))
    made.read(values, 0, 0)
