from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers.formats.emer import EmerDecoder, cobs_decode, cobs_encode, crc16, encode_sample

DISPLAY = Display(1000, 500, 500.0, 250.0)


def eye(x: float, pupil_mm: float = 3.5) -> EyeReading:
    return EyeReading((x, x / 2), (math.nan, math.nan), (0.0, 0.0, -1.0), (10.0, 20.0, 600.0), pupil_mm, True)


def sample(time_us: int, x: float = 250.0) -> TrackerSample:
    return TrackerSample(time_us * 1000, 0, 0, eye(x), eye(x + 10, 4.0))


def gaze_of(samples: list[TrackerSample]) -> list[int]:
    return [round(sample.left.gaze_px[0]) for sample in samples]


def packet(body: bytes) -> bytes:
    return cobs_encode(body + struct.pack("<H", crc16(body))) + b"\0"


def stream(count: int, first: int = 0) -> list[bytes]:
    """Packets whose gaze says which they are."""
    return [encode_sample(sample(1000 * i, float(i)), i, DISPLAY) for i in range(first, first + count)]


def test_crc_is_ccitt_false() -> None:
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("plain", "encoded"),
    [
        (b"\0", b"\x01\x01"),
        (b"\0\0", b"\x01\x01\x01"),
        (b"\x11\x22\0\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x11\0\0\0", b"\x02\x11\x01\x01\x01"),
        (bytes(range(1, 255)), b"\xff" + bytes(range(1, 255))),
        (bytes(range(255)), b"\x01\xff" + bytes(range(1, 255))),
        (bytes(range(1, 256)), b"\xff" + bytes(range(1, 255)) + b"\x02\xff"),
        (bytes(range(2, 256)) + b"\0", b"\xff" + bytes(range(2, 256)) + b"\x01\x01"),
    ],
    ids=["zero", "zeros", "middle", "trailing", "254", "zero-254", "255", "254-zero"],
)
def test_cobs_agrees_with_the_published_examples(plain: bytes, encoded: bytes) -> None:
    assert cobs_encode(plain) == encoded
    assert cobs_decode(encoded) == plain


@settings(deadline=None)
@given(st.binary(max_size=800))
def test_cobs_round_trip_holds_no_zero(plain: bytes) -> None:
    encoded = cobs_encode(plain)
    assert 0 not in encoded
    assert cobs_decode(encoded) == plain


def test_a_packet_is_laid_out_as_documented() -> None:
    body = struct.pack("<BBHIQ", 1, 1, 7, 0b1_0000_0001, 5_000_000) + struct.pack("<2fB", 0.25, 0.5, 0b01)
    decoder = EmerDecoder(DISPLAY)
    (read,) = decoder.feed(packet(body), 42)
    assert read.device_ns == 5_000_000_000
    assert (read.stamp_ns, read.arrival_ns) == (42, 42)
    assert read.left.gaze_px == (250.0, 250.0)
    assert read.left.valid
    assert not read.right.valid
    assert math.isnan(read.right.gaze_px[0])
    assert math.isnan(read.left.pupil_mm)
    assert decoder.fields == {"left gaze"}


numbers = st.floats(-0.875, 1.875, width=32) | st.just(math.nan)
distances = st.floats(-900, 900, width=32)


@st.composite
def samples(draw: st.DrawFn) -> TrackerSample:
    def reading() -> EyeReading:
        x, y = draw(numbers), draw(numbers)
        position = tuple(draw(distances) for _ in range(3)) if draw(st.booleans()) else (math.nan,) * 3
        pupil = draw(st.floats(1, 10, width=32) | st.just(math.nan))
        gaze = (x * 1000, y * 500)
        return EyeReading(gaze, position_mm=position, pupil_mm=pupil, valid=draw(st.booleans()))

    return TrackerSample(draw(st.integers(0, 2**40)) * 1000, 0, 0, reading(), reading())


@settings(deadline=None)
@given(samples(), st.integers(0, 2**16 - 1))
def test_what_is_encoded_comes_back(sent: TrackerSample, sequence: int) -> None:
    (read,) = EmerDecoder(DISPLAY).feed(encode_sample(sent, sequence, DISPLAY), 1)
    assert read.device_ns == sent.device_ns
    for before, after in ((sent.left, read.left), (sent.right, read.right)):
        whole = not any(math.isnan(number) for number in before.gaze_px)
        assert after.valid == (before.valid and whole)
        if whole:
            assert after.gaze_px == pytest.approx(before.gaze_px, abs=1e-3)
        else:
            assert math.isnan(after.gaze_px[0])
        assert after.position_mm == pytest.approx(before.position_mm, nan_ok=True)
        assert after.pupil_mm == pytest.approx(before.pupil_mm, nan_ok=True)


def test_every_packet_stays_within_one_cobs_block() -> None:
    assert max(map(len, stream(10))) <= 256


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_bytes_may_be_cut_anywhere(sizes: list[int]) -> None:
    data, decoder, read = b"".join(stream(12)), EmerDecoder(DISPLAY), []
    for size in sizes:
        read += decoder.feed(data[:size], 0)
        data = data[size:]
    read += decoder.feed(data, 0)
    assert gaze_of(read) == list(range(12))
    assert decoder.counters.losses() == {}


def test_a_gap_in_the_sequence_counts_as_loss_across_its_wrap() -> None:
    decoder = EmerDecoder(DISPLAY)
    for sequence in (65_533, 65_534, 1, 2):
        decoder.feed(encode_sample(sample(sequence % 60_000 + 70_000 * (sequence < 10)), sequence, DISPLAY), 0)
    assert decoder.counters.losses() == {"lost": 2}


def test_a_restarted_tracker_loses_nothing() -> None:
    decoder = EmerDecoder(DISPLAY)
    for sequence, time_us in ((100, 9_000_000), (101, 9_008_333), (0, 10), (1, 8_343)):
        assert decoder.feed(encode_sample(sample(time_us), sequence, DISPLAY), 0)
    assert decoder.counters.losses() == {}


def test_a_repeated_packet_is_dropped_and_counted() -> None:
    one, two = stream(2)
    decoder = EmerDecoder(DISPLAY)
    assert gaze_of(decoder.feed(one + one + two, 0)) == [0, 1]
    assert decoder.counters.losses() == {"duplicated": 1}


def test_a_32_bit_clock_is_continued_over_its_wrap_and_not_over_a_reset() -> None:
    decoder = EmerDecoder(DISPLAY)
    times_us = [2**32 - 20_000, 2**32 - 10_000, 2**32, 2**32 + 10_000, 3 * 2**31, 2**33 - 5]
    data = b"".join(encode_sample(sample(t), i, DISPLAY, time_bits=32) for i, t in enumerate(times_us))
    read = [sample.device_ns for sample in decoder.feed(data, 0)]
    assert read == [t * 1000 for t in times_us]
    (reset,) = decoder.feed(encode_sample(sample(2**33 - 70_000_000), 99, DISPLAY, time_bits=32), 0)
    assert reset.device_ns is not None
    assert reset.device_ns < read[-1]


def test_unknown_fields_are_left_alone_and_counted() -> None:
    body = struct.pack("<BBHIQ", 1, 1, 0, 1 | 1 << 8 | 1 << 12, 9) + struct.pack("<2fB", 0.5, 0.5, 1) + b"new field"
    decoder = EmerDecoder(DISPLAY)
    (read,) = decoder.feed(packet(body), 0)
    assert read.left.gaze_px == (500.0, 250.0)
    assert decoder.counters.losses() == {"unsupported": 1}


@pytest.mark.parametrize(("version", "flags"), [(2, 1), (1, 0x81), (0, 0)], ids=["version", "flags", "zero"])
def test_packets_of_another_version_are_skipped_and_counted(version: int, flags: int) -> None:
    body = struct.pack("<BBHIQ", version, flags, 0, 1, 9) + bytes(8)
    decoder = EmerDecoder(DISPLAY)
    assert gaze_of(decoder.feed(packet(body) + stream(1, 5)[0], 0)) == [5]
    assert decoder.counters.losses() == {"unsupported": 1}


def test_a_length_that_the_mask_denies_is_garbage() -> None:
    decoder = EmerDecoder(DISPLAY)
    for surplus in (b"", b"abc" * 9):
        body = struct.pack("<BBHIQ", 1, 1, 0, 1, 9) + surplus
        assert decoder.feed(packet(body), 0) == []
    assert decoder.counters.losses() == {"garbage": 2}


def test_numbers_no_eye_has_are_missing() -> None:
    mask = 0b1_0001_0101
    fields = struct.pack("<2f3ff", 7.0, 0.5, 1e30, 0, 0, 13.5) + b"\x01"
    decoder = EmerDecoder(DISPLAY)
    (read,) = decoder.feed(packet(struct.pack("<BBHIQ", 1, 1, 0, mask, 9) + fields), 0)
    assert not read.left.valid
    assert all(math.isnan(number) for number in (*read.left.gaze_px, *read.left.position_mm, read.left.pupil_mm))
    assert decoder.counters.losses() == {"out of range": 3}


def test_endless_garbage_costs_no_memory_and_not_the_packet_behind_it() -> None:
    decoder = EmerDecoder(DISPLAY)
    for _ in range(50):
        decoder.feed(b"\xa5" * 1000, 0)
    assert len(decoder.buffer) <= 4096
    assert gaze_of(decoder.feed(b"".join(stream(2, 3)), 0)) == [3, 4]
    assert decoder.counters.losses() == {"overlong": 1}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=600) | st.just(b"\0"), max_size=20))
def test_no_bytes_raise_and_a_packet_after_them_is_read(pieces: list[bytes]) -> None:
    decoder = EmerDecoder(Display())
    for piece in pieces:
        decoder.feed(piece, 0)
        assert len(decoder.buffer) <= 4096
    assert gaze_of(decoder.feed(b"\0" + encode_sample(sample(77, 7.0), 7, Display()), 0)) == [7]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_costs_the_damaged_packets_only(data: st.DataObject) -> None:
    packets = stream(6)
    victim = data.draw(st.integers(0, 4), label="victim")
    hurt = bytearray(packets[victim])
    at = data.draw(st.integers(0, len(hurt) - 1), label="at")
    match data.draw(st.sampled_from(["flip", "delete", "insert", "cut", "noise"]), label="damage"):
        case "flip":
            hurt[at] ^= 1 << data.draw(st.integers(0, 7))
        case "delete":
            del hurt[at]
        case "insert":
            hurt.insert(at, data.draw(st.integers(0, 255)))
        case "cut":
            del hurt[at:]
        case "noise":
            hurt[at : at + 20] = data.draw(st.binary(min_size=1, max_size=40))
    whole = b"".join([*packets[:victim], bytes(hurt), *packets[victim + 1 :]])
    read = gaze_of(EmerDecoder(DISPLAY).feed(whole, 0))
    assert [sample for sample in read if sample != victim] == [start for start in range(6) if start != victim]
