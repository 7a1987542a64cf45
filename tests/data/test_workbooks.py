from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from emer_folders import OLD_HEADER, eye_rows

from emer_edge.core.errors import DataError
from emer_edge.data.tables import read_table


def workbook(path: Path, rows: int, stray: tuple[int, int] | None = None) -> Path:
    """A workbook of `rows` eye rows, with a cell of its own at `stray`, counted from 0."""
    import xlsxwriter

    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, OLD_HEADER)
        some = eye_rows(20)
        for at in range(rows):
            sheet.write_row(1 + at, 0, some[at] if at < 20 else [1.0])
        if stray is not None:
            sheet.write(*stray, "x")
    return path


@pytest.mark.parametrize(
    ("stray", "where"),
    [((1_048_575, 0), "row 1048576"), ((1_048_575, 16_383), "row 1048576"), ((99_999, 60), "row 100000")],
    ids=["last-row", "last-cell", "far-row"],
)
def test_a_stray_cell_is_named_before_it_costs_gigabytes(tmp_path: Path, stray: tuple[int, int], where: str) -> None:
    with pytest.raises(DataError, match=f"{where}, far from the others"):
        read_table(workbook(tmp_path / "stray.xlsx", 20, stray))


def test_long_and_wide_tables_are_no_strays(tmp_path: Path) -> None:
    assert len(read_table(workbook(tmp_path / "long.xlsx", 10_500)).rows) == 10_500
    assert len(read_table(workbook(tmp_path / "wide.xlsx", 20, (3, 600))).rows) == 20


def test_a_wide_and_long_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a column behind IZ"):
        read_table(workbook(tmp_path / "both.xlsx", 10_500, (3, 600)))


def test_an_archive_that_unpacks_to_hundreds_of_times_its_size_is_refused(tmp_path: Path) -> None:
    small = workbook(tmp_path / "small.xlsx", 3)
    with zipfile.ZipFile(io.BytesIO(small.read_bytes())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["xl/worksheets/sheet1.xml"] += b" " * (70 << 20)
    with zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match="unpacks to 70 MB"):
        read_table(small)
