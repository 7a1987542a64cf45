from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import pytest
from emer_folders import OLD_HEADER, eye_rows, write_text, write_xlsx
from hypothesis import given
from hypothesis import strategies as st

from emer_edge.core.errors import DataError
from emer_edge.core.numbers import LARGEST, parse_number
from emer_edge.data.tables import cell_text, read_table


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1,5", 1.5),
        ("1.5", 1.5),
        ("\u22121,5", -1.5),
        (' "2" ', 2.0),
        ("1e-3", 0.001),
        (3, 3.0),
        (True, 1.0),
    ],
    ids=repr,
)
def test_numbers_of_any_locale(cell: object, value: float) -> None:
    assert parse_number(cell) == value


@pytest.mark.parametrize("cell", ["", "  ", "NaN", "n/a", "-"], ids=repr)
def test_blank_cells_are_missing(cell: str) -> None:
    assert math.isnan(parse_number(cell))


@pytest.mark.parametrize("cell", ["1.234,5", "1_000", "1e39", "Valid", "1,2,3", None, 1e39], ids=repr)
def test_anything_else_is_refused(cell: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - float() words it
        parse_number(cell)


@given(st.floats(-LARGEST, LARGEST))
def test_a_number_survives_a_comma(value: float) -> None:
    assert parse_number(repr(value).replace(".", ",")) == value


@given(st.text())
def test_any_text_is_a_number_or_a_value_error(text: str) -> None:
    try:
        value = parse_number(text)
    except ValueError:
        return
    assert math.isnan(value) or abs(value) <= LARGEST


ROWS = (("a", "b, c", "d"), (1.5, "x", ""), ("", "", ""), (-2.5, "y", 3.0))


@pytest.mark.parametrize(
    "how",
    [
        {"suffix": ".xlsx"},
        {"suffix": ".tsv"},
        {"suffix": ".tsv", "encoding": "utf-8-sig", "newline": "\r\n"},
        {"suffix": ".tsv", "encoding": "utf-16"},
        {"suffix": ".csv", "delimiter": ";"},
    ],
    ids=["xlsx", "tsv", "bom-crlf", "utf-16", "csv-semicolon"],
)
def test_every_kind_of_table_reads_alike(tmp_path: Path, how: dict[str, str]) -> None:
    path = tmp_path / f"table{how['suffix']}"
    if how.pop("suffix") == ".xlsx":
        write_xlsx(path, [*ROWS, ("", "", "")])
    else:
        write_text(path, [*ROWS, ("", "", "")], **how)
    table = read_table(path)
    assert table.header == ROWS[0]
    assert table.first_row == 2
    assert [cell_text(row[1]) for row in table.rows] == ["x", "", "y"]
    assert [parse_number(row[0]) for row in table.rows if cell_text(row[0])] == [1.5, -2.5]
    assert all(len(row) == 3 for row in table.rows)


def test_a_comma_separated_table_keeps_quoted_cells(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('\n"a","b"\n"1,5",2\n')
    table = read_table(path)
    assert table.header == ("a", "b")
    assert [parse_number(cell) for cell in table.rows[0]] == [1.5, 2.0]
    assert table.first_row == 3


def test_a_micro_sign_in_another_encoding_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_bytes("Recording timestamp [µs]\tb\n1\t2\n".encode("cp1252"))
    assert read_table(path).header[0] == "Recording timestamp [µs]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\x00\x01\x02binary", "is binary, not text"),
        (b"PK\x03\x04not really", "not a workbook that can be read"),
        (b"\xd0\xcf\x11\xe0broken", "not a workbook that can be read"),
        (b"\xff\xfe\x00", "begins as UTF-16 and is none"),
    ],
    ids=["empty", "blank", "binary", "broken-xlsx", "broken-xls", "half-utf-16"],
)
def test_what_is_no_table_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "table.xlsx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_a_cut_workbook_is_named(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "table.xlsx", ROWS)
    whole = path.read_bytes()
    for length in range(10, len(whole), 397):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"table\.xlsx"):
            read_table(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't open .*gone\.tsv: No such file"):
        read_table(tmp_path / "gone.tsv")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.tsv"
    path.write_bytes(content)
    try:
        table = read_table(path)
    except DataError:
        return
    assert all(len(row) == len(table.header) for row in table.rows)


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


@pytest.mark.parametrize("written", [b"r='A1048576'", b'r = "A1048576"'])
def test_a_stray_cell_is_named_however_its_address_is_written(tmp_path: Path, written: bytes) -> None:
    path = workbook(tmp_path / "stray.xlsx", 20, (1_048_575, 0))
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content.replace(b'r="A1048576"', written))
    with pytest.raises(DataError, match="row 1048576, far from the others"):
        read_table(path)


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
