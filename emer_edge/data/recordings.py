"""Recordings: a folder with a face video, a tracker's export, and `recording.json`, which links them.

    {"schema": 1, "video": "video.avi", "tracker": "tracker.tsv", "offset_ms": 0.0, "participant": "p1",
     "display": {"width_px": 1920, "height_px": 1080, "width_mm": 527.0, "height_mm": 296.0}}

`offset_ms` added to a time of the tracker's export gives the time in the video, whose first frame is at 0. `display`,
`participant`, and `stimulus` (`left_px`, `top_px`, `width_px`, `height_px`) are optional.

The export is Tobii Pro Lab's (TSV, XLSX), with headers of either generation: `Gaze point left X [DACS mm]` or `Gaze
point left X (DACSmm)`. It needs the 39 gaze columns and a `Recording timestamp`, and may hold `Eyetracker timestamp`,
`Sensor`, and the display's resolution. Rows of other sensors are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import GAZE_MM, GAZE_PX, VALIDITY, VALIDITY_CODES
from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.numbers import number_or_nan
from emer_edge.core.samples import Display, StimulusRect, TrackerSample
from emer_edge.core.standard_streams import to_json
from emer_edge.core.text import decode_text
from emer_edge.core.whole_file import whole_file
from emer_edge.data import sheets
from emer_edge.data.tables import Table, cell_text, read_table
from emer_edge.signals.rows import eye_reading
from emer_edge.signals.time_units import nominal_rate_hz

_EYE_SENSOR: Final = "eye tracker"
_BACKWARDS_NS: Final = 1_000_000_000


@dataclass(frozen=True)
class TobiiExport:
    """The gaze rows of one recording.

    Attributes:
        path: the file.
        values: (n, 39) float64, NaN where a cell is blank.
        times_ns: (n,) int64, the recording's own clock.
        device_ns: (n,) int64, the tracker's clock, or None.
        valid: (n, 2) bool, left and right: the tracker calls the eye valid and gives its gaze point.
        display: the display's size where the export gives it, else None.
        other_rows: skipped rows of other sensors and events.
        notes: what was guessed or derived, for sentences about the file.
    """

    path: Path
    values: NDArray[np.float64]
    times_ns: NDArray[np.int64]
    device_ns: NDArray[np.int64] | None
    valid: NDArray[np.bool_]
    display: Display | None
    other_rows: int
    notes: tuple[str, ...] = ()

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
        """Yield the rows as samples, without columns 33 to 39; `offset_ns` is added to the recording's clock.

        Arrival equals the stamp.
        """
        times = (self.times_ns + offset_ns).tolist()
        device = self.times_ns if self.device_ns is None else self.device_ns
        stamps = zip(self.values.tolist(), times, device.tolist(), self.valid.tolist(), strict=True)
        for row, stamp_ns, device_ns, (left, right) in stamps:
            yield TrackerSample(
                device_ns, stamp_ns, stamp_ns, left=eye_reading(row, 0, left), right=eye_reading(row, 1, right)
            )


def read_export(path: Path) -> TobiiExport:
    """Read an export; DataError where it is no table, and as `export_of`."""
    return export_of(read_table(path, lambda header: sheets.eye_header(header, path)))


def export_of(table: Table) -> TobiiExport:
    """The gaze rows of an export's table.

    Raises:
        DataError: missing columns or times, no gaze row, several recordings in one file, or a cell that is not a
            number, with its place.
    """
    path = table.path
    time_column = sheets.find_time_column(table.header)
    if time_column is None:
        raise DataError(
            f"{path} has no time column; export `Recording timestamp` too (the header holds {', '.join(table.header)})"
        )
    rows, numbers = _gaze_rows(table)
    if not rows:
        raise DataError(f"{path} holds no row of the eye tracker")
    values, notes = sheets.parse_cells(table, rows, numbers)
    times_ns = sheets.parse_times_ns(table, rows, numbers, *time_column)
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
        device_ns = sheets.parse_times_ns(table, rows, numbers, device, unit_ns=unit)
    valid = _valid_eyes(values, worded=sheets.validity_is_worded(rows, table.header))
    display, others = _display(table, rows, values), len(table.rows) - len(rows)
    return TobiiExport(path, values, times_ns, device_ns, valid=valid, display=display, other_rows=others, notes=notes)


def _gaze_rows(table: Table) -> tuple[list[list[Any]], list[int]]:
    """Rows of the eye tracker, by the sensor column or else by filled gaze columns, and their numbers."""
    sensor = _position(table.header, r"sensor")
    numbered = list(enumerate(table.rows, start=table.first_row))
    if sensor is not None and any(cell_text(row[sensor]).lower() == _EYE_SENSOR for row in table.rows):
        kept = [(number, row) for number, row in numbered if cell_text(row[sensor]).lower() == _EYE_SENSOR]
    else:
        gaze = [at for at, name in enumerate(table.header) if re.match(r"(?i)gaze|pupil|validity|eye ", name)]
        gaze = [at for at in gaze if "timestamp" not in table.header[at].lower()]
        kept = [(number, row) for number, row in numbered if any(cell_text(row[at]) for at in gaze)]
    return [row for _, row in kept], [number for number, _ in kept]


def _valid_eyes(values: NDArray[np.float64], *, worded: bool) -> NDArray[np.bool_]:
    """(n, 2): eyes with a gaze point, and with `Valid` where validity is written in words."""

    def given(columns: slice) -> NDArray[np.bool_]:
        points = values[:, columns]
        return np.asarray(np.isfinite(points).all(axis=1) & (points != 0).any(axis=1))

    valid = np.stack([given(px) | given(mm) for px, mm in zip(GAZE_PX, GAZE_MM, strict=True)], axis=1)
    return valid & (values[:, VALIDITY] == VALIDITY_CODES["Valid"]) if worded else valid


def _position(header: Sequence[str], pattern: str) -> int | None:
    name_and_unit = re.compile(pattern + r"\s*(?:[\[(].*)?$", re.IGNORECASE)
    return next((at for at, name in enumerate(header) if name_and_unit.match(name)), None)


def _display(table: Table, rows: Sequence[Sequence[Any]], values: NDArray[np.float64]) -> Display | None:
    """Resolution of the export's columns; millimetres from gaze points in both units."""
    sizes = []
    for side in ("width", "height"):
        at = _position(table.header, rf"recording resolution {side}")
        cell = next((row[at] for row in rows if cell_text(row[at])), "") if at is not None else ""
        size = number_or_nan(cell)
        if not 1 <= size <= 100_000:
            return None
        sizes.append(round(size))
    scales = [_scale(values, axis) for axis in (0, 1)]
    if min(scales) <= 0:
        return None
    return Display(*sizes, *(round(size * scale, 1) for size, scale in zip(sizes, scales, strict=True)))


def _scale(values: NDArray[np.float64], axis: int) -> float:
    """Millimetres a pixel along one axis: the slope of the gaze points in mm over those in px; 0 where unknown."""
    px, mm = (np.concatenate([values[:, eye][:, axis] for eye in eyes]) for eyes in (GAZE_PX, GAZE_MM))
    both = np.isfinite(px) & np.isfinite(mm) & (np.abs(px) > 1.0)
    return float(np.median(mm[both] / px[both])) if both.any() else 0.0


RECORDING_FILE: Final = "recording.json"
SYNTHETIC_FILE: Final = "synthetic.json"
"""Beside those of a recording that was simulated."""

RECORDING_SCHEMA: Final = 1
_MAX_OFFSET_MS: Final = 86_400_000.0


Description = TypeVar("Description")


class _Schema(msgspec.Struct):
    schema: int


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
    """An opened recording: its folder, face video, tracker export, and `recording.json`.

    Attributes:
        offset_ms: tracker time plus this is video time.
        stimulus: None for the whole display.
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

    def export(self) -> TobiiExport:
        """Read the tracker's export; DataError when it can't be used."""
        return read_export(self.tracker)


def is_recording(path: Path) -> bool:
    """Whether a folder holds a `recording.json`."""
    return (path / RECORDING_FILE).is_file()


def read_description(file: Path, kind: type[Description], newest: int, noun: str) -> Description:
    """Decode a versioned JSON file that describes its folder, `noun` in messages.

    Raises:
        DataError: the file can't be opened, is invalid, or has a newer schema than `newest`.
    """
    try:
        content = decode_text(file.read_bytes(), file, guess=False).text
        schema = msgspec.json.decode(content, type=_Schema).schema
        if schema > newest:
            raise DataError(f"{file} has schema {schema}, this version reads up to {newest}; upgrade emer-edge")
        return msgspec.json.decode(content, type=kind)
    except OSError as error:
        raise DataError(f"{file.parent} is no {noun}: can't open {file.name}: {error.strerror or error}") from error
    except (msgspec.DecodeError, ConfigurationError, UnicodeError, RecursionError) as error:
        raise DataError(f"{file} is not a {noun}'s description: {error}") from error


def open_recording(path: Path) -> Recording:
    """Open a recording folder.

    Raises:
        DataError: no folder, no or wrong `recording.json`, a newer schema, or a file that is missing or outside of the
            folder.
    """
    folder = Path(path)
    file = folder / RECORDING_FILE
    read = read_description(file, _File, RECORDING_SCHEMA, "recording")
    try:
        display = None if read.display is None else Display(**msgspec.structs.asdict(read.display))
    except ConfigurationError as error:
        raise DataError(f"{file} is not a recording's description: {error}") from error
    if read.schema < 1 or not abs(read.offset_ms) <= _MAX_OFFSET_MS:
        wrong = f"schema {read.schema}" if read.schema < 1 else f"an offset of {read.offset_ms} ms"
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
    """Write `recording.json` beside the two files that it names, atomically; return its path."""
    size = None if display is None else _Display(**asdict(display))
    described = _File(RECORDING_SCHEMA, video, tracker, offset_ms, display=size, participant=participant)
    path = folder / RECORDING_FILE
    with whole_file(path) as unfinished:
        unfinished.write_bytes(msgspec.json.format(to_json(described), indent=2) + b"\n")
    return path


def _inside(folder: Path, name: str, file: Path) -> Path:
    path = folder / name
    try:
        inside = bool(name) and "\x00" not in name and path.resolve().is_relative_to(folder.resolve())
        exists = inside and path.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, not encodable, or links that lead to each other
        raise DataError(f"{file} names {name[:80]!r}, which can't be the name of a file") from None
    if not inside:
        raise DataError(f"{file} names {name!r}, which is outside of the recording's folder")
    if not exists:
        raise DataError(f"{file} names {name!r}, and there is no such file beside it")
    return path
