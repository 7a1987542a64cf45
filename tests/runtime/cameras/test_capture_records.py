"""What a capture process and its reader share: the ring of images, stamps, and records, however they are cut."""

from __future__ import annotations

import math
import os
import struct

import pytest

from emer_edge.core.errors import CameraError
from emer_edge.runtime.capture.grabber import frame_stamp
from emer_edge.runtime.capture.image_ring import SLOTS, RingReader, RingWriter, make_ring
from emer_edge.runtime.capture.records import Flags, Kind, Record, Records, packed


def test_the_ring_grows_while_it_is_read() -> None:
    ring = make_ring()
    try:
        writer, reader = RingWriter(ring), RingReader(ring)
        writer.slot(0, 72)[:] = bytes([7] * 72)
        writer.commit(0)
        assert reader.copy(0, writer.slot_bytes, 72) == bytes([7] * 72)
        for number in range(1, SLOTS + 1):
            writer.slot(number, 900_000)[:] = bytes([number]) * 900_000
            assert reader.copy(number, writer.slot_bytes, 900_000) is None  # not committed yet
            writer.commit(number)
        assert reader.copy(SLOTS, writer.slot_bytes, 900_000) == bytes([SLOTS]) * 900_000
        assert reader.copy(0, writer.slot_bytes, 900_000) is None  # overwritten
    finally:
        os.close(ring)


@pytest.mark.parametrize(
    ("position_ms", "stamp"),
    [
        (99_970.0, (99_970_000_000, "capture")),
        (100_000.5, (100_000_000_000, "capture")),
        (98_900.0, (100_000_000_000, "arrival")),
        (101_500.0, (100_000_000_000, "arrival")),
        (0.0, (100_000_000_000, "arrival")),
        (-1.0, (100_000_000_000, "arrival")),
        (math.nan, (100_000_000_000, "arrival")),
        (math.inf, (100_000_000_000, "arrival")),
        (1.7e12, (100_000_000_000, "arrival")),
    ],
    ids=["driver", "a-hair-ahead", "too-old", "ahead", "zero", "unknown", "nan", "inf", "wall-clock"],
)
def test_capture_time_counts_only_near_the_arrival(position_ms: float, stamp: tuple[int, str]) -> None:
    assert frame_stamp(position_ms, 100_000_000_000) == stamp


IMAGE = Record(Kind.IMAGE, Flags.REPEAT, "capture", "jpeg", 480, 640, 1_228_800, 7, 10**12, 40_000)
FAILED = Record(Kind.FAILED, text={"error": "ä" * 300})


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_records_come_back_however_they_are_cut(size: int) -> None:
    data = packed(IMAGE) + packed(FAILED) + packed(IMAGE)
    records, parsed = Records(), []
    for at in range(0, len(data), size):
        parsed += records.feed(data[at : at + size])
    assert parsed == [IMAGE, FAILED, IMAGE]


def scribbled(at: int, layout: str, *numbers: int) -> bytes:
    data = bytearray(packed(IMAGE))
    struct.pack_into(layout, data, at, *numbers)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        scribbled(0, "=B", 9),
        scribbled(2, "=B", 99),
        scribbled(3, "=B", 99),
        scribbled(3, "=B", 0),  # B, G, R of 40,000 bytes
        scribbled(4, "=II", 10**6, 10**6),
        scribbled(12, "=Q", 2**60),
        scribbled(20, "=q", -1),
        scribbled(36, "=i", -40),
        scribbled(36, "=i", 2**31 - 1),
        scribbled(40, "=I", 1_400_000),
        packed(Record(Kind.FAILED)),
        packed(Record(Kind.FAILED, text={"error": "x"})).replace(b'"error"', b'"error '),
        packed(FAILED).replace(b'{"error"', b'["error",', 1)[:-1] + b"]",
    ],
    ids=[
        "kind",
        "clock",
        "coding",
        "bytes",
        "size",
        "slot",
        "number",
        "length",
        "endless",
        "larger",
        "no-error",
        "no-json",
        "no-object",
    ],
)
def test_what_no_capture_process_writes_is_one_error(data: bytes) -> None:
    with pytest.raises(CameraError, match="nonsense"):
        Records().feed(data + bytes(40))
