"""Tobii Pro Lab exports of one recording (TSV, XLSX): gaze rows with their times, other sensors' rows left out.

Both header generations are read: `Gaze point left X [DACS mm]` and `Gaze point left X (DACSmm)`. An export needs the 39
gaze columns, a `Recording timestamp`, and may hold `Eyetracker timestamp`, `Sensor`, and the display's resolution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.sheets import find_time_column, parse_cells, parse_times_ns, validity_is_worded
from emer_edge.data.tables import Table, cell_text, parse_number, read_table
from emer_edge.errors import DataError
from emer_edge.spec.columns import GAZE_POINT_LEFT, GAZE_POINT_RIGHT, VALIDITY, VALIDITY_CODES
from emer_edge.spec.samples import Display, EyeReading, TrackerSample

__all__ = ["TobiiExport", "read_export"]

_EYE_SENSOR: Final = "eye tracker"
_LEFT_MM: Final = slice(22, 24)
_RIGHT_MM: Final = slice(24, 26)
_BACKWARDS_NS: Final = 1_000_000_000


@dataclass(frozen=True)
class TobiiExport:
    """The gaze rows of one recording.

    Attributes:
        path: the file.
        values: (n, 39) float64, NaN where a cell is blank.
        times_ns: (n,) int64, the recording's own clock.
        device_ns: (n,) int64, the tracker's clock, or None where the export leaves it out.
        valid: (n, 2) bool, left and right: the tracker vouches for the eye and gives its gaze point.
        display: the display's size as far as the export tells it, else None.
        other_rows: rows of other sensors and events that were left out.
    """

    path: Path
    values: NDArray[np.float64]
    times_ns: NDArray[np.int64]
    device_ns: NDArray[np.int64] | None
    valid: NDArray[np.bool_]
    display: Display | None
    other_rows: int

    @property
    def rows(self) -> NDArray[np.float32]:
        """(n, 39) float32 as the network reads them: missing cells 0, columns 33 to 39 as the export has them."""
        return np.nan_to_num(self.values, nan=0.0).astype(np.float32)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(n,) bool, whether any eye was seen."""
        return np.asarray(self.valid.any(axis=1))

    @property
    def rate_hz(self) -> float:
        """Nominal rate, from the median step; 0 with fewer than two rows."""
        if len(self.times_ns) < 2:
            return 0.0
        step_ns = float(np.median(np.diff(self.times_ns)))
        return 1e9 / step_ns if step_ns > 0 else 0.0

    def samples(self, offset_ns: int = 0) -> Iterator[TrackerSample]:
        """Yield the rows as a tracker would have sent them, columns 33 to 39 left out.

        Args:
            offset_ns: added to the recording's clock; arrival equals the stamp.
        """
        times = (self.times_ns + offset_ns).tolist()
        device = self.times_ns if self.device_ns is None else self.device_ns
        stamps = zip(self.values.tolist(), times, device.tolist(), self.valid.tolist(), strict=True)
        for row, stamp_ns, device_ns, (left, right) in stamps:
            yield TrackerSample(device_ns, stamp_ns, stamp_ns, _eye(row, 0, left), _eye(row, 1, right))


def read_export(path: Path) -> TobiiExport:
    """Read an export.

    Raises:
        DataError: no table, missing columns or times, no gaze row, several recordings in one file, or a cell that is
            not a number; the message names the place.
    """
    table = read_table(path)
    time_column = find_time_column(table.header)
    if time_column is None:
        raise DataError(
            f"{path} has no time column; export `Recording timestamp` too (the header holds {', '.join(table.header)})"
        )
    rows, numbers = _gaze_rows(table)
    if not rows:
        raise DataError(f"{path} holds no row of the eye tracker")
    values = parse_cells(table, rows, numbers)
    times_ns = parse_times_ns(table, rows, numbers, *time_column)
    back = np.flatnonzero(np.diff(times_ns) < -_BACKWARDS_NS)
    if len(back):
        raise DataError(
            f"{path}, row {numbers[int(back[0]) + 1]}: time starts again; the file holds several recordings, "
            "export each into a file of its own"
        )
    device = _position(table.header, r"eye ?tracker timestamp")
    device_ns = None
    if device is not None and all(cell_text(row[device]) for row in rows):
        unit = 1_000_000 if re.search(r"[\[(]\s*ms", table.header[device].lower()) else 1_000
        device_ns = parse_times_ns(table, rows, numbers, device, unit)
    valid = _valid_eyes(values, worded=validity_is_worded(rows, table.header))
    return TobiiExport(
        path, values, times_ns, device_ns, valid, _display(table, rows, values), len(table.rows) - len(rows)
    )


def _gaze_rows(table: Table) -> tuple[list[list[Any]], list[int]]:
    """Rows of the eye tracker: by the sensor column, else those with anything in the gaze columns."""
    sensor = _position(table.header, r"sensor")
    numbered = list(enumerate(table.rows, start=table.first_row))
    if sensor is not None and any(cell_text(row[sensor]).lower() == _EYE_SENSOR for row in table.rows):
        kept = [each for each in numbered if cell_text(each[1][sensor]).lower() == _EYE_SENSOR]
    else:
        gaze = [at for at, name in enumerate(table.header) if re.match(r"(?i)gaze|pupil|validity|eye ", name)]
        gaze = [at for at in gaze if "timestamp" not in table.header[at].lower()]
        kept = [each for each in numbered if any(cell_text(each[1][at]) for at in gaze)]
    return [row for _, row in kept], [number for number, _ in kept]


def _valid_eyes(values: NDArray[np.float64], *, worded: bool) -> NDArray[np.bool_]:
    """(n, 2): eyes with a gaze point; where validity is written in words it must say so too."""
    valid = np.stack(
        [
            np.isfinite(values[:, px]).all(axis=1) & (values[:, px] != 0).any(axis=1)
            | np.isfinite(values[:, mm]).all(axis=1) & (values[:, mm] != 0).any(axis=1)
            for px, mm in ((GAZE_POINT_LEFT, _LEFT_MM), (GAZE_POINT_RIGHT, _RIGHT_MM))
        ],
        axis=1,
    )
    return valid & (values[:, VALIDITY] == VALIDITY_CODES["Valid"]) if worded else valid


def _position(header: Sequence[str], pattern: str) -> int | None:
    wanted = re.compile(pattern + r"\s*(?:[\[(].*)?$", re.IGNORECASE)
    return next((at for at, name in enumerate(header) if wanted.match(name)), None)


def _display(table: Table, rows: Sequence[Sequence[Any]], values: NDArray[np.float64]) -> Display | None:
    """Resolution as the export names it; millimetres from the gaze points given in both units."""
    sizes = []
    for side in ("width", "height"):
        at = _position(table.header, rf"recording resolution {side}")
        cell = next((row[at] for row in rows if cell_text(row[at])), "") if at is not None else ""
        try:
            size = parse_number(cell)
        except ValueError:
            size = math.nan
        if not 1 <= size <= 100_000:
            return None
        sizes.append(round(size))
    scales = [_scale(values, axis) for axis in (0, 1)]
    if min(scales) <= 0:
        return None
    width_px, height_px = sizes
    return Display(width_px, height_px, round(width_px * scales[0], 1), round(height_px * scales[1], 1))


def _scale(values: NDArray[np.float64], axis: int) -> float:
    """Millimetres a pixel along one axis: the slope of the gaze points in mm over those in px; 0 where unknown."""
    px = np.concatenate((values[:, 2 + axis], values[:, 4 + axis]))
    mm = np.concatenate((values[:, 22 + axis], values[:, 24 + axis]))
    both = np.isfinite(px) & np.isfinite(mm) & (np.abs(px) > 1.0)
    return float(np.median(mm[both] / px[both])) if both.any() else 0.0


def _eye(row: list[float], eye: int, valid: bool) -> EyeReading:
    gaze, direction, position, point = 2 + 2 * eye, 6 + 3 * eye, 16 + 3 * eye, 22 + 2 * eye
    return EyeReading(
        (row[gaze], row[gaze + 1]),
        (row[point], row[point + 1]),
        (row[direction], row[direction + 1], row[direction + 2]),
        (row[position], row[position + 1], row[position + 2]),
        row[12 + eye],
        valid,
    )
