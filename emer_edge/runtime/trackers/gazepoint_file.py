"""Gazepoint's CSV files: the record's field names as a header, a line a record.

Among them `TIME(2023/05/04 10:11:12.345)`, seconds since that moment, and `TIMETICK(f=10000000)`, ticks of that
frequency. The time column counts; ticks are used where a file has no other. Columns of other things are passed over.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from emer_edge.errors import TrackerError
from emer_edge.runtime.trackers.base import Counters
from emer_edge.runtime.trackers.gazepoint import CameraPlace, RecordReader
from emer_edge.runtime.trackers.lines import number_in
from emer_edge.spec.samples import Display, TrackerSample

__all__ = ["GazepointFile", "is_gazepoint_header", "read_gazepoint_csv"]

_LARGEST_BYTES: Final = 1 << 30
_NAME: Final = re.compile(r"\s*(TIME_?TICK|TIME|\w+)\s*(?:\((.*)\))?\s*\Z")
_FREQUENCY: Final = re.compile(r"f\s*=\s*(\d+(?:\.\d+)?)")
_GAZE: Final = re.compile(rb"(?:^|[,;\t])\s*\"?[LRBF]POGX\"?\s*[,;\t]")


@dataclass(frozen=True)
class GazepointFile:
    """A file's samples.

    Attributes:
        samples: stamped in the file's own time, in order.
        counters: what became of its lines.
        fields: which fields it has.
        positions_left_out: it has eye positions that nobody has said how to place.
    """

    samples: tuple[TrackerSample, ...]
    counters: Counters
    fields: frozenset[str]
    positions_left_out: bool


def is_gazepoint_header(line: bytes) -> bool:
    """Whether a line is the header of a Gazepoint CSV."""
    return _GAZE.search(line) is not None


def read_gazepoint_csv(path: Path, display: Display, camera: CameraPlace | None = None) -> GazepointFile:
    """Read a file.

    Args:
        path: the file.
        display: the display that gaze fractions refer to.
        camera: where the tracker's camera stood; None leaves eye positions out.

    Raises:
        TrackerError: no time column, no record that can be read, or times that run backwards.
    """
    if path.stat().st_size > _LARGEST_BYTES:
        raise TrackerError(f"{path} is larger than {_LARGEST_BYTES >> 30} GiB; export one recording a file")
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("ascii", "replace").replace("\0", "")
    header, _, body = text.partition("\n")
    separator = next((each for each in (";", "\t") if each in header), ",")
    names, tick_hz = _names(header.strip().split(separator))
    if "TIME" not in names and not ("TIME_TICK" in names and tick_hz):
        raise TrackerError(f"{path} has no TIME column; export it from Gazepoint Analysis too")
    counters, fields = Counters(), set[str]()
    reader = RecordReader(display, counters, fields, camera)
    reader.tick_hz = None if "TIME" in names else tick_hz
    samples: list[TrackerSample] = []
    for line in body.split("\n"):
        numbers = _numbers(names, line.strip("\r"), separator)
        if numbers is None:
            counters.garbage += bool(line.strip())
            continue
        sample = reader.read(numbers, 0)
        if sample is not None and sample.device_ns is not None:
            stamp_ns = sample.device_ns
            samples.append(TrackerSample(stamp_ns, stamp_ns, stamp_ns, sample.left, sample.right))
    if not samples:
        raise TrackerError(f"{path} has a header but no record that can be read ({counters.garbage} bad lines)")
    for number, (before, after) in enumerate(pairwise(samples), start=2):
        if after.stamp_ns < before.stamp_ns:
            raise TrackerError(f"{path}, record {number}: time runs backwards; does the file hold several recordings?")
    return GazepointFile(
        tuple(samples),
        counters,
        frozenset(fields),
        reader.saw_positions and not any("position" in each for each in fields),
    )


def _names(header: list[str]) -> tuple[list[str], float | None]:
    """The fields' names, and the frequency of the tick column where it is given."""
    names: list[str] = []
    tick_hz: float | None = None
    for cell in header:
        match = _NAME.match(cell.strip().strip('"'))
        name = match[1] if match else cell
        if match and name in ("TIMETICK", "TIME_TICK"):
            name = "TIME_TICK"
            frequency = _FREQUENCY.search(match[2] or "")
            tick_hz = float(frequency[1]) if frequency and float(frequency[1]) > 0 else None
        names.append(name)
    return names, tick_hz


def _numbers(names: list[str], line: str, separator: str) -> dict[str, float] | None:
    """Field name -> number, others left out; None for a line of another length.

    Lines are taken one by one, so that a stray quotation mark costs its own line only.
    """
    try:
        cells = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return None
    if not len(names) - 1 <= len(cells) <= len(names) + 1:  # a separator may end the header or the lines
        return None
    numbers = {}
    for name, cell in zip(names, cells, strict=False):
        number = number_in(cell.strip().encode())
        if number is not None and not math.isnan(number):
            numbers[name] = number
    return numbers
