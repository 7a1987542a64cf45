"""Eye sheets: the 39 columns of one clip by their headers, cached.

Missing cells are 0. Words are coded by the tables of `emer_edge.core.columns`; numbers are unchanged, because the
coding of EMER's validity and eye movement type is not published.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge import __version__
from emer_edge.core.columns import (
    COLUMN_KEYS,
    GAZE_POINT,
    GAZE_PX,
    MOVEMENT_CODES,
    PUPILS,
    VALIDITY,
    VALIDITY_CODES,
    column_indices,
    column_words,
    match_header,
)
from emer_edge.core.errors import DataError
from emer_edge.core.whole_file import write_private
from emer_edge.core.window import EYE_COLUMN_COUNT
from emer_edge.data import cache
from emer_edge.data.derived import DERIVABLE, can_derive, derive, resolution_columns
from emer_edge.data.known_files import known_header
from emer_edge.data.tables import Table, cell_text, column_numbers, read_table

READER_VERSION: Final = 2  # in the stamp of cache entries: raise it when the same sheet would be read differently
_WORDS: Final = {
    word.lower().replace(" ", ""): code for table in (VALIDITY_CODES, MOVEMENT_CODES) for word, code in table.items()
}
_VALIDITY_AT: Final = column_indices(VALIDITY)
_SEEN_AT: Final = column_indices(GAZE_POINT, *GAZE_PX, PUPILS)
_TIME_NAMES: Final = ("recording timestamp", "recordingtimestamp", "timestamp", "time")
_UNITS_NS: Final = {"ns": 1, "us": 1_000, "μs": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TIME: Final = re.compile(r"^(?P<name>[a-z ]+?)\s*(?:[\[(]\s*(?P<unit>[^\])]+?)\s*[\])])?$")


@dataclass(frozen=True)
class EyeTrack:
    """The eye rows of one clip.

    Attributes:
        rows: (n, 39) float32, missing cells 0, columns 33 to 39 as the sheet has them.
        times_ns: (n,) int64, nanoseconds after the start of the clip, ascending; all 0 unless `timed`.
        seen: (n,) bool, whether any eye was seen.
        timed: whether the sheet holds times.
        notes: what was guessed or derived, for sentences about the sheet.
    """

    rows: NDArray[np.float32]
    times_ns: NDArray[np.int64]
    seen: NDArray[np.bool_]
    timed: bool
    notes: tuple[str, ...] = ()


def read_sheet(path: Path, *, use_cache: bool = True) -> EyeTrack:
    """Read an eye sheet (XLSX, TSV or CSV), from the cache if its content is unchanged.

    Raises:
        DataError: the file can't be read, lacks a column, holds no row, or a cell is not a number.
    """
    try:
        path.stat()
    except OSError as error:
        raise DataError(f"can't open the eye sheet {path}: {error.strerror or error}") from error
    content = cache.contents_of([path]) if use_cache else ""
    stamp = np.array([f"reader {READER_VERSION} of {__version__}", content])
    entry = cache.entry_path("sheets", path, ".npz")
    if use_cache and (cached := load_entry(entry, stamp)) is not None:
        return cached
    track = _parse(read_table(path, lambda header: eye_header(header, path)))
    if use_cache and cache.contents_of([path]) == content:
        buffer = io.BytesIO()
        np.savez(buffer, stamp=stamp, **{**vars(track), "notes": np.array(track.notes, str)})
        with suppress(OSError):  # a cache that can't be written costs time, nothing else
            write_private(entry, buffer.getvalue())
    return track


def eye_header(header: Sequence[str], path: Path) -> None:
    """Raise DataError where a row is not the header of the 39 columns, with what it is instead, where that is known."""
    try:
        if not can_derive(set(range(EYE_COLUMN_COUNT)) - set(match_header(header, range(EYE_COLUMN_COUNT))), header):
            match_header(header)
    except DataError as error:
        raise DataError(f"{path}: {error}{known_header(header)}") from None


def parse_cells(table: Table, rows: Sequence[Sequence[Any]], row_numbers: Sequence[int]) -> NDArray[np.float64]:
    """Read the 39 columns of some rows.

    Args:
        table: their table, with the header.
        rows: n rows of cells.
        row_numbers: (n,) their numbers in the file, for messages.

    Returns:
        (n, 39) float64, NaN where a cell is blank.

    Raises:
        DataError: a column is missing, or a cell is neither a number nor a known word.
    """
    positions = match_header(table.header, DERIVABLE)
    values = np.full((len(rows), EYE_COLUMN_COUNT), np.nan)
    for column, at in positions.items():
        values[:, column] = column_numbers(table, at, rows, row_numbers, words=_WORDS)
    lacking = set(range(EYE_COLUMN_COUNT)) - set(positions)
    if lacking:
        sizes = [column_numbers(table, at, rows, row_numbers) for at in resolution_columns(table.header)]
        size_px = [next((size for size in side if size > 0), math.nan) for side in sizes]
        try:
            derive(values, lacking, size_px)
        except DataError as error:
            raise DataError(f"{table.path}: {error}") from None
    return values


def eye_notes(table: Table) -> tuple[str, ...]:
    """What was guessed or derived in reading an eye sheet's table, for sentences about the file."""
    lacking = sorted(set(range(EYE_COLUMN_COUNT)) - set(match_header(table.header, DERIVABLE)))
    if not lacking:
        return table.notes
    named = column_words([COLUMN_KEYS[column] for column in lacking])
    numbers = ", ".join(str(column + 1) for column in lacking)
    return (*table.notes, f"lacks columns {numbers} ({named}), which are derived from others")


def validity_is_worded(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> bool:
    """Whether the validity columns hold words, with a known meaning, or bare numbers."""
    positions = match_header(header, DERIVABLE)
    cells = (row[positions[at]] for row in rows for at in _VALIDITY_AT)
    return any(isinstance(cell, str) and cell.strip().strip('"').lower() in _WORDS for cell in cells)


def find_time_column(header: Sequence[str]) -> tuple[int, int | None] | None:
    """Find the time column of an export.

    Returns:
        Its position and the nanoseconds of its unit (None where the header names no unit), or None without one.
    """
    columns: dict[str, tuple[int, int | None]] = {}
    for position, cell in enumerate(header):
        match = _TIME.match(" ".join(cell.lower().split()))
        if match and (match["unit"] is None or match["unit"] in _UNITS_NS):
            columns.setdefault(match["name"], (position, _UNITS_NS[match["unit"]] if match["unit"] else None))
    return next((columns[name] for name in _TIME_NAMES if name in columns), None)


def parse_times_ns(
    table: Table, rows: Sequence[Sequence[Any]], row_numbers: Sequence[int], position: int, unit_ns: int | None
) -> NDArray[np.int64]:
    """Read the times of some rows.

    A header without a unit means milliseconds in old exports and microseconds in newer ones: trackers run between 20
    and 2000 Hz, so the median step decides.

    Returns:
        (n,) int64 nanoseconds, as the file counts them.

    Raises:
        DataError: a time is missing or not a number.
    """
    times = np.array(column_numbers(table, position, rows, row_numbers), np.float64)
    if np.isnan(times).any():
        index = int(np.isnan(times).argmax())
        place = f"{table.path}, row {row_numbers[index]}, column {table.header[position]}"
        raise DataError(f"{place}: {cell_text(rows[index][position])!r} is not a time")
    if unit_ns is None:
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        unit_ns = 1_000 if step >= 200.0 else 1_000_000
    if np.abs(times).max(initial=0.0) * unit_ns > 2**62:
        raise DataError(f"{table.path}, column {table.header[position]}: a time is too large to be one")
    return np.round(times * unit_ns).astype(np.int64) if unit_ns > 1 else times.astype(np.int64)


def _parse(table: Table) -> EyeTrack:
    numbers = range(table.first_row, table.first_row + len(table.rows))
    values = parse_cells(table, table.rows, numbers)
    if not len(values):
        raise DataError(f"{table.path} holds a header and no rows")
    if validity_is_worded(table.rows, table.header):
        seen = (values[:, VALIDITY] == VALIDITY_CODES["Valid"]).any(axis=1)
    else:  # the coding of a number is unknown: a gaze point or a pupil decides
        seen = (np.nan_to_num(values[:, _SEEN_AT]) != 0).any(axis=1)
    times_ns = _clip_times_ns(table, numbers)
    timed = times_ns is not None
    rows = np.nan_to_num(values, nan=0.0).astype(np.float32)
    times_ns = np.zeros(len(values), np.int64) if times_ns is None else times_ns
    return EyeTrack(rows, times_ns, seen, timed, notes=eye_notes(table))


def _clip_times_ns(table: Table, numbers: Sequence[int]) -> NDArray[np.int64] | None:
    """Times of a clip's rows, or None without a column of ascending times, which EMER's own sheets don't need."""
    time_column = find_time_column(table.header)
    if time_column is None or len(table.rows) < 2:
        return None
    try:
        times_ns = parse_times_ns(table, table.rows, numbers, *time_column)
    except DataError:
        return None
    steps = np.diff(times_ns)
    # a row stands for the period that it ends
    return None if (steps <= 0).any() else times_ns - times_ns[0] + np.int64(np.median(steps))


def load_entry(entry: Path, stamp: NDArray[Any]) -> EyeTrack | None:
    """The track of a cache entry, or None where it is missing, damaged, or has another stamp."""
    try:
        # opened here: np.load leaves its own file open when the content is no archive
        with entry.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if not np.array_equal(kept["stamp"], stamp):
                return None
            notes = tuple(kept["notes"].tolist())
            return EyeTrack(kept["rows"], kept["times_ns"], kept["seen"], timed=bool(kept["timed"]), notes=notes)
    except Exception:  # zip, zlib and NumPy share no exception; the sheet can be read again
        return None
