"""Tables on disk: XLSX (and other workbooks), TSV and CSV, as a header and rows of cells.

Locales differ in what they write: `;` between cells, a comma before decimals, U+2212 as minus, UTF-8 with a byte order
mark or UTF-16. All are read here, so that nothing above this module thinks about them.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emer_edge.data.workbooks import check_workbook
from emer_edge.errors import DataError

__all__ = ["LARGEST", "Table", "cell_text", "parse_number", "read_table"]

LARGEST: Final = 3e38
"""The largest magnitude a cell may have: float32 holds it."""

_WORKBOOK_MAGIC: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_TEXT_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_MISSING_WORDS: Final = frozenset({"", "nan", "n/a", "-"})


@dataclass(frozen=True)
class Table:
    """A header and its rows.

    Attributes:
        path: the file.
        header: the first row that is not blank, as stripped text.
        rows: the rows after it, each as wide as the header; cells are text or numbers, "" where blank.
        first_row: number of the first of `rows` in the file, counted from 1, for messages.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[list[Any]]
    first_row: int


def read_table(path: Path) -> Table:
    """Read the first sheet of a workbook, or a TSV or CSV file; its content says which it is.

    Trailing blank rows are dropped, blank rows between others stay.

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


def parse_number(cell: Any) -> float:
    """Read one cell as a number; blank cells are NaN.

    Raises:
        ValueError: the cell holds anything else, or a number that float32 can't hold.
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
    """One cell as stripped text; whole numbers lose the `.0` that workbooks give them."""
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
    decoders: tuple[Callable[[], str], ...]
    if content.startswith(_TEXT_MARKS):
        decoders = (lambda: content.decode("utf-16"),)
    elif b"\x00" in content[:4096]:
        decoders = ()
    else:
        decoders = (lambda: content.decode("utf-8-sig"), lambda: content.decode("cp1252"))
    for decode in decoders:
        try:
            return decode().replace("\x00", "")
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path} is neither a workbook nor a text table; export it as XLSX, TSV or CSV")
