"""Tables as CSV (RFC 4180), full precision: an estimate takes three columns, a mean with its deviation two."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Final

from emer_edge.report.tables import Cell, Deviation, Estimate, Table

__all__ = ["to_csv"]

_NAMES: Final = {"low": "low", "high": "high", "sd": "SD"}


def to_csv(table: Table) -> str:
    """Render with a header row.

    A column with intervals becomes `name`, `name low`, `name high`, one with deviations gets `name SD`, one with both
    all four. Text that a spreadsheet would run as a formula is preceded by an apostrophe.
    """
    kinds = [_parts([row[at] for row in table.rows]) for at in range(len(table.columns))]
    header: list[str] = []
    for column, kind in zip(table.columns, kinds, strict=True):
        header += [column.heading, *(f"{column.name} {_NAMES[each]}" for each in kind)]
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\r\n")
    writer.writerow(_plain(each) for each in header)
    for row in table.rows:
        writer.writerow(value for cell, kind in zip(row, kinds, strict=True) for value in _values(cell, kind))
    return output.getvalue()


def _parts(cells: Sequence[Cell]) -> tuple[str, ...]:
    """What the cells of a column hold beside the figure itself."""
    estimates = ("low", "high") if any(isinstance(each, Estimate) for each in cells) else ()
    return (*estimates, "sd") if any(isinstance(each, Deviation) for each in cells) else estimates


def _values(cell: Cell, kind: tuple[str, ...]) -> list[str]:
    if isinstance(cell, Estimate):
        return [_plain(cell.value), *(_plain(getattr(cell, each, None)) for each in kind)]
    if isinstance(cell, Deviation):
        return [_plain(cell.mean), *(_plain(getattr(cell, each, None)) for each in kind)]
    return [_plain(cell), *("" for _ in kind)]


def _plain(value: str | int | float | None) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(value)
