"""Tables on disk: XLSX (and other workbooks), TSV and CSV, as a header and rows of cells.

Locales write `;` between cells, a comma before decimals, U+2212 as minus, UTF-8 with a byte order mark or UTF-16; only
this module deals with them.

Workbooks are read into full grids: one stray cell in the last row turns some kilobytes into gigabytes, and a ZIP
archive can hold a thousand times its size. The archive's directory and the cells' addresses show both.
"""

from __future__ import annotations

import csv
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emer_edge.core.errors import DataError

_LARGEST_BYTES: Final = 2 << 30
_UNSUSPICIOUS_BYTES: Final = 64 << 20
_LARGEST_RATIO: Final = 100
_CHUNK: Final = 1 << 20
_LONGEST_ADDRESS: Final = 16
_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml\Z")
_FAR: Final = re.compile(rb"[\"'](?:[A-Z]{1,3}(\d{5,9})|(?:[A-Z]{3}|[J-Z][A-Z])\d{1,4})[\"']")
"""Addresses of cells from row 10,000 on, or behind column 260, IZ."""

_WIDE: Final = re.compile(rb"[\"'](?:[A-Z]{3}|[J-Z][A-Z])\d+[\"']")
_ROW_BYTES: Final = 16  # of XML, at the least, for a row with a cell


def check_workbook(path: Path) -> None:
    """Refuse a workbook (XLSX) that would take gigabytes; ignore other formats and damaged archives.

    Raises:
        DataError: it unpacks to more than 2 GB, or to a hundred times its size; or a cell is far from the others.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            suspicious = unpacked > _UNSUSPICIOUS_BYTES and unpacked > _LARGEST_RATIO * path.stat().st_size
            if unpacked > _LARGEST_BYTES or suspicious:
                raise DataError(
                    f"{path} unpacks to {unpacked >> 20} MB, which is no table of a recording; save it again, as TSV"
                )
            for member in members:
                if _SHEET.match(member.filename):
                    _check_sheet(path, archive, member)
    except DataError:
        raise
    except Exception:  # zip and zlib share no exception; the reader reports what is wrong
        return


def _check_sheet(path: Path, archive: zipfile.ZipFile, sheet: zipfile.ZipInfo) -> None:
    last_row, wide, kept = 0, False, b""
    with archive.open(sheet) as file:
        while chunk := file.read(_CHUNK):
            text = kept + chunk
            far = _FAR.findall(text)
            if far:
                last_row = max(last_row, max(int(row or 0) for row in far))
                wide = wide or b"" in far or _WIDE.search(text) is not None
            kept = text[-_LONGEST_ADDRESS:]
    if last_row * _ROW_BYTES > sheet.file_size or (wide and last_row):
        where = f"row {last_row}" if last_row * _ROW_BYTES > sheet.file_size else "a column behind IZ"
        raise DataError(f"{path} has a cell in {where}, far from the others; delete it, or save the table as TSV")


LARGEST: Final = 3e38
"""The largest magnitude of a cell: float32 holds it."""

_WORKBOOK_MAGIC: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_TEXT_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_MISSING_WORDS: Final = frozenset({"", "nan", "n/a", "-"})


@dataclass(frozen=True)
class Table:
    """A header and its rows.

    Attributes:
        header: the first row that is not blank, as stripped text.
        rows: the rows after it, as wide as the header; cells are text or numbers, "" where blank.
        first_row: number of the first of `rows` in the file, from 1, for messages.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[list[Any]]
    first_row: int


def read_table(path: Path) -> Table:
    """Read the first sheet of a workbook, or a TSV or CSV file, by its content; trailing blank rows are dropped.

    Raises:
        DataError: the file can't be opened, is no table, holds no header, or is a workbook that would take gigabytes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"can't open {path}: {error.strerror or error}") from error
    grid = _workbook(path) if content.startswith(_WORKBOOK_MAGIC) else _text(path, content)
    start = next((number for number, row in enumerate(grid) if not _blank(row)), None)
    if start is None:
        raise DataError(f"{path} is empty; a header row and data rows were expected")
    end = len(grid)
    while end > start + 1 and _blank(grid[end - 1]):
        end -= 1
    header = tuple(cell_text(cell) for cell in grid[start])
    while header and not header[-1]:
        header = header[:-1]
    width = len(header)
    rows = [row if len(row) == width else [*row[:width], *[""] * (width - len(row))] for row in grid[start + 1 : end]]
    return Table(path, header, rows, first_row=start + 2)


def number_or_nan(cell: Any) -> float:
    """Read one cell as `parse_number` does; NaN where it holds anything else, too."""
    try:
        return parse_number(cell)
    except ValueError:
        return math.nan


def parse_number(cell: Any) -> float:
    """Read one cell as a number; blank cells are NaN.

    Raises:
        ValueError: the cell holds anything else, or a number too large for float32.
    """
    if isinstance(cell, (int, float)):
        value = float(cell)
    else:
        if not isinstance(cell, str):
            raise ValueError(cell)
        text = cell.strip().strip('"').replace("\u2212", "-")
        if text.lower() in _MISSING_WORDS:
            return math.nan
        if "_" in text or ("," in text and "." in text):
            raise ValueError(cell)
        value = float(text.replace(",", "."))
    if abs(value) > LARGEST:
        raise ValueError(cell)
    return value


def cell_text(cell: Any) -> str:
    """One cell as stripped text, whole numbers without the `.0` of workbooks."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return " ".join(str(cell).replace("\x00", "").strip().strip('"').split())


def _blank(row: Sequence[Any]) -> bool:
    return all(cell == "" or cell is None for cell in row)


def _workbook(path: Path) -> list[list[Any]]:
    import python_calamine

    check_workbook(path)
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(str(path))
        if not workbook.sheet_names:
            raise DataError(f"{path} is a workbook without sheets")
        rows: list[list[Any]] = workbook.get_sheet_by_index(0).to_python()
    except python_calamine.PasswordError as error:
        raise DataError(f"{path} is protected by a password; save it without one") from error
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise DataError(f"{path} is not a workbook that can be read ({error}); open and save it again") from error
    return rows


def _text(path: Path, content: bytes) -> list[list[Any]]:
    text = _decoded(path, content)
    lines = text.splitlines()
    head = next((line for line in lines if line.strip()), "")
    delimiter = max("\t;,", key=head.count)
    if delimiter == "\t":
        # Tobii writes no quotes around cells, and a stray one inside an event's name must not swallow lines.
        return [line.split("\t") if line.strip() else [] for line in lines]
    try:
        return [list(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
    except csv.Error as error:
        raise DataError(f"{path} is not a table that can be read: {error}") from error


def _decoded(path: Path, content: bytes) -> str:
    if content.startswith(_TEXT_MARKS):
        encodings: tuple[str, ...] = ("utf-16",)
    else:
        encodings = () if b"\x00" in content[:4096] else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return content.decode(encoding).replace("\x00", "")
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path} is neither a workbook nor a text table; export it as XLSX, TSV or CSV")
