from __future__ import annotations

import struct

import pytest

from emer_edge.core.errors import CameraError
from emer_edge.runtime.cameras.capture_records import Flags, Kind, Record, Records, packed

IMAGE = Record(Kind.IMAGE, Flags.BLACK, 480, 640, 1_228_800, 7, 10**12, "capture", 40_000)
FAILED = Record(Kind.FAILED, text={"error": "ä" * 300})


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_records_come_back_however_they_are_cut(size: int) -> None:
    data = packed(IMAGE) + packed(FAILED) + packed(IMAGE)
    records, found = Records(), []
    for at in range(0, len(data), size):
        found += records.feed(data[at : at + size])
    assert found == [IMAGE, FAILED, IMAGE]


def scribbled(at: int, layout: str, *numbers: int) -> bytes:
    data = bytearray(packed(IMAGE))
    struct.pack_into(layout, data, at, *numbers)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        scribbled(0, "=B", 9),
        scribbled(2, "=H", 99),
        scribbled(4, "=II", 10**6, 10**6),
        scribbled(12, "=Q", 2**60),
        scribbled(20, "=q", -1),
        scribbled(36, "=i", -40),
        scribbled(36, "=i", 2**31 - 1),
        scribbled(40, "=I", 400_000),
        packed(Record(Kind.FAILED)),
        packed(Record(Kind.FAILED, text={"error": "x"})).replace(b'"error"', b'"error '),
        packed(FAILED).replace(b'{"error"', b'["error",', 1)[:-1] + b"]",
    ],
    ids=[
        "kind",
        "clock",
        "size",
        "slot",
        "number",
        "length",
        "endless",
        "original",
        "no-error",
        "no-json",
        "no-object",
    ],
)
def test_what_no_capture_process_writes_is_one_error(data: bytes) -> None:
    with pytest.raises(CameraError, match="nonsense"):
        Records().feed(data + bytes(40))
