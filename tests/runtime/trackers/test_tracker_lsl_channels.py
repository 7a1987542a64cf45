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


HEAD_MOUNTED = (
    "confidence:both:Confidence:normalized norm_pos_x:both:ScreenX:normalized:world "
    "norm_pos_y:both:ScreenY:normalized:world diameter0_2d:right:Diameter:pixels diameter0_3d:right:Diameter:mm "
    "diameter1_3d:left:Diameter:mm"
)


@pytest.mark.case(
    "an outlet of a head-mounted tracker: its gaze is in the picture of a world camera, y up",
    source="https://github.com/labstreaminglayer/App-PupilLabs/pull/3",
    before="taken as the display, upside down, 'ok'",
)
@pytest.mark.parametrize(
    "labels",
    [HEAD_MOUNTED, "norm_pos_x norm_pos_y confidence", "x:both:ScreenX:pixels:world y:both:ScreenY:pixels:world"],
)
def test_gaze_in_a_world_is_no_gaze_on_the_display(labels: str) -> None:
    made = reader(labels)
    assert not made.has_gaze
    assert len(made.worldly) == 2


def test_diameters_belong_to_the_eye_of_their_number_and_confidence_decides() -> None:
    labels = "confidence x:both:ScreenX y:both:ScreenY diameter0_2d:::pixels diameter0_3d diameter1_3d"
    sample = read(labels, 0.9, 0.25, 0.5, 31.0, 3.5, 4.5)
    assert (sample.left.pupil_mm, sample.right.pupil_mm) == (4.5, 3.5)
    assert sample.left.valid
    assert not read(labels, 0.3, 0.25, 0.5, 31.0, 3.5, 4.5).left.valid


@pytest.mark.case("an outlet whose validity is 0 for valid and 4 for lost", before="`no_gaze` for ever, without a note")
def test_codes_of_validity_are_named() -> None:
    made = reader("left_x left_y left_valid")
    for code in (0.0, 0.0, 4.0):
        assert not made.read((0.5, 0.5, code), 7, 42).left.valid
    assert "validity is coded 0, 4, and only 1 is taken as valid" in made.validity.problem


def test_the_marks_of_a_lost_eye_are_no_gaze() -> None:
    assert not read("x::ScreenX:pixels y::ScreenY:pixels", -1.0, -1.0).left.valid
    assert not read("x y", 0.0, 0.0).left.valid
