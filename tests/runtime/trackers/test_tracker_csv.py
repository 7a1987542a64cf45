from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers.base import unfilled_by
from emer_edge.runtime.trackers.formats.csv_lines import CSV_HEADER, CsvDecoder, CsvEncoder

DISPLAY = Display(1000, 500, 500.0, 250.0)
HEADER = b"time_us,sequence,x,y\n"


def line(number: int) -> bytes:
    """A line whose gaze says which it is."""
    return b"%d,%d,0.%03d,0.5\n" % (number * 1000, number, number)


def gaze_of(samples: list[TrackerSample]) -> list[int]:
    return [round(sample.left.gaze_px[0]) for sample in samples]


def read_one(text: str) -> TrackerSample:
    (sample,) = CsvDecoder(DISPLAY).feed(text.encode(), 42)
    return sample


def test_what_is_written_comes_back() -> None:
    left = EyeReading((250.0, 125.0), (math.nan,) * 2, (0.6, 0.0, -0.8), (10.5, -20.25, 600.0), 3.25, True)
    sent = TrackerSample(5_000_000, 0, 0, left, EyeReading())
    read = read_one(CsvEncoder(DISPLAY).encode(sent).decode())

    assert read.device_ns == 5_000_000
    assert (read.stamp_ns, read.arrival_ns) == (42, 42)
    assert read.left.gaze_px == pytest.approx(left.gaze_px)
    assert read.left.direction == pytest.approx(left.direction)
    assert (read.left.position_mm, read.left.pupil_mm, read.left.valid) == (left.position_mm, 3.25, True)
    assert not read.right.valid
    assert math.isnan(read.right.pupil_mm)


@pytest.mark.parametrize(
    ("text", "device_ns", "left_px", "right_px"),
    [
        ("time_ms,x,y\n1.5,0.1,0.2\n", 1_500_000, (100.0, 100.0), (100.0, 100.0)),
        ("time_s;left_x;left_y;right_x;right_y\r\n2;0.1;0.2;0.3;0.4\r\n", 2_000_000_000, (100, 100), (300, 200)),
        ("X_px\ty_PX\n10\t20\n", None, (10.0, 20.0), (10.0, 20.0)),
        ("note,left_x,left_y,time_us\n ,0.5, 0.5 ,7\n", 7_000, (500.0, 250.0), None),
    ],
    ids=["both-eyes", "semicolons", "pixels", "other-columns"],
)
def test_headers_as_people_write_them(text: str, device_ns, left_px, right_px) -> None:
    read = read_one(text)
    assert read.device_ns == device_ns
    assert read.left.gaze_px == pytest.approx(left_px)
    assert read.right.valid == (right_px is not None)
    if right_px is not None:
        assert read.right.gaze_px == pytest.approx(right_px)


def test_validity_and_missing_cells() -> None:
    text = "left_x,left_y,left_valid,right_x,right_y,left_pupil_mm\n0.1,0.2,0,,nan,0\n"
    read = read_one(text)
    assert not read.left.valid
    assert not read.right.valid
    assert math.isnan(read.left.pupil_mm)


def test_lines_before_the_header_wait_for_it() -> None:
    decoder = CsvDecoder(DISPLAY)
    assert decoder.feed(b"5,0.1\n" + line(1) + HEADER + line(2), 0)
    assert decoder.counters.losses() == {"headerless": 2}


def test_the_header_can_be_given() -> None:
    decoder = CsvDecoder(DISPLAY, "time_us,x,y")
    (read,) = decoder.feed(b"5,0.25,0.5\n", 0)
    assert read.left.gaze_px == (250.0, 250.0)
    with pytest.raises(ConfigurationError, match="names no gaze column"):
        CsvDecoder(DISPLAY, "time_us,pupil")


def test_losses_are_counted() -> None:
    decoder = CsvDecoder(DISPLAY)
    data = HEADER + line(1) + line(4) + line(4) + b"what?\n" + b"1,2\n" + b"1e30,6,0.1,0.1\n" + line(2) + line(3)
    assert gaze_of(decoder.feed(data, 0)) == [1, 4, 2, 3]
    assert decoder.counters.losses() == {"lost": 2, "duplicated": 1, "garbage": 3}


def test_a_damaged_header_does_not_replace_a_good_one() -> None:
    decoder = CsvDecoder(DISPLAY)
    data = HEADER + line(1) + b"tXme_us,y,x\n" + line(2) + HEADER + line(3)
    assert gaze_of(decoder.feed(data, 0)) == [1, 2, 3]


def test_a_new_header_counts_when_it_comes_twice() -> None:
    decoder = CsvDecoder(DISPLAY)
    decoder.feed(HEADER + line(1), 0)
    other = b"x,y\n0.7,0.5\n"
    assert gaze_of(decoder.feed(other + other, 0)) == [700]


@pytest.mark.parametrize("cell", ["1_0", "1e999", "0x1", "\u0661", "inf", "--1", "1,2"], ids=repr)
def test_cells_that_are_no_numbers_cost_their_line_or_are_missing(cell: str) -> None:
    decoder = CsvDecoder(DISPLAY)
    read = decoder.feed(HEADER + f"1,1,{cell},0.5\n".encode() + line(2), 0)
    assert gaze_of([sample for sample in read if sample.left.valid]) == [2]


def test_the_columns_a_stream_lacks_are_named() -> None:
    decoder = CsvDecoder(DISPLAY)
    decoder.feed(b"time_us,x,y,left_pupil_mm\n", 0)
    missing = unfilled_by(decoder.fields, DISPLAY)
    assert "Pupil diameter right [mm]" in missing
    assert "Eye position left Z [DACS mm]" in missing
    assert "Gaze direction left X" in missing
    assert not {"Pupil diameter left [mm]", "Gaze point X [DACS px]", "Gaze point left X [MCS norm]"} & set(missing)
    decoder = CsvDecoder(DISPLAY)
    decoder.feed(CSV_HEADER.encode() + b"\n", 0)
    assert unfilled_by(decoder.fields, DISPLAY) == ()


def test_an_endless_line_costs_no_memory() -> None:
    decoder = CsvDecoder(DISPLAY)
    decoder.feed(HEADER, 0)
    for _ in range(100):
        decoder.feed(b"1" * 1000, 0)
    assert len(decoder.lines.buffer) <= 4096
    assert gaze_of(decoder.feed(b"\n" + line(3), 0)) == [3]
    assert decoder.counters.losses() == {"overlong": 1}


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), max_size=40))
def test_bytes_may_be_cut_anywhere(sizes: list[int]) -> None:
    data, decoder, read = HEADER + b"".join(map(line, range(10))), CsvDecoder(DISPLAY), []
    for size in sizes:
        read += decoder.feed(data[:size], 0)
        data = data[size:]
    read += decoder.feed(data, 0)
    assert gaze_of(read) == list(range(10))


tokens = st.sampled_from(
    [b"\n", b",", b";", b"x", b"y", b"x,y\n", b"time_us", b"0.5", b"nan", b"\r", b"left_x,left_y\n"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=300) | tokens, max_size=25))
def test_no_bytes_raise_and_a_line_after_them_is_read(pieces: list[bytes]) -> None:
    decoder = CsvDecoder(DISPLAY)
    for piece in pieces:
        decoder.feed(piece, 0)
        assert len(decoder.lines.buffer) <= 4096
    assert gaze_of(decoder.feed(b"\n" + HEADER + HEADER + line(7), 0)[-1:]) == [7]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_costs_the_damaged_lines_only(data: st.DataObject) -> None:
    sent = [HEADER, *map(line, range(6))]
    victim = data.draw(st.integers(1, 5))
    hurt = bytearray(sent[victim])
    at = data.draw(st.integers(0, len(hurt) - 1))
    hurt[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=30))
    whole = b"".join([*sent[:victim], bytes(hurt), *sent[victim + 1 :]])
    read = CsvDecoder(DISPLAY).feed(whole, 0)
    behind = victim - 1 + (not hurt.endswith(b"\n"))  # without its end it takes the next line along
    intact = [start for start in range(6) if start < victim - 1 or start > behind]
    times = [(sample.device_ns or 0) // 1_000_000 for sample in read]
    assert set(intact) <= set(times)
