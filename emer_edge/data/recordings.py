"""Recordings: a folder with a face video, a tracker's export, and `recording.json`, which says how they fit.

    {"schema": 1, "video": "video.avi", "tracker": "tracker.tsv", "offset_ms": 0.0, "participant": "p1",
     "display": {"width_px": 1920, "height_px": 1080, "width_mm": 527.0, "height_mm": 296.0}}

`offset_ms` added to a time of the tracker's export gives the time in the video, whose first frame is at 0. `display`,
`participant`, and `stimulus` (`left_px`, `top_px`, `width_px`, `height_px`) may be left out.

The export is Tobii Pro Lab's (TSV, XLSX): gaze rows with their times, other sensors' rows left out. Both header
generations are read: `Gaze point left X [DACS mm]` and `Gaze point left X (DACSmm)`. An export needs the 39 gaze
columns, a `Recording timestamp`, and may hold `Eyetracker timestamp`, `Sensor`, and the display's resolution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import GAZE_MM, GAZE_PX, VALIDITY, VALIDITY_CODES
from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.samples import Display, StimulusRect, TrackerSample
from emer_edge.core.whole_file import whole_file
from emer_edge.data.sheets import find_time_column, parse_cells, parse_times_ns, validity_is_worded
from emer_edge.data.tables import Table, cell_text, parse_number, read_table
from emer_edge.signals.rows import eye_reading
from emer_edge.signals.stream import nominal_rate_hz

_EYE_SENSOR: Final = "eye tracker"
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
        """Nominal rate; 0 with fewer than two rows."""
        return nominal_rate_hz(self.times_ns.tolist())

    def samples(self, offset_ns: int = 0) -> Iterator[TrackerSample]:
        """Yield the rows as a tracker would have sent them, columns 33 to 39 left out.

        Args:
            offset_ns: added to the recording's clock; arrival equals the stamp.
        """
        times = (self.times_ns + offset_ns).tolist()
        device = self.times_ns if self.device_ns is None else self.device_ns
        stamps = zip(self.values.tolist(), times, device.tolist(), self.valid.tolist(), strict=True)
        for row, stamp_ns, device_ns, (left, right) in stamps:
            yield TrackerSample(
                device_ns, stamp_ns, stamp_ns, left=eye_reading(row, 0, left), right=eye_reading(row, 1, right)
            )


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
        device_ns = parse_times_ns(table, rows, numbers, device, unit_ns=unit)
    valid = _valid_eyes(values, worded=validity_is_worded(rows, table.header))
    return TobiiExport(
        path,
        values,
        times_ns,
        device_ns,
        valid=valid,
        display=_display(table, rows, values),
        other_rows=len(table.rows) - len(rows),
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
            for px, mm in zip(GAZE_PX, GAZE_MM, strict=True)
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
    px, mm = (np.concatenate([values[:, eye][:, axis] for eye in eyes]) for eyes in (GAZE_PX, GAZE_MM))
    both = np.isfinite(px) & np.isfinite(mm) & (np.abs(px) > 1.0)
    return float(np.median(mm[both] / px[both])) if both.any() else 0.0


RECORDING_FILE: Final = "recording.json"
RECORDING_SCHEMA: Final = 1
_MAX_OFFSET_MS: Final = 86_400_000.0


class _Display(msgspec.Struct, forbid_unknown_fields=True):
    width_px: int
    height_px: int
    width_mm: float
    height_mm: float


class _Stimulus(msgspec.Struct, forbid_unknown_fields=True):
    left_px: float
    top_px: float
    width_px: float
    height_px: float


class _Schema(msgspec.Struct):
    schema: int


class _File(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    schema: int
    video: str
    tracker: str
    offset_ms: float
    display: _Display | None = None
    stimulus: _Stimulus | None = None
    participant: str | None = None


@dataclass(frozen=True)
class Recording:
    """An opened recording.

    Attributes:
        path: its folder.
        video: its face video.
        tracker: its tracker export.
        offset_ms: tracker time plus this is video time.
        display: the display that was looked at, or None.
        stimulus: where the stimulus lay, or None for the whole display.
        participant: who was recorded, or None.
    """

    path: Path
    video: Path
    tracker: Path
    offset_ms: float
    display: Display | None
    stimulus: StimulusRect | None
    participant: str | None

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.path.name

    @property
    def offset_ns(self) -> int:
        """`offset_ms` in nanoseconds."""
        return round(self.offset_ms * 1e6)

    def export(self) -> TobiiExport:
        """Read the tracker's export; DataError when it can't be used."""
        return read_export(self.tracker)


def is_recording(path: Path) -> bool:
    """Tell whether a folder says it is a recording."""
    return (path / RECORDING_FILE).is_file()


def open_recording(path: Path) -> Recording:
    """Open a recording folder.

    Raises:
        DataError: no folder, no or wrong `recording.json`, a newer schema, or a file that is missing or lies outside of
            the folder.
    """
    folder = Path(path)
    file = folder / RECORDING_FILE
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{folder} is no recording: can't open {file.name}: {error.strerror or error}") from error
    try:
        schema = msgspec.json.decode(content, type=_Schema).schema
        if schema > RECORDING_SCHEMA:
            raise DataError(
                f"{file} has schema {schema}, this version reads up to {RECORDING_SCHEMA}; upgrade emer-edge"
            )
        read = msgspec.json.decode(content, type=_File)
        display = None if read.display is None else Display(**msgspec.structs.asdict(read.display))
    except (msgspec.DecodeError, ConfigurationError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not a recording's description: {error}") from error
    if schema < 1 or not abs(read.offset_ms) <= _MAX_OFFSET_MS:
        wrong = f"schema {schema}" if schema < 1 else f"an offset of {read.offset_ms} ms"
        raise DataError(f"{file} names {wrong}, which can't be")
    stimulus = None if read.stimulus is None else StimulusRect(**msgspec.structs.asdict(read.stimulus))
    if stimulus is not None and min(stimulus.width_px, stimulus.height_px) <= 0:
        raise DataError(f"{file} names a stimulus without area")
    video, tracker = (_inside(folder, name, file) for name in (read.video, read.tracker))
    return Recording(
        folder, video, tracker, read.offset_ms, display=display, stimulus=stimulus, participant=read.participant
    )


def write_recording_file(
    folder: Path,
    *,
    video: str,
    tracker: str,
    offset_ms: float = 0.0,
    display: Display | None = None,
    participant: str | None = None,
) -> Path:
    """Write `recording.json` beside the two files it names, at once; return its path."""
    shown = None
    if display is not None:
        shown = _Display(display.width_px, display.height_px, display.width_mm, display.height_mm)
    described = _File(
        RECORDING_SCHEMA, video, tracker, offset_ms, display=shown, stimulus=None, participant=participant
    )
    path = folder / RECORDING_FILE
    with whole_file(path) as unfinished:
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n")
    return path


def _inside(folder: Path, name: str, file: Path) -> Path:
    path = folder / name
    try:
        inside = bool(name) and "\x00" not in name and path.resolve().is_relative_to(folder.resolve())
        found = inside and path.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, not encodable, or links that lead to each other
        raise DataError(f"{file} names {name[:80]!r}, which can't be the name of a file") from None
    if not inside:
        raise DataError(f"{file} names {name!r}, which lies outside of the recording's folder")
    if not found:
        raise DataError(f"{file} names {name!r}, and there is no such file beside it")
    return path
