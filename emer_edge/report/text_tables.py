"""Tables as CSV (RFC 4180, full precision), LaTeX (package booktabs), Markdown (GitHub's tables) and on a terminal."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from emer_edge.report.table import ABSENT, Cell, Column, Deviation, Estimate, Table, cell_text

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_CSV_NAMES: Final = {"low": "low", "high": "high", "sd": "SD"}


def to_csv(table: Table) -> str:
    """Render with a header row.

    A column with intervals becomes `name`, `name low`, `name high`, one with deviations gets `name SD`, one with both
    all four. Text that a spreadsheet would run as a formula is preceded by an apostrophe.
    """
    kinds = [_parts([row[at] for row in table.rows]) for at in range(len(table.columns))]
    header: list[str] = []
    for column, kind in zip(table.columns, kinds, strict=True):
        header += [column.heading, *(f"{column.name} {_CSV_NAMES[name]}" for name in kind)]
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\r\n")
    writer.writerow(_plain(heading) for heading in header)
    for row in table.rows:
        writer.writerow(value for cell, kind in zip(row, kinds, strict=True) for value in _values(cell, kind))
    return output.getvalue()


def _parts(cells: Sequence[Cell]) -> tuple[str, ...]:
    """What the cells of a column hold beside the figure itself."""
    estimates = ("low", "high") if any(isinstance(cell, Estimate) for cell in cells) else ()
    return (*estimates, "sd") if any(isinstance(cell, Deviation) for cell in cells) else estimates


def _values(cell: Cell, kind: tuple[str, ...]) -> list[str]:
    value = cell.value if isinstance(cell, Estimate) else cell.mean if isinstance(cell, Deviation) else cell
    return [_plain(value), *(_plain(getattr(cell, name, None)) for name in kind)]


def _plain(value: str | int | float | None) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(value)


_LATEX: Final = {
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "°": r"\textdegree{}", "µ": r"\textmu{}",
    "±": r"$\pm$", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\dots{}", ABSENT: "--",
}  # fmt: skip
_NEEDS: Final = r"% needs \usepackage{booktabs}"
_MANY_COLUMNS: Final = 7
"""More columns than these are set in smaller type."""
_MINUS: Final = re.compile(r"(?<![\w.)-])-(?=\d)")


def to_latex(table: Table, label: str = "") -> str:
    """Render as a `table` float with caption and, if `label` is given, a label."""
    kinds = "".join("r" if table.is_numeric(at) else "l" for at in range(len(table.columns)))
    small = [r"\footnotesize"] if len(table.columns) > _MANY_COLUMNS else []
    lines = [_NEEDS, r"\begin{table}", r"\centering", *small, rf"\caption{{{_in_latex(table.title)}}}"]
    if label:
        lines.append(rf"\label{{{label}}}")
    lines += [
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _row([_in_latex(column.heading) for column in table.columns]),
        r"\midrule",
    ]
    for row in table.rows:
        lines.append(_row([_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.note:
        lines.append(rf"\par\smallskip {_in_latex(table.note)}")
    return "\n".join([*lines, r"\end{table}", ""])


def _cell(cell: Cell, column: Column) -> str:
    if isinstance(cell, str):
        return _in_latex(cell)
    # Between figures of which one is negative, a dash would be read as another sign.
    negative = isinstance(cell, Estimate) and min(cell.low, cell.high) < 0
    return _MINUS.sub("$-$", _in_latex(cell_text(cell, column, "{low} to {high}" if negative else "{low}--{high}")))


def _row(cells: Sequence[str]) -> str:
    # After a row's end an opening bracket or a star would be taken as its argument.
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return guard + " & ".join(cells) + r" \\"


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>|#])")


def to_markdown(block: str | Table) -> str:
    """Render text, or a table with its title above and its note below; nothing in it is taken as markup or HTML."""
    if isinstance(block, str):
        return _in_markdown(block)
    heads = [_in_markdown(column.heading) for column in block.columns]
    rule = ["--:" if block.is_numeric(at) else "---" for at in range(len(heads))]
    rows = [
        [_in_markdown(cell_text(cell, column)) for cell, column in zip(row, block.columns, strict=True)]
        for row in block.rows
    ]
    lines = [f"**{_in_markdown(block.title)}**", "", *(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))]
    return "\n".join([*lines, *(("", _in_markdown(block.note)) if block.note else ())])


def _in_markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def to_rich(table: Table) -> RichTable:
    """Render for `rich.console.Console.print`."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table as RichTable

    rich = RichTable(
        title=escape(table.title),
        caption=escape(table.note) if table.note else None,
        box=box.SIMPLE_HEAD,
        show_header=any(column.heading for column in table.columns),
        title_justify="left",
        title_style="bold",
        caption_justify="left",
    )
    for at, column in enumerate(table.columns):
        rich.add_column(escape(column.heading), justify="right" if table.is_numeric(at) else "left", no_wrap=at == 0)
    for row in table.rows:
        rich.add_row(
            *(escape(cell_text(cell, column, "{low}–{high}")) for cell, column in zip(row, table.columns, strict=True))
        )
    return rich
