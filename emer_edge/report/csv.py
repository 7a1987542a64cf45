"""Tables as CSV (RFC 4180), full precision: an estimate takes three columns."""

from __future__ import annotations

import csv
import io
import math

from emer_edge.report.tables import Cell, Estimate, Table

__all__ = ["to_csv"]


def to_csv(table: Table) -> str:
    """Render with a header row; a column with intervals becomes `name`, `name low`, `name high`.

    Text that a spreadsheet would run as a formula is preceded by an apostrophe.
    """
    wide = [any(isinstance(row[at], Estimate) for row in table.rows) for at in range(len(table.columns))]
    header: list[str] = []
    for column, split in zip(table.columns, wide, strict=True):
        header += [column.heading, f"{column.name} low", f"{column.name} high"] if split else [column.heading]
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\r\n")
    writer.writerow(_plain(each) for each in header)
    for row in table.rows:
        writer.writerow(value for cell, split in zip(row, wide, strict=True) for value in _values(cell, split))
    return output.getvalue()


def _values(cell: Cell, split: bool) -> list[str]:
    if isinstance(cell, Estimate):
        return [_plain(cell.value), _plain(cell.low), _plain(cell.high)]
    return [_plain(cell), "", ""] if split else [_plain(cell)]


def _plain(value: str | int | float | None) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(value)
