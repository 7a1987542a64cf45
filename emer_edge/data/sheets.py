"""Eye sheets: the 39 columns of one clip by their headers, cached.

Missing cells are 0. Words are coded by the tables of `emer_edge.core.columns`; numbers are unchanged, because the
coding of EMER's validity and eye movement type is not published.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge import __version__
from emer_edge.core import columns
from emer_edge.core.errors import DataError
from emer_edge.core.numbers import number_or_nan
from emer_edge.core.whole_file import write_private
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, NANOSECONDS, UNITS_NS
from emer_edge.data import cache
from emer_edge.data.derived import DERIVABLE, can_derive, derive, resolution_columns
from emer_edge.data.known_files import known_header
from emer_edge.data.tables import Table, cell_text, column_numbers, read_table
from emer_edge.signals.rows import clip_times_ns
from emer_edge.signals.time_units import TimeUnit, rate_of_events_hz, rising, tell_unit

READER_VERSION: Final = 5  # in the stamp of cache entries: raise it when the same sheet would be read differently
_CODES: Final = {**columns.VALIDITY_CODES, **columns.MOVEMENT_CODES}
_WORDS: Final = {word.lower().replace(" ", ""): code for word, code in _CODES.items()}
_VALIDITY_AT: Final = columns.column_indices(columns.VALIDITY)
_SENTINELS: Final = (-1.0, -9999.0)
_SEEN_AT: Final = columns.column_indices(columns.GAZE_POINT, *columns.GAZE_PX, columns.PUPILS)
_TIME_NAMES: Final = ("recording timestamp", "recordingtimestamp", "timestamp", "time")
_UNITS_NS: Final = {**UNITS_NS, "μs": 1_000, "µs": 1_000}
_SPANS_S: Final = (0.2, 86_400.0)  # of more than 24 rows: a list of fixations in ms is none of samples in us
_MOST_BACKWARD: Final = 0.1  # of the rows: with more of them, a sheet holds several recordings
_DATE: Final = re.compile(r"\d+[:/-]\d+")
_TIME: Final = re.compile(r"^(?P<name>[a-z ]+?)\s*(?:[\[(]\s*(?P<unit>[^\])]+?)\s*[\])])?$")


@dataclass(frozen=True)
class EyeTrack:
    """The eye rows of one clip.

    Attributes:
        rows: (n, 39) float32, missing cells 0, columns 33 to 39 as the sheet has them.
        times_ns: (n,) int64, nanoseconds after the start of the clip, ascending; all 0 unless `timed`.
        seen: (n,) bool, whether any eye was seen.
        timed: whether the sheet holds times.
        clock: the unit of its times and what told it; empty without times.
        lost: why rows were left out -> number of rows.
        notes: what was guessed or derived, for sentences about the sheet.
        told_hz: rows a second by its own event durations, where it holds no times; 0 where these don't tell.
    """

    rows: NDArray[np.float32]
    times_ns: NDArray[np.int64]
    seen: NDArray[np.bool_]
    timed: bool
    clock: str = ""
    lost: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    told_hz: float = 0.0

    def clocked(self, rate_hz: float) -> EyeTrack:
        """With times: its own, else those of `told_hz`, else those of a rate that somebody said, unless that is 0."""
        by = "told by event durations" if self.told_hz else "as --sheet-rate says"
        if self.timed or not (used_hz := self.told_hz or rate_hz):
            return self
        times_ns = clip_times_ns(len(self.rows), round(len(self.rows) * NANOSECONDS / used_hz))
        return replace(self, times_ns=times_ns, timed=True, clock=f"{used_hz:.5g} rows a second, {by}")

    def times_in(self, length_ns: int) -> NDArray[np.int64]:
        """(n,) int64 nanoseconds: its times, or without any those of rows spread evenly over a length."""
        return self.times_ns if self.timed else clip_times_ns(len(self.rows), length_ns)


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
    stamp = f"reader {READER_VERSION} of {__version__}, {content}"
    entry = cache.entry_path("sheets", path, ".npz")
    if use_cache and (cached := load_entry(entry, stamp)) is not None:
        return cached
    track = _parse(read_table(path, lambda header: eye_header(header, path)))
    if use_cache and cache.contents_of([path]) == content:
        buffer = io.BytesIO()
        told = {name: each for name, each in vars(track).items() if not isinstance(each, np.ndarray)}
        kept = json.dumps({"stamp": stamp, **told, "lost": dict(track.lost)})
        np.savez(buffer, told=kept, rows=track.rows, times_ns=track.times_ns, seen=track.seen)
        with suppress(OSError):  # a cache that can't be written costs time, nothing else
            write_private(entry, buffer.getvalue())
    return track


def eye_header(header: Sequence[str], path: Path) -> None:
    """Raise DataError where a row is not the header of the 39 columns, with what it is instead, where that is known."""
    try:
        if not can_derive(_lacking(columns.match_header(header, range(EYE_COLUMN_COUNT))), header):
            columns.match_header(header)
    except DataError as error:
        raise DataError(f"{path}: {error}{known_header(header)}") from None


def parse_cells(
    table: Table, rows: Sequence[Sequence[Any]], row_numbers: Sequence[int]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The 39 columns of n rows of a table: (n, 39) float64, NaN where a cell is blank, and what was guessed or derived.

    Where both coordinates of a gaze point are -1 or -9999, that number means "missing" in the whole row.

    Raises:
        DataError: a column is missing, or a cell is neither a number nor a known word; `row_numbers` name it.
    """
    positions, notes = columns.match_header(table.header, DERIVABLE), table.notes
    values = np.full((len(rows), EYE_COLUMN_COUNT), np.nan)
    for column, at in positions.items():
        values[:, column] = column_numbers(table, at, rows, row_numbers, words=_WORDS)
    for number in _SENTINELS:
        points = (values[:, part] for part in (columns.GAZE_POINT, *columns.GAZE_PX))
        lost = np.any([(point == number).all(axis=1) for point in points], axis=0)
        if lost.any():
            values[(values == number) & lost[:, None]] = np.nan
            notes += (f"writes {number:g} for missing values, which are read as missing",)
    if lacking := _lacking(positions):
        sizes = [column_numbers(table, at, rows, row_numbers) for at in resolution_columns(table.header)]
        size_px = [next((size for size in side if size > 0), math.nan) for side in sizes]
        try:
            derive(values, lacking, size_px)
        except DataError as error:
            raise DataError(f"{table.path}: {error}") from None
        named = columns.column_words([columns.COLUMN_KEYS[column] for column in sorted(lacking)])
        numbers = ", ".join(str(column + 1) for column in sorted(lacking))
        notes += (f"lacks columns {numbers} ({named}), which are derived from others",)
    return values, notes


def _lacking(positions: Iterable[int]) -> set[int]:
    return set(range(EYE_COLUMN_COUNT)).difference(positions)


def validity_is_worded(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> bool:
    """Whether the validity columns hold words, with a known meaning, or bare numbers."""
    positions = columns.match_header(header, DERIVABLE)
    cells = {row[positions[at]] for at in _VALIDITY_AT for row in rows}
    return any(isinstance(cell, str) and cell.strip().strip('"').lower() in _WORDS for cell in cells)


def find_time_column(header: Sequence[str]) -> tuple[int, int | None] | None:
    """The position of an export's time column and the nanoseconds of its unit (None: not named); None without one."""
    found: dict[str, tuple[int, int | None]] = {}
    for position, cell in enumerate(header):
        match = _TIME.match(" ".join(cell.lower().split()))
        if match and (match["unit"] is None or match["unit"] in _UNITS_NS):
            found.setdefault(match["name"], (position, _UNITS_NS[match["unit"]] if match["unit"] else None))
    return next((found[name] for name in _TIME_NAMES if name in found), None)


def parse_times_ns(
    table: Table, rows: Sequence[Sequence[Any]], row_numbers: Sequence[int], position: int, unit_ns: int | None
) -> NDArray[np.int64]:
    """The times of n rows, (n,) int64 nanoseconds; without a unit in the header, their rate tells it (`tell_unit`).

    Raises:
        DataError: a time is missing or not a number, the unit can't be told, or it is not the one that the header
            names.
    """
    stamps = column_numbers(table, position, rows, row_numbers)
    for index in np.flatnonzero(np.isnan(stamps)).tolist():
        raise DataError(
            f"{table.path}, row {row_numbers[index]}, column {table.header[position]}: "
            f"{cell_text(rows[index][position])!r} is not a time"
        )
    unit = _unit(stamps, unit_ns)
    if unit.problem and (unit.ns or unit_ns is None):
        raise DataError(f"{table.path}, column {table.header[position]}: {unit.problem}")
    times_ns = stamps * (unit_ns or unit.ns)
    if np.abs(times_ns).max(initial=0.0) > 2**62:
        raise DataError(f"{table.path}, column {table.header[position]}: a time is too large to be one")
    return np.round(times_ns).astype(np.int64)


def _unit(stamps: NDArray[np.float64], unit_ns: int | None) -> TimeUnit:
    named = next((name for name, nanoseconds in UNITS_NS.items() if nanoseconds == unit_ns), None)
    return tell_unit(stamps, named=named, spans_s=_SPANS_S if len(stamps) > EYE_SLOTS * 3 // 4 else None)


def _parse(table: Table) -> EyeTrack:
    values, notes = parse_cells(table, table.rows, range(table.first_row, table.first_row + len(table.rows)))
    if not len(values):
        raise DataError(f"{table.path} holds a header and no rows")
    if validity_is_worded(table.rows, table.header):
        seen = (values[:, columns.VALIDITY] == columns.VALIDITY_CODES["Valid"]).any(axis=1)
    else:  # the coding of a number is unknown: a gaze point or a pupil decides
        seen = (np.nan_to_num(values[:, _SEEN_AT]) != 0).any(axis=1)
    rows = np.nan_to_num(values, nan=0.0).astype(np.float32)
    timed = _timed(table, values, seen)
    if timed is None:
        told_hz = rate_of_events_hz(values[:, columns.EVENTS][:, :3])
        return EyeTrack(rows, np.zeros(len(values), np.int64), seen, timed=False, notes=notes, told_hz=told_hz)
    kept, times_ns, clock, lost = timed
    return EyeTrack(rows[kept], times_ns, seen[kept], timed=True, clock=clock, lost=lost, notes=notes)


def _timed(
    table: Table, values: NDArray[np.float64], seen: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], str, dict[str, int]] | None:
    """The rows with usable times, those, their clock and the losses; None without times, which EMER's sheets lack.

    Raises:
        DataError: the column holds dates, or times of an unknown or wrong unit, or those of several recordings.
    """
    found = find_time_column(table.header)
    if found is None or len(table.rows) < 2:
        return None
    position, unit_ns = found
    cells = [row[position] for row in table.rows]
    mark = table.mark(cells, table.header[position])
    stamps = np.array([number_or_nan(cell, mark) for cell in cells], np.float64)
    where = f"{table.path}, column {table.header[position]}"
    words = [text for cell, stamp in zip(cells, stamps, strict=True) if math.isnan(stamp) and (text := cell_text(cell))]
    if len(words) > np.isfinite(stamps).sum():
        kind = "a date or a time of day" if _DATE.search(words[0]) else "not a time"
        raise DataError(
            f"{where}: {words[0]!r} is {kind}; export the times as numbers of ms or us, or delete the column"
        )
    if np.isnan(stamps).all():
        return None
    centre, spread = np.nanmedian(stamps), np.subtract(*np.nanpercentile(stamps, (75, 25)))
    lost: dict[str, int] = {}

    def leave_out(reason: str, rows: NDArray[np.bool_]) -> None:
        if rows.any():
            lost[reason] = int(rows.sum())
            stamps[rows] = np.nan

    leave_out("no time", np.isnan(stamps))
    leave_out("a time far from all others", (spread > 0) & (np.abs(stamps - centre) > 3 * spread))
    leave_out("events without a sample", np.isnan(values[:, : columns.EVENTS.start]).all(axis=1) & ~np.isnan(stamps))
    # of successive rows with one stamp the first that saw an eye, else the first, is the sample
    timed = np.flatnonzero(~np.isnan(stamps))
    group = np.cumsum(np.diff(stamps[timed], prepend=np.nan) != 0)
    order = np.lexsort((timed, ~seen[timed], group))
    again = np.zeros(len(stamps), np.bool_)
    again[timed[order[1:]]] = np.diff(group[order]) == 0
    leave_out("a doubled time", again)
    timed = np.flatnonzero(~np.isnan(stamps))
    unit = _unit(stamps, unit_ns)
    if unit.problem or not len(timed):
        raise DataError(f"{where}: {unit.problem or 'no row has a time and a sample'}")
    times_ns = np.round((stamps[timed] - stamps[timed[0]]) * unit.ns).astype(np.int64)
    rise = rising(times_ns)
    kept, times_ns = timed[rise], times_ns[rise]
    if len(kept) < (1 - _MOST_BACKWARD) * len(timed):
        row = table.first_row + int(timed[np.flatnonzero(np.diff(stamps[timed]) < 0)[0] + 1])
        raise DataError(f"{where}: time runs backwards in row {row}: does the sheet hold several recordings?")
    if len(kept) < len(timed):
        lost["a time that runs backwards"] = len(timed) - len(kept)
    times_ns -= times_ns[0]
    clock = f"{unit.name}, {'as the header says' if unit_ns else 'told by the rate'}"
    # a row stands for the period that it ends
    return kept, times_ns + np.int64(np.median(np.diff(times_ns)) if len(kept) > 1 else unit.ns), clock, lost


def load_entry(entry: Path, stamp: str) -> EyeTrack | None:
    """The track of a cache entry, or None where it is missing, damaged, or has another stamp."""
    try:
        # opened here: np.load leaves its own file open when the content is no archive
        with entry.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            told = json.loads(str(kept["told"]))
            if told.pop("stamp") != stamp:
                return None
            notes = tuple(told.pop("notes"))
            return EyeTrack(kept["rows"], kept["times_ns"], kept["seen"], notes=notes, **told)
    except Exception:  # zip, zlib and NumPy share no exception; the sheet can be read again
        return None
