from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emer_folders import OLD_HEADER, eye_rows, write_text, write_xlsx
from hypothesis import given
from hypothesis import strategies as st

from emer_edge.core.columns import COLUMN_KEYS, MOVEMENT_TYPE, VALIDITY, MovementType, match_header
from emer_edge.core.errors import DataError
from emer_edge.data import sheets
from emer_edge.data.cache import cache_folder, purge_cache
from emer_edge.data.sheets import find_time_column, read_sheet
from emer_edge.data.tables import read_table


def expected(rows: list[list[Any]]) -> np.ndarray:
    words = {"Valid": 1, "Invalid": 0, "Fixation": 1, "EyesNotFound": 3, "": 0}
    return np.array([[words.get(cell, cell) if isinstance(cell, str) else cell for cell in row] for row in rows])


@pytest.mark.parametrize("header", [COLUMN_KEYS, OLD_HEADER], ids=["new", "old"])
@pytest.mark.parametrize("kind", ["xlsx", "tsv", "csv"])
def test_a_sheet_reads_as_it_is_written(tmp_path: Path, header: tuple[str, ...], kind: str) -> None:
    rows = eye_rows(20)
    path = tmp_path / f"clip.{kind}"
    if kind == "xlsx":
        write_xlsx(path, [header, *rows])
    else:
        write_text(path, [header, *rows], delimiter=";" if kind == "csv" else "\t")
    track = read_sheet(path)
    np.testing.assert_allclose(track.rows, expected(rows), rtol=1e-6)
    assert track.rows.dtype == np.float32
    assert track.rows[10, MOVEMENT_TYPE] == MovementType.EYES_NOT_FOUND
    assert track.seen.tolist() == [at != 10 for at in range(20)]
    assert not track.timed


def test_columns_are_found_by_name_wherever_they_are(tmp_path: Path) -> None:
    rows = eye_rows(6)
    order = np.random.default_rng(0).permutation(39)
    shuffled = [
        ["Participant", *(COLUMN_KEYS[at] for at in order)],
        *(["P1", *(row[at] for at in order)] for row in rows),
    ]
    track = read_sheet(write_xlsx(tmp_path / "clip.xlsx", shuffled))
    np.testing.assert_allclose(track.rows, expected(rows), rtol=1e-6)


def test_decimal_commas(tmp_path: Path) -> None:
    rows = [[str(cell).replace(".", ",") if isinstance(cell, float) else cell for cell in row] for row in eye_rows(4)]
    track = read_sheet(write_text(tmp_path / "clip.tsv", [COLUMN_KEYS, *rows]))
    np.testing.assert_allclose(track.rows, expected(eye_rows(4)), rtol=1e-6)


def test_numeric_validity_is_taken_as_it_is_and_gaze_says_who_was_seen(tmp_path: Path) -> None:
    rows = eye_rows(5)
    for at, row in enumerate(rows):
        row[14:16] = [4, 4] if at == 2 else [0, 0]
    track = read_sheet(write_xlsx(tmp_path / "clip.xlsx", [COLUMN_KEYS, *rows]))
    assert track.rows[:, VALIDITY].tolist() == [[0, 0], [0, 0], [4, 4], [0, 0], [0, 0]]
    assert track.seen.tolist() == [True, True, False, True, True]


def test_times_of_a_sheet_start_with_its_clip(tmp_path: Path) -> None:
    rows = [[*row, 5_000_000 + 8_000 * at] for at, row in enumerate(eye_rows(5))]
    track = read_sheet(write_xlsx(tmp_path / "clip.xlsx", [[*COLUMN_KEYS, "Recording timestamp [μs]"], *rows]))
    assert track.timed
    assert track.times_ns.tolist() == [8_000_000 * (at + 1) for at in range(5)]


@pytest.mark.parametrize(
    ("header", "column"),
    [
        (["a", "Recording timestamp [μs]"], (1, 1_000)),
        (["Recording timestamp [µs]"], (0, 1_000)),
        (["Recording timestamp (ms)"], (0, 1_000_000)),
        (["Time", "RecordingTimestamp"], (1, None)),
        (["Eyetracker timestamp [μs]", "Computer timestamp"], None),
        (["Recording timestamp [parsecs]"], None),
    ],
    ids=["us", "micro-sign", "ms", "studio", "other-clocks", "unknown-unit"],
)
def test_time_columns(header: list[str], column: tuple[int, int | None] | None) -> None:
    assert find_time_column(header) == column


def missing_columns(path: Path) -> None:
    write_xlsx(path, [COLUMN_KEYS[:-2], *(row[:-2] for row in eye_rows(3))])


def no_rows(path: Path) -> None:
    write_xlsx(path, [COLUMN_KEYS])


def a_word(path: Path) -> None:
    rows = eye_rows(3)
    rows[1][5] = "left"
    write_xlsx(path, [COLUMN_KEYS, *rows])


def too_large(path: Path) -> None:
    rows = eye_rows(3)
    rows[2][0] = 1e200
    write_xlsx(path, [COLUMN_KEYS, *rows])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (missing_columns, r"clip\.xlsx: the header lacks 2 of the 39 eye columns: Fixation point X \[MCS norm\]"),
        (no_rows, "a header and no rows"),
        (a_word, r"row 3, column Gaze point right Y \[DACS px\]: 'left' is not a number"),
        (too_large, r"row 4, column Gaze point X \[DACS px\]: .* too large"),
        (lambda path: None, "can't open the eye sheet"),
    ],
    ids=["missing-columns", "no-rows", "a-word", "too-large", "no-file"],
)
def test_a_broken_sheet_names_the_place(tmp_path: Path, write: Callable[[Path], None], message: str) -> None:
    write(tmp_path / "clip.xlsx")
    with pytest.raises(DataError, match=message):
        read_sheet(tmp_path / "clip.xlsx")
    assert not list(cache_folder().rglob("*"))


def test_the_second_read_does_not_parse_the_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_xlsx(tmp_path / "clip.xlsx", [COLUMN_KEYS, *eye_rows(8)])
    first = read_sheet(path)
    os.utime(path, ns=(0, 0))  # a copy of the same content
    monkeypatch.setattr(sheets, "read_table", lambda *_: pytest.fail("it is in the cache"))
    second = read_sheet(path)
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.seen, second.seen)
    assert second.rows.dtype == np.float32


def test_a_changed_sheet_is_read_again_and_replaces_its_entry(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "clip.xlsx", [COLUMN_KEYS, *eye_rows(8)])
    read_sheet(path)
    write_xlsx(path, [COLUMN_KEYS, *eye_rows(9)])
    assert len(read_sheet(path).rows) == 9
    assert len([path for path in cache_folder().rglob("*") if path.is_file()]) == 1


def test_another_version_of_the_reader_reads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_xlsx(tmp_path / "clip.xlsx", [COLUMN_KEYS, *eye_rows(8)])
    read_sheet(path)
    monkeypatch.setattr(sheets, "READER_VERSION", sheets.READER_VERSION + 1)
    requested: list[Path] = []
    monkeypatch.setattr(sheets, "read_table", lambda path, find: requested.append(path) or read_table(path, find))
    read_sheet(path)
    assert requested == [path]


def test_cache_entries_are_private_outside_of_the_data_and_removable(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "clip.xlsx", [COLUMN_KEYS, *eye_rows(8)])
    read_sheet(path)
    (entry,) = (path for path in cache_folder().rglob("*") if path.is_file())
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700
    assert not entry.is_relative_to(tmp_path)
    assert "clip" not in entry.name
    assert purge_cache() == 1
    assert not list(cache_folder().rglob("*"))
    assert purge_cache() == 0


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"\x93NUMPY"], ids=repr)
def test_a_damaged_entry_is_read_anew(tmp_path: Path, damage: bytes) -> None:
    path = write_xlsx(tmp_path / "clip.xlsx", [COLUMN_KEYS, *eye_rows(8)])
    read_sheet(path)
    (entry,) = (path for path in cache_folder().rglob("*") if path.is_file())
    entry.write_bytes(damage)
    assert len(read_sheet(path).rows) == 8
    assert entry.stat().st_size > len(damage)


@pytest.mark.parametrize("at", [0, 6, 8, 40, 200], ids=["magic", "encrypted", "method", "header", "content"])
def test_a_damaged_cache_entry_is_read_anew(tmp_path: Path, at: int) -> None:
    path = tmp_path / "clip.tsv"
    write_text(path, [OLD_HEADER, *eye_rows(5)])
    whole = read_sheet(path)
    (entry,) = (path for path in (cache_folder() / "sheets").rglob("*.npz") if _holds(path, whole.rows))
    content = bytearray(entry.read_bytes())
    directory = content.index(b"PK\x01\x02")
    for place in (at, directory + at + 2):  # in the file's own header and in the archive's directory
        content[place] ^= 0x09
    entry.write_bytes(content)
    np.testing.assert_array_equal(read_sheet(path).rows, whole.rows)


def _holds(entry: Path, rows: np.ndarray) -> bool:
    with np.load(entry) as kept:
        return np.array_equal(kept["rows"], rows)


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the cache's folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    path = write_xlsx(tmp_path / "clip.xlsx", [COLUMN_KEYS, *eye_rows(8)])
    assert len(read_sheet(path).rows) == 8


@given(
    st.permutations(range(39)), st.lists(st.text(max_size=12), max_size=4), st.sampled_from([COLUMN_KEYS, OLD_HEADER])
)
def test_any_order_of_columns_is_matched(order: list[int], extra: list[str], names: tuple[str, ...]) -> None:
    header = [*(names[at] for at in order), *(f"? {item}" for item in extra)]
    matched = match_header(header)
    assert {column: order[position] for column, position in matched.items()} == {at: at for at in range(39)}


@given(st.lists(st.text(max_size=20) | st.sampled_from(COLUMN_KEYS), max_size=45))
def test_any_header_is_matched_or_refused(header: list[str]) -> None:
    try:
        matched = match_header(header)
    except DataError:
        return
    assert sorted(matched) == list(range(39))


CELL = st.one_of(
    st.floats(allow_nan=True).map(repr), st.text(max_size=6), st.sampled_from(["", "Valid", "Saccade", "1,5"])
)


@given(st.lists(st.lists(CELL, max_size=42), min_size=1, max_size=4))
def test_any_rows_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz-rows.tsv"
    lines = ["\t".join(COLUMN_KEYS), *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines), "utf-8", errors="replace")
    try:
        track = read_sheet(path, use_cache=False)
    except DataError:
        return
    assert np.isfinite(track.rows).all()
    assert track.rows.shape == (len(track.seen), 39)
