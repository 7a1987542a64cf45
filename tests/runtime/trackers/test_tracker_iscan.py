from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.core.samples import Display, TrackerSample
from emer_edge.runtime.trackers.formats.iscan import MARK, IscanDecoder

DISPLAY = Display(1000, 500, 500.0, 250.0)


def frame(number: int, items: int = 2) -> bytes:
    """A frame whose gaze, in px, says which it is."""
    return MARK + struct.pack(f"<{items}h", 100 + number, 50, *([7] * (items - 2)))


def gaze_of(samples: list[TrackerSample]) -> list[int]:
    return [round(sample.left.gaze_px[0]) - 100 for sample in samples if sample.left.valid]


@pytest.mark.parametrize("items", [2, 3])
def test_a_frame_is_read_as_documented(items: int) -> None:
    decoder = IscanDecoder(DISPLAY, items)
    read = decoder.feed(b"".join(frame(start, items) for start in range(3)), 42)
    assert gaze_of(read) == [0, 1, 2]
    assert read[0].device_ns is None
    assert (read[0].stamp_ns, read[0].arrival_ns) == (42, 42)
    assert read[0].left == read[0].right
    assert read[0].left.valid
    assert math.isnan(read[0].left.pupil_mm)
    assert decoder.fields == {"left gaze", "right gaze"}


def test_once_in_step_a_frame_is_read_as_soon_as_it_is_whole() -> None:
    decoder = IscanDecoder(DISPLAY)
    assert decoder.feed(frame(0), 1) == []
    assert gaze_of(decoder.feed(frame(1), 2)) == [0, 1]
    assert gaze_of(decoder.feed(frame(2), 3)) == [2]


def test_other_units_are_brought_to_pixels() -> None:
    decoder = IscanDecoder(DISPLAY, area=(4000.0, 4000.0))
    read = decoder.feed((MARK + struct.pack("<2h", 1000, 2000)) * 2 + MARK, 0)
    assert read[0].left.gaze_px == (250.0, 250.0)


def test_a_lost_eye_and_a_far_gaze_are_missing() -> None:
    decoder = IscanDecoder(DISPLAY)
    read = decoder.feed(b"".join(MARK + struct.pack("<2h", x, 5) for x in (10, 0, 30_000, -32_000, 11)), 0)
    read += decoder.feed(MARK + struct.pack("<2h", 0, 0) + frame(0), 0)
    assert [sample.left.valid for sample in read] == [True, True, False, False, True, False, True]
    assert decoder.counters.losses() == {"out of range": 2}


def test_an_item_that_is_the_mark_means_that_step_is_lost() -> None:
    decoder = IscanDecoder(DISPLAY)
    data = frame(0) + frame(1) + MARK + MARK + b"\x01\x02" + frame(3) + frame(4)
    assert gaze_of(decoder.feed(data, 0)) == [0, 1, 3, 4]
    assert decoder.counters.losses()["garbage"] >= 1


@pytest.mark.parametrize("byte", range(6))
def test_a_lost_byte_costs_its_frame_only(byte: int) -> None:
    hurt = frame(2)[:byte] + frame(2)[byte + 1 :]
    read = IscanDecoder(DISPLAY).feed(b"".join([frame(0), frame(1), hurt, frame(3), frame(4)]), 0)
    assert gaze_of(read) == [0, 1, 3, 4]


def test_a_run_of_marks_costs_neither_time_nor_the_frames_behind_it() -> None:
    decoder = IscanDecoder(DISPLAY)
    assert decoder.feed(b"\x44" * 200_000, 0) == []
    assert len(decoder.buffer) < 32
    assert gaze_of(decoder.feed(b"\x01" + frame(5) + frame(6), 0)) == [5, 6]


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), max_size=40))
def test_bytes_may_be_cut_anywhere(sizes: list[int]) -> None:
    data, decoder, read = b"".join(map(frame, range(10))), IscanDecoder(DISPLAY), []
    for size in sizes:
        read += decoder.feed(data[:size], 0)
        data = data[size:]
    read += decoder.feed(data, 0)
    assert gaze_of(read) == list(range(10))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=200) | st.just(MARK), max_size=20), st.sampled_from([2, 3]))
def test_no_bytes_raise_and_frames_after_them_are_read(pieces: list[bytes], items: int) -> None:
    decoder = IscanDecoder(DISPLAY, items)
    for piece in pieces:
        decoder.feed(piece, 0)
        assert len(decoder.buffer) < 32
    # Bytes before a frame can look like the start of one until its own marks prove them wrong.
    assert gaze_of(decoder.feed(b"".join(frame(start, items) for start in range(4)), 0))[-2:] == [2, 3]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_costs_the_damaged_frames_only(data: st.DataObject) -> None:
    frames = list(map(frame, range(8)))
    victim = data.draw(st.integers(2, 4))
    hurt = bytearray(frames[victim])
    at = data.draw(st.integers(0, 5))
    hurt[at : at + data.draw(st.integers(0, 6))] = data.draw(
        st.binary(max_size=20).filter(lambda noise: b"D" not in noise)
    )
    read = gaze_of(IscanDecoder(DISPLAY).feed(b"".join([*frames[:victim], bytes(hurt), *frames[victim + 1 :]]), 0))
    assert {start for start in range(8) if start != victim} <= set(read)
