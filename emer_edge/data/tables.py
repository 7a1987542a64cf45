"""Tables on disk: workbooks, TSV and CSV, as a header and rows of cells, and their columns as numbers.

What the table is for decides where its header is: `fits` says whether a row holds the names that its reader needs, and
is asked of the first rows of every visible sheet, alone and joined with the row below (`ER` over `Emotion`, `Gaze point
X` over `DACS px`); lines as `sep=;`, titles and blank lines may come before it.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from itertools import chain, islice, pairwise, zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError
from emer_edge.core.numbers import LARGEST, decimal_mark, number_or_nan, parse_number
from emer_edge.core.text import decode_text
from emer_edge.data.known_files import refuse_known_file
from emer_edge.data.workbooks import read_workbook

_WORKBOOK_MAGIC: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_LARGEST_BYTES: Final = 1 << 30
_SEP: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_HEADER_ROWS: Final = 30  # in which a header is looked for
_LONGEST_RECORD: Final = 200  # lines that a quoted cell, or a header of them, may go over
_ERROR: Final = re.compile(r"#(?!N/A)[A-Z/0]+[!?]?|Err:\d+")
_INVISIBLE: Final = dict.fromkeys(map(ord, "\x00\ufeff\u200b\u200e\u200f\u2060"))

Header = Sequence[str]
Cells = Sequence[Any]


@dataclass(frozen=True)
class Table:
    """A header and its rows.

    Attributes:
        header: the row of names, as stripped text.
        rows: the rows after it, as wide as the header; cells are text or numbers, "" where blank.
        first_row: number of the first of `rows` in the file, from 1, for messages.
        notes: what was guessed or left out, for sentences about the file.
        delimiter: between the cells of a text; "" of a workbook.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[list[Any]]
    first_row: int
    notes: tuple[str, ...] = ()
    delimiter: str = ""

    @cached_property
    def _proved(self) -> Counter[str]:
        """Decimal mark -> number of columns that prove it; empty where no cell has a comma."""
        columns = [[cell for cell in column if isinstance(cell, str)] for column in zip(*self.rows, strict=False)]
        if not any("," in "".join(column) for column in columns):
            return Counter()
        return Counter(next(iter(marks)) for column in columns if len(marks := decimal_mark(column)) == 1)

    def mark(self, cells: Cells, name: str) -> str:
        """The decimal mark of a column's cells: what they prove, else what the other columns do, else the usual.

        Raises:
            DataError: they contradict each other, or prove nothing beside columns that do.
        """
        texts = [cell for cell in cells if isinstance(cell, str)]
        comma = next((text for text in texts if "," in text), "")
        if not comma and not self._proved:
            return "."
        proved = decimal_mark(texts)
        if len(proved) == 2:
            one, other = (next(text for text in texts if decimal_mark([text]) == {mark}) for mark in ",.")
            raise DataError(
                f"{self.path}, column {name}: {one!r} has a decimal comma and {other!r} a decimal point; export the "
                "table again in one locale"
            )
        if proved or not any("," in text or "." in text for text in texts):
            return next(iter(proved), ".")
        if self._proved:
            usual = max(self._proved, key=self._proved.__getitem__)
        else:
            usual = "," if self.delimiter in ("\t", ";") else "." if self.delimiter else ""
        if not usual or self._proved[","] == self._proved["."] != 0:
            raise DataError(
                f"{self.path}, column {name}: whether {comma or texts[0]!r} has a decimal mark or one of thousands is "
                "open; export the table again with decimal points and without thousands"
            )
        return usual

    def squared(self) -> Table:
        """The table with rows as wide as its header; DataError where a row holds more."""
        wide = len(self.header)
        width = max((at + 1 for at, name in enumerate(self.header) if name), default=0)
        rows = self.rows
        for at, row in enumerate(rows):
            if len(row) != width:
                if self.delimiter and any(cell.strip() for cell in row[wide:]):
                    raise DataError(
                        f"{self.path}, row {self.first_row + at}: {len(row)} cells under {wide} names; are there "
                        "decimal commas between its commas? Export it with ; or tabs between cells"
                    )
                rows[at] = [*row[:width], *[""] * (width - len(row))]
        return replace(self, header=self.header[:width])

    def plain_rows(self) -> list[list[str]]:
        """The rows as text, whose numbers have decimal points and no thousands."""
        columns = [[row[at] for row in self.rows if at < len(row)] for at in range(len(self.header))]
        marks = [
            self.mark(cells, name) if any(isinstance(cell, str) and "," in cell for cell in cells) else ""
            for cells, name in zip(columns, self.header, strict=True)
        ]

        def plain(cell: Any, mark: str) -> str:
            number = number_or_nan(cell, mark) if mark else math.nan
            return cell_text(cell) if math.isnan(number) else repr(number)

        return [[plain(cell, mark) for cell, mark in zip_longest(row, marks[: len(row)])] for row in self.rows]


def read_table(path: Path, fits: Callable[[Header], object] | None = None, *, ragged: bool = False) -> Table:
    """Read the table of a workbook, a TSV or a CSV file, by its content; trailing blank rows are dropped.

    `fits` raises DataError where a row is not the header; None: the first row that is not blank is. With `ragged`, rows
    that are longer or shorter than the header stay as they are.

    Raises:
        DataError: the file can't be opened, is no table, is another program's file, has no header or several sheets
            with one, a row that is longer than its header, or is a workbook that would take gigabytes.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"{path} is larger than {_LARGEST_BYTES >> 30} GiB; export one recording per file")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"can't open {path}: {error.strerror or error}") from error
    refuse_known_file(content, path)
    notes: tuple[str, ...] = ()
    hidden = ""
    if content.startswith(_WORKBOOK_MAGIC):
        sheets, hidden = read_workbook(path)
        sources = [_Source(name, "", grid) for name, grid in sheets.items()]
    else:
        decoded = decode_text(content, path)
        notes = (decoded.note,) if decoded.note else ()
        sources = _text(decoded.text.split("\n"))
    found, errors = [], []
    for source in sources:
        try:
            found.append((source, *_find_header(source, path, fits)))
        except DataError as error:
            errors.append(error)
        else:
            if source.lines:
                break  # of the ways to cut a text into cells, the first that gives the header
    if len(found) > 1:
        names = ", ".join(source.name for source, *_ in found)
        raise DataError(f"{path} has several sheets with the columns: {names}; delete or hide all but one")
    if not found:
        names = ", ".join(source.name for source in sources)
        looked = f"; the sheets {names} were looked at" if len(sources) > 1 and names.strip(", ") else ""
        raise DataError(f"{errors[0]}{looked}{f', hidden ones ({hidden}) were not' if hidden else ''}") from errors[0]
    source, header, start = found[0]
    return _table(path, source, header, start, notes=notes, ragged=ragged)


def column_numbers(
    table: Table, at: int, rows: Sequence[Cells], row_numbers: Sequence[int], words: Mapping[str, float] | None = None
) -> NDArray[np.float64]:
    """The column at a position in n rows of a table, (n,) float64, NaN where missing; `row_numbers` is for messages.

    `words` gives numbers to words in lower case without blanks.

    Raises:
        DataError: a cell is neither a number nor a known word, or the column mixes decimal commas and points.
    """
    words = words or {}
    cells = [row[at] for row in rows]
    written = {cell for cell in cells if type(cell) is str} if str in set(map(type, cells)) else set()
    texts = "".join(written)
    mark = table.mark(cells, table.header[at]) if "," in texts or "." in texts else "."
    if mark == "." and "," not in texts and "_" not in texts:  # the usual column, in a tenth of the time
        with suppress(TypeError, ValueError):
            given = cells if not written else [math.nan if cell == "" else cell for cell in cells]
            quick = np.array(given if written <= {""} else [float(cell) for cell in given], float)
            if not (np.abs(quick) > LARGEST).any():
                return quick

    @lru_cache(maxsize=64)  # a column of words has few of them
    def number(cell: Any) -> float:
        code = words.get(cell.strip().strip('"').lower().replace(" ", "")) if isinstance(cell, str) and words else None
        return parse_number(cell, mark) if code is None else code

    numbers = []
    for row, cell in zip(row_numbers, cells, strict=True):
        try:
            numbers.append(cell if type(cell) is float and abs(cell) < 1e38 else number(cell))
        except ValueError:
            place = f"{table.path}, row {row}, column {table.header[at]}"
            wrong = "too large" if isinstance(cell, (int, float)) else "not a number"
            raise DataError(f"{place}: {without_value(cell) or f'{cell_text(cell)[:60]!r} is {wrong}'}") from None
    return np.array(numbers, float)


def without_value(cell: Any) -> str:
    """What stands in a cell for the value of a formula, as a part of a sentence; "" for any other cell."""
    if isinstance(cell, str) and cell.startswith("="):
        return f"{cell[:60]!r} is a formula without a result; open the file in a spreadsheet program and save it"
    error = isinstance(cell, str) and _ERROR.fullmatch(cell.strip())
    return f"{cell!r} is the error of a formula; correct it in a spreadsheet program" if error else ""


def cell_text(cell: Any) -> str:
    """One cell as stripped text, whole numbers without the `.0` of workbooks."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return " ".join(str(cell).translate(_INVISIBLE).strip().strip('"').split())


@dataclass(frozen=True)
class _Source:
    """A sheet, or one way to cut a text into cells; `lines` are of a text, `grid` of a workbook."""

    name: str
    delimiter: str
    grid: list[list[Any]]
    lines: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[list[Any]]:
        """All rows, in order; blank ones are empty or blank."""
        return _records(self.lines, self.delimiter) if self.lines else iter(self.grid)


def _text(lines: list[str]) -> list[_Source]:
    first = next((at for at, line in enumerate(lines) if line.strip()), 0)
    hint = _SEP.fullmatch(lines[first])
    if hint:
        lines[first] = ""
        return [_Source("", hint[1], [], lines)]
    head = next((line for line in lines if line.strip()), "")
    marks = sorted("\t;,", key=head.count, reverse=True)
    used = [mark for mark in marks if any(mark in line for line in lines[:_HEADER_ROWS])]
    return [_Source("", mark, [], lines) for mark in used or marks[:1]]


def _records(lines: list[str], delimiter: str) -> Iterator[list[str]]:
    """Cells of each line, or of the lines over which quoted cells go; a stray quotation mark costs its line only."""
    width, at = 0, 0
    while at < len(lines):
        line, taken = lines[at], 1
        cells = line.split(delimiter) if line.strip() else []
        if '"' in line:
            open_marks = line.count('"') % 2
            while open_marks and at + taken < len(lines) and taken < _LONGEST_RECORD:
                open_marks = (open_marks + lines[at + taken].count('"')) % 2
                taken += 1
            whole = _quoted(lines[at : at + taken], delimiter) if not open_marks else []
            more = lines[at + 1 : at + taken]  # none of which is a row of its own, unless a mark is stray
            rows = width > 2 and any(each.count(delimiter) + 1 == width for each in more)
            if rows or (len(whole) < max(2, width) and (more or len(cells) == width)):
                taken, whole = 1, []
            cells = whole or cells
        width = max(width, len(cells))
        yield cells
        at += taken


def _quoted(lines: list[str], delimiter: str) -> list[str]:
    try:
        return next(csv.reader([f"{line}\n" for line in lines], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


def _find_header(source: _Source, path: Path, fits: Callable[[Header], object] | None) -> tuple[tuple[str, ...], int]:
    """The header of a source and the number of rows up to its end; DataError where no row fits."""
    rows = list(islice(source.rows(), _HEADER_ROWS))

    @cache
    def head(at: int) -> list[str]:
        return [cell_text(cell) for cell in rows[at]]

    failed: list[tuple[int, DataError]] = []
    for at, below in pairwise(chain((at for at in range(len(rows)) if any(head(at))), [-1])):
        if fits is None:
            return tuple(head(at)), at + 1
        names = below >= 0 and all(math.isnan(number_or_nan(cell)) for cell in head(below))
        pair = _joined(head(at), head(below)) if names else []
        for header, end in [(head(at), at + 1), *((each, below + 1) for each in pair)]:
            try:
                fits(header)
            except DataError as error:
                if end == at + 1:
                    failed.append((sum(math.isnan(number_or_nan(cell)) for cell in filter(None, header)), error))
            else:
                return tuple(header), end
    if not failed:
        raise DataError(f"{path} is empty; a header row and data rows were expected")
    raise max(failed, key=lambda each: each[0])[1]


def _joined(upper: Header, lower: Header) -> list[list[str]]:
    """Two header rows as one: groups over names, or names over units."""
    named, with_units, group = [], [], ""
    for own, under in zip_longest(upper, lower, fillvalue=""):
        group = own or group
        named.append(f"{group} {under}".strip() if under else own)
        with_units.append(f"{own} [{under.strip('[]()')}]" if own and under else own)
    return [named, with_units]


def _table(
    path: Path, source: _Source, header: tuple[str, ...], start: int, *, notes: tuple[str, ...], ragged: bool
) -> Table:
    rows = list(islice(source.rows(), start, None))
    while rows and _blank(rows[-1]):
        rows.pop()
    if source.lines:
        if rows and source.lines[-1] and len(rows[-1]) < len(header) and not ragged:
            rows.pop()
            notes += ("ends in a cut line, which is left out",)
        lengths = {len(row) for row in rows if row}
        if lengths == {len(header) + 1} and any(row[-1].strip() for row in rows if row):
            header = ("", *header)  # of names of rows, which R writes without a name of their own
    table = Table(path, header, rows, start + 1, notes=notes, delimiter=source.delimiter)
    return table if ragged else table.squared()


def _blank(row: Cells) -> bool:
    return all(cell == "" or cell is None for cell in row)
