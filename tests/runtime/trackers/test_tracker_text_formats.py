"""The `opengaze` and `iviewx` formats: what their lines mean, what damage costs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, TrackerSample
from emer_edge.runtime.trackers.formats.csv_lines import CsvDecoder
from emer_edge.runtime.trackers.formats.iviewx import IviewxDecoder, start_commands
from emer_edge.runtime.trackers.formats.opengaze import OpenGazeDecoder
from emer_edge.runtime.trackers.gazepoint import CameraPlace

DISPLAY = Display(1000, 500, 500.0, 250.0)


def record(number: int) -> bytes:
    """A record whose gaze, in thousandths, says which it is."""
    gaze = f'LPOGX="0.{number:03d}" LPOGY="0.5" LPOGV="1" RPOGX="0.{number:03d}" RPOGY="0.5" RPOGV="1"'
    return f'<REC CNT="{number}" TIME="{number / 100:.2f}" {gaze} />\r\n'.encode()


def line(number: int) -> bytes:
    """A line whose gaze, in px, says which it is."""
    return f"ET_SPL {number * 10} b {number} {number} 50 50 900 900 900 900 1 1 2 2 600 600\r\n".encode()


FORMATS = {"opengaze": (OpenGazeDecoder, record), "iviewx": (IviewxDecoder, line)}


def gaze_of(samples: list[TrackerSample]) -> list[int]:
    return [round(sample.left.gaze_px[0]) for sample in samples if sample.left.valid]


def read_record(fields: str, camera: CameraPlace | None = None) -> TrackerSample:
    (sample,) = OpenGazeDecoder(DISPLAY, camera).feed(f"<REC {fields} />\r\n".encode(), 42)
    return sample


def test_a_record_of_the_manual_gives_both_eyes_the_fixation() -> None:
    read = read_record('FPOGX="0.48439" FPOGY="0.50313" FPOGS="1891.86768" FPOGD="0.49280" FPOGID="1599" FPOGV="1"')
    assert read.left == read.right
    assert read.left.gaze_px == pytest.approx((484.39, 251.565))
    assert read.left.valid
    assert read.device_ns is None
    assert (read.stamp_ns, read.arrival_ns) == (42, 42)


def test_fields_mean_what_the_manual_says() -> None:
    read = read_record(
        'TIME="1.25" LPOGX="0.25" LPOGY="0.5" LPOGV="1" RPOGX="0.75" RPOGY="0.5" RPOGV="0" BPOGX="0.9" BPOGY="0.9" '
        'BPOGV="1" LPMM="3.25" LPMMV="1" RPUPILD="0.0041" RPUPILV="1"'
    )
    assert read.device_ns == 1_250_000_000
    assert read.left.gaze_px == (250.0, 250.0)
    assert (read.left.valid, read.right.valid) == (True, False)
    assert read.left.pupil_mm == 3.25
    assert read.right.pupil_mm == pytest.approx(4.1)


def test_what_is_marked_valid_and_can_not_be_is_missing() -> None:
    decoder = OpenGazeDecoder(DISPLAY)
    text = b'<REC LPOGX="-1.59" LPOGY="0.5" LPOGV="1" LPMM="13.5" LPMMV="1" RPOGX="0.5" RPOGY="0.5" RPOGV="1" />\n'
    (read,) = decoder.feed(text, 0)
    assert not read.left.valid
    assert math.isnan(read.left.pupil_mm)
    assert read.right.valid
    assert decoder.counters.losses() == {"out of range": 2}


def test_metres_from_an_unknown_camera_are_left_out() -> None:
    fields = 'LPOGX="0.5" LPOGY="0.5" LPOGV="1" LEYEX="-0.03" LEYEY="0.1" LEYEZ="0.6" LPUPILD="0.003" LPUPILV="1"'
    decoder = OpenGazeDecoder(DISPLAY)
    (read,) = decoder.feed(f"<REC {fields} />\n".encode(), 0)
    assert math.isnan(read.left.position_mm[2])
    assert decoder.positions_left_out
    placed = read_record(fields, CameraPlace((250.0, 300.0, 20.0)))
    assert placed.left.position_mm == pytest.approx((220.0, 200.0, 620.0))


@pytest.mark.parametrize("axes", ["right-up", "right-down", "left-up", "left-down"])
def test_a_tilted_camera_is_set_upright_and_back(axes: str) -> None:
    place = CameraPlace.parse("250,300,20,30", axes)
    ahead = place.dacs_mm((0.0, 0.0, 600.0))
    assert ahead == pytest.approx((250.0, 300.0 - 300.0, 20.0 + 600 * math.cos(math.radians(30))))
    assert place.camera_mm(place.dacs_mm((12.0, -7.0, 640.0))) == pytest.approx((12.0, -7.0, 640.0))
    beside = place.dacs_mm((10.0, 0.0, 0.0))
    assert beside[0] == pytest.approx(260.0 if axes.startswith("right") else 240.0)
    above = place.dacs_mm((0.0, 10.0, 0.0))
    assert (above[1] < 300.0) == axes.endswith("up")


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4,5", "a,b,c", "1,2,nan", "1,2,9999", "1,2,3,91"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a place; write x,y,z"):
        CameraPlace.parse(text)


def test_a_jump_of_the_counter_is_a_loss_and_a_repeat_is_dropped() -> None:
    decoder = OpenGazeDecoder(DISPLAY)
    assert gaze_of(decoder.feed(record(1) + record(4) + record(4) + record(5), 0)) == [1, 4, 5]
    assert decoder.counters.losses() == {"lost": 2, "duplicated": 1}


@pytest.mark.case(
    "Open Gaze records and csv lines with decimal commas", before="every record was garbage: 'nothing has come'"
)
def test_decimal_commas_are_read_live() -> None:
    sample = read_record('TIME="1,25" LPOGX="0,250" LPOGY="0,5" LPOGV="1" LPMM="3,5" LPMMV="1"')
    assert sample.device_ns == 1_250_000_000
    assert sample.left.gaze_px == (250.0, 250.0)
    assert sample.left.pupil_mm == 3.5
    decoder = CsvDecoder(DISPLAY)
    (line,) = decoder.feed(b"time_ms;x;y;pupil_mm\n8,5;0,25;0,5;NA\n", 0)
    assert (line.device_ns, line.left.gaze_px) == (8_500_000, (250.0, 250.0))
    assert math.isnan(line.left.pupil_mm)
    assert not decoder.feed(b"9;1,2,5;0,5;3\n", 0)
    assert decoder.counters.garbage == 1


def test_answers_between_records_are_no_damage() -> None:
    decoder = OpenGazeDecoder(DISPLAY)
    answers = (
        b'<ACK ID="SCREEN_SIZE" X="0" Y="0" WIDTH="1280" HEIGHT="1024" />\r\n<NACK ID="X" />\r\n<CAL ID="A" />\r\n'
    )
    assert gaze_of(decoder.feed(record(1) + answers + record(2), 0)) == [1, 2]
    assert decoder.replies["SCREEN_SIZE"]["WIDTH"] == "1280"
    assert decoder.counters.losses() == {}


def test_a_record_without_gaze_is_counted() -> None:
    decoder = OpenGazeDecoder(DISPLAY)
    assert decoder.feed(b'<REC CNT="1" TIME="0.5" />\n', 0) == []
    assert decoder.counters.losses() == {"unsupported": 1}


def test_the_client_of_an_iviewx_asks_for_its_fields() -> None:
    assert start_commands() == b'ET_FRM "%TS %ET %SX %SY %DX %DY %EX %EY %EZ"\r\nET_STR\r\n'
    assert b"%TU" in start_commands("us")


def test_an_iviewx_line_with_both_eyes_holds_pairs() -> None:
    (read,) = IviewxDecoder(DISPLAY).feed(b"ET_SPL 1500 b 100 110 50 60 900 910 900 910 1 2 3 4 600 601\r\n", 42)
    assert read.device_ns == 1_500_000_000
    assert read.left.gaze_px == (100.0, 50.0)
    assert read.right.gaze_px == (110.0, 60.0)
    assert math.isnan(read.left.pupil_mm)
    assert math.isnan(read.left.position_mm[0])


@pytest.mark.parametrize(("eyes", "valid"), [("l", (True, False)), ("r", (False, True))])
def test_an_iviewx_line_with_one_eye(eyes: str, valid: tuple[bool, bool]) -> None:
    (read,) = IviewxDecoder(DISPLAY, "us").feed(f"ET_SPL 1500 {eyes} 100 50 9 9 1 2 600\n".encode(), 0)
    assert read.device_ns == 1_500_000
    assert (read.left.valid, read.right.valid) == valid


def test_an_iviewx_eye_at_the_origin_is_lost_and_answers_are_no_damage() -> None:
    decoder = IviewxDecoder(DISPLAY, area_px=(2000.0, 1000.0))
    data = b"ET_FRM ok\r\nET_SPL 1 b 0 500 0 500 0 0 0 0 0 0 0 0 0 0\r\n"
    (read,) = decoder.feed(data, 0)
    assert (read.left.valid, read.right.valid) == (False, True)
    assert read.right.gaze_px == (250.0, 250.0)
    assert decoder.counters.losses() == {}


@pytest.mark.parametrize("name", FORMATS)
def test_a_line_without_its_end_takes_no_other_along(name: str) -> None:
    make, spoken = FORMATS[name]
    decoder = make(DISPLAY)
    data = spoken(1) + spoken(2).rstrip() + spoken(3) + spoken(2)[:17] + spoken(4)
    assert gaze_of(decoder.feed(data, 0)) == [1, 3, 4]
    assert decoder.counters.losses()["garbage"] == 2


@pytest.mark.parametrize("name", FORMATS)
def test_an_endless_line_costs_no_memory(name: str) -> None:
    make, spoken = FORMATS[name]
    decoder = make(DISPLAY)
    for _ in range(100):
        decoder.feed(b"<REC ET_SPL " * 100, 0)
        assert len(decoder.lines.buffer) <= 4096
    assert gaze_of(decoder.feed(b"\n" + spoken(3), 0)) == [3]
    assert decoder.counters.overlong == 1


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(FORMATS)), st.lists(st.integers(1, 60), max_size=40))
def test_bytes_may_be_cut_anywhere(name: str, sizes: list[int]) -> None:
    make, spoken = FORMATS[name]
    data, decoder, read = b"".join(map(spoken, range(1, 9))), make(DISPLAY), []
    for size in sizes:
        read += decoder.feed(data[:size], 0)
        data = data[size:]
    read += decoder.feed(data, 0)
    assert gaze_of(read) == list(range(1, 9))


tokens = st.sampled_from(
    [
        *(b"\n", b"<REC ", b" />\n", b'LPOGX="0.5"', b' LPOGY="1e999" ', b'CNT="nan"', b'TIME="-1"', b'"', b"="),
        *(b"ET_SPL ", b"b ", b"1 ", b'<ACK ID="SCREEN_SIZE" />\n', b"9" * 70, b'TIME="1e40" '),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(FORMATS)), st.lists(st.binary(max_size=100) | tokens, max_size=40))
def test_no_bytes_raise_and_a_line_after_them_is_read(name: str, pieces: list[bytes]) -> None:
    make, spoken = FORMATS[name]
    decoder = make(DISPLAY)
    for piece in pieces:
        decoder.feed(piece, 0)
        assert len(decoder.lines.buffer) <= 4096
    decoder.feed(b"\n", 0)
    assert gaze_of(decoder.feed(spoken(7), 0)) == [7]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(FORMATS)), st.data())
def test_damage_costs_the_damaged_lines_only(name: str, data: st.DataObject) -> None:
    make, spoken = FORMATS[name]
    sent = [spoken(size) for size in range(1, 8)]
    victim = data.draw(st.integers(1, 5))
    hurt = bytearray(sent[victim])
    at = data.draw(st.integers(0, len(hurt) - 1))
    hurt[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=20))
    read = make(DISPLAY).feed(b"".join([*sent[:victim], bytes(hurt), *sent[victim + 1 :]]), 0)
    merged = not hurt.endswith(b"\n")  # the noise then stands inside the next line, before its start
    intact = {size for size in range(1, 8) if size - 1 not in (victim, victim + 1 if merged else victim)}
    assert intact <= set(gaze_of(read))
