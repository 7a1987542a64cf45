"""Tables as data: written once, rendered as HTML, CSV, LaTeX or on a terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

ABSENT = "–"
"""What stands where there is no figure."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; NaN limits mean that there is none.

    Attributes:
        value: the figure.
        low, high: limits of the interval, or value minus and plus one standard deviation where a column says so.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    def spoken(self, digits: int) -> str:
        """As a screen reader says it: `71.2 (68.0 to 74.1)`."""
        text = f"{self.value:.{digits}f}" if math.isfinite(self.value) else "no figure"
        return f"{text} ({self.low:.{digits}f} to {self.high:.{digits}f})" if self.has_interval else text

    @property
    def ends(self) -> list[float]:
        """The figure and its limits, those that are known."""
        return [value for value in (self.value, self.low, self.high) if math.isfinite(value)]

    @property
    def has_interval(self) -> bool:
        """Whether both limits are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class Deviation:
    """A mean and its standard deviation; NaN where there is but one value.

    Attributes:
        mean: the mean.
        sd: the standard deviation.
    """

    mean: float
    sd: float = math.nan


Cell = str | int | float | Estimate | Deviation | None
Rows = Iterable[tuple[Cell, ...]]
Source = TypeVar("Source")

_HEADING: Final = re.compile(r"(?P<name>.*?)(?: \((?P<unit>[^)]+)\))?(?::(?P<digits>\d))?")


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: its heading.
        unit: follows the heading; empty for none.
        digits: decimals of its figures.
        scale: figures are multiplied by it when shown to people (100 shows shares as per cent), never in CSV.
    """

    name: str
    unit: str = ""
    digits: int = 2
    scale: float = 1.0

    @property
    def heading(self) -> str:
        """Name and unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: says what the figures are.
        columns: its columns.
        rows: cells, as many a row as there are columns.
        note: a line below it; empty for none.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.title!r}: a row of {len(row)} cells for {len(self.columns)} columns")

    @classmethod
    def of(cls, title: str, header: str, rows: Rows, note: str = "") -> Table:
        """A table whose header is as `columns` reads it."""
        return cls(title, columns(header), tuple(rows), note)

    def is_numeric(self, at: int) -> bool:
        """Whether column `at` holds figures only, so that it is set flush right."""
        return bool(self.rows) and not any(isinstance(row[at], str) for row in self.rows)


def columns(header: str) -> tuple[Column, ...]:
    """Columns from a line such as `Bundle | recall (%):1 | p50 (ms) | clips`.

    A unit stands in parentheses, decimals after a colon (2 where none are named); figures in `%` are held as shares.
    """
    parsed = []
    for heading in header.split("|"):
        part = _HEADING.fullmatch(heading.strip())
        assert part is not None
        unit = part["unit"] or ""
        parsed.append(Column(part["name"], unit, int(part["digits"] or 2), 100 if unit == "%" else 1))
    return tuple(parsed)


def tabled(title: str, header: str, note: str = "") -> Callable[[Callable[[Source], Rows]], Callable[[Source], Table]]:
    """Turn a function that gives rows into one that gives the table; the header is as `columns` reads it."""

    def of(rows: Callable[[Source], Rows]) -> Callable[[Source], Table]:
        return lambda source: Table.of(title, header, rows(source), note)

    return of


def cell_text(cell: Cell, column: Column, span: str = "{low} to {high}") -> str:
    """A cell as people read it: `71.2 (68.0 to 74.1)`, `71.2 ± 1.4`, `–` where there is no figure.

    `span` says how the limits of an interval are joined.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Estimate):
        shown = _figure(cell.value, column)
        if not cell.has_interval:
            return shown
        return f"{shown} ({span.format(low=_figure(cell.low, column), high=_figure(cell.high, column))})"
    if isinstance(cell, Deviation):
        shown = _figure(cell.mean, column)
        return f"{shown} ± {_figure(cell.sd, column)}" if math.isfinite(cell.sd) else shown
    if isinstance(cell, int) and column.scale == 1:
        return f"{cell:,}"
    return ABSENT if cell is None else _figure(cell, column)


def _figure(value: float, column: Column) -> str:
    if not math.isfinite(value):
        return ABSENT
    shown = f"{value * column.scale:,.{column.digits}f}"
    return shown if shown.strip("-0.") else shown.lstrip("-")  # what rounds to zero has no sign
