"""Recordings: a folder with a face video, a tracker's export, and `recording.json`, which says how they fit.

    {"schema": 1, "video": "video.avi", "tracker": "tracker.tsv", "offset_ms": 0.0, "participant": "p1",
     "display": {"width_px": 1920, "height_px": 1080, "width_mm": 527.0, "height_mm": 296.0}}

`offset_ms` added to a time of the tracker's export gives the time in the video, whose first frame is at 0. `display`,
`participant`, and `stimulus` (`left_px`, `top_px`, `width_px`, `height_px`) may be left out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from emer_edge.data.tobii import TobiiExport, read_export
from emer_edge.errors import ConfigurationError, DataError
from emer_edge.spec.samples import Display, StimulusRect

__all__ = ["RECORDING_FILE", "RECORDING_SCHEMA", "Recording", "is_recording", "open_recording", "write_recording_file"]

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
    return Recording(folder, video, tracker, read.offset_ms, display, stimulus, read.participant)


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
    described = _File(RECORDING_SCHEMA, video, tracker, offset_ms, shown, None, participant)
    path = folder / RECORDING_FILE
    unfinished = path.with_suffix(".json.new")
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n")
    os.replace(unfinished, path)
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
