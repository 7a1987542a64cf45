"""The clocks of eye sheets: units, bad stamps, events, and what is refused."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xlsxwriter
from emer_folders import eye_rows, write_text

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import DataError
from emer_edge.data.sheets import EyeTrack, read_sheet

COUNT = 240
PERIOD_S = 1 / 120
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def sheet(folder: Path, stamps: list[Any], header: str = "Timestamp", rows: list[list[Any]] | None = None) -> EyeTrack:
    rows = eye_rows(len(stamps)) if rows is None else rows
    lines = [[*COLUMN_KEYS, header], *([*row, stamp] for row, stamp in zip(rows, stamps, strict=True))]
    return read_sheet(write_text(folder / "clip.tsv", lines))


def times(unit: str, count: int = COUNT) -> list[Any]:
    return [round(at * PERIOD_S * UNITS[unit], 6) for at in range(count)]


@pytest.mark.case("an eye sheet whose times are in s, ms, us or ns, without a unit", before="1 of 32 slots for seconds")
@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_is_told_by_the_rate(tmp_path: Path, unit: str) -> None:
    track = sheet(tmp_path, times(unit))
    assert track.clock == f"{unit}, told by the rate"
    assert track.times_ns[-1] == pytest.approx(COUNT * PERIOD_S * 1e9, rel=1e-4)
    assert track.lost == {}


@pytest.mark.case("a header that says [ms] above microseconds", before="a clip of 12,000 s, without a word")
def test_a_header_that_names_the_wrong_unit_is_refused(tmp_path: Path) -> None:
    assert sheet(tmp_path, times("ms"), "Recording timestamp [ms]").clock == "ms, as the header says"
    with pytest.raises(DataError, match=r"in ms they would make 0.12 rows a second.*look like us"):
        sheet(tmp_path, times("us"), "Recording timestamp [ms]")


@pytest.mark.case("a list of fixations, 2.9 a second, as an eye sheet", before="a clip of 2,900 Hz")
def test_a_list_of_fixations_is_no_clock_of_samples(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in no unit .* rate of an eye tracker"):
        sheet(tmp_path, [at * 345 for at in range(40)])


@pytest.mark.case(
    "every second stamp is that of the row before (2000 Hz counted in whole ms)",
    source="https://github.com/pymovements/pymovements/issues/688",
    before="the whole clip was untimed: 24 s were squeezed into 12 s",
)
def test_of_doubled_stamps_the_row_that_saw_an_eye_stays(tmp_path: Path) -> None:
    rows = eye_rows(COUNT)
    for row in rows[::2]:
        row[14:16] = ["Invalid", "Invalid"]
    track = sheet(tmp_path, [at // 2 * 8 for at in range(COUNT)], rows=rows)
    assert track.lost == {"a doubled time": COUNT // 2}
    assert track.seen.all()


@pytest.mark.case(
    "a few stamps jump back",
    source="https://github.com/pupil-labs/pupil/issues/665",
    before="the whole clip was untimed",
)
@pytest.mark.case("blank, worded and absurd stamps among good ones", before="the whole clip was untimed")
def test_bad_stamps_cost_their_rows_and_no_clock(tmp_path: Path) -> None:
    stamps = times("ms")
    stamps[10], stamps[20], stamps[30] = "", "n/a", 9e9
    stamps[100], stamps[150] = stamps[90], stamps[140] + 1
    stamps[-1] = 8e12
    track = sheet(tmp_path, stamps)
    assert track.lost == {
        "no time": 2, "a time far from all others": 2, "a time that runs backwards": 2
    }  # fmt: skip
    assert len(track.rows) == len(track.times_ns) == len(track.seen) == COUNT - 6
    assert (np.diff(track.times_ns) > 0).all()
    assert track.times_ns[-1] == pytest.approx((COUNT - 1) * PERIOD_S * 1e9, rel=1e-4)


@pytest.mark.case(
    "the clock starts again in the middle (231003, then 23988)",
    source="https://github.com/sccn/eeglab/issues/212",
    before="the whole clip was untimed, without a word",
)
def test_several_recordings_in_one_sheet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"runs backwards in row 122: does the sheet hold several recordings"):
        sheet(tmp_path, [*times("ms", 120), *times("ms", 120)])
    with pytest.raises(DataError, match="do not rise"):
        sheet(tmp_path, times("ms")[::-1])


@pytest.mark.case("rows of events between the samples, with stamps of their own", before="each was an unseen eye")
def test_rows_of_events_are_no_samples(tmp_path: Path) -> None:
    rows, stamps = eye_rows(COUNT), times("us")
    for at in (50, 120, 200):
        rows.insert(at, [""] * 32 + ["Unclassified"] + [""] * 6)
        stamps.insert(at, stamps[at - 1] + 100)
    track = sheet(tmp_path, stamps, "Recording timestamp [μs]", rows)
    assert track.lost == {"events without a sample": 3}
    assert len(track.rows) == COUNT


@pytest.mark.case("times of day, as text or as a spreadsheet keeps them", before="the whole clip was untimed")
@pytest.mark.parametrize("kind", ["text", "workbook", "fraction"])
def test_dates_and_times_of_day_are_named(tmp_path: Path, kind: str) -> None:
    began = datetime.datetime(2024, 3, 1, 9, 30)
    moments = [began + datetime.timedelta(seconds=at * PERIOD_S) for at in range(COUNT)]
    path = tmp_path / "clip.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        cells = book.add_worksheet()
        cells.write_row(0, 0, [*COLUMN_KEYS, "Timestamp"])
        for at, (row, moment) in enumerate(zip(eye_rows(COUNT), moments, strict=True), start=1):
            cells.write_row(at, 0, row)
            if kind == "text":
                cells.write_string(at, 39, f"{moment:%H:%M:%S.%f}")
            elif kind == "workbook":
                cells.write_datetime(at, 39, moment, book.add_format({"num_format": "mm:ss.000"}))
            else:
                cells.write_number(at, 39, 45352.4 + at * PERIOD_S / 86400)
    with pytest.raises(DataError, match=r"is a date or a time of day; export the times|fractions of a day"):
        read_sheet(path)


def test_a_blank_column_of_times_is_none(tmp_path: Path) -> None:
    track = sheet(tmp_path, [""] * COUNT)
    assert (track.timed, track.clock, track.lost) == (False, "", {})
    assert track.times_in(12_000_000_000)[-1] == 12_000_000_000


def test_clock_and_losses_come_back_from_the_cache(tmp_path: Path) -> None:
    stamps = times("s")
    stamps[7] = math.nan
    first = sheet(tmp_path, stamps)
    again = read_sheet(tmp_path / "clip.tsv")
    assert (again.clock, again.lost) == (first.clock, first.lost) == ("s, told by the rate", {"no time": 1})
    np.testing.assert_array_equal(again.times_ns, first.times_ns)
