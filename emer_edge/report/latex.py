"""Tables as LaTeX (package booktabs)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from emer_edge.report.tables import ABSENT, Cell, Column, Estimate, Table, cell_text

__all__ = ["to_latex"]

_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    ABSENT: "--",
    "±": r"$\pm$",
    "°": r"\textdegree{}",
    "µ": r"\textmu{}",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "…": r"\dots{}",
}
_NEEDS: Final = r"% needs \usepackage{booktabs}"
_MANY: Final = 7
"""More columns than these are set in smaller type."""
_MINUS: Final = re.compile(r"(?<![\w.)-])-(?=\d)")


def to_latex(table: Table, label: str = "") -> str:
    """Render as a `table` float with caption and, if `label` is given, a label."""
    kinds = "".join("r" if table.is_numeric(at) else "l" for at in range(len(table.columns)))
    small = [r"\footnotesize"] if len(table.columns) > _MANY else []
    lines = [_NEEDS, r"\begin{table}", r"\centering", *small, rf"\caption{{{_escaped(table.title)}}}"]
    if label:
        lines.append(rf"\label{{{label}}}")
    lines += [
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _row([_escaped(each.heading) for each in table.columns]),
        r"\midrule",
    ]
    for row in table.rows:
        lines.append(_row([_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.note:
        lines.append(rf"\par\smallskip {_escaped(table.note)}")
    return "\n".join([*lines, r"\end{table}", ""])


def _cell(cell: Cell, column: Column) -> str:
    if isinstance(cell, str):
        return _escaped(cell)
    # Between figures of which one is negative, a dash would be read as another sign.
    negative = isinstance(cell, Estimate) and min(cell.low, cell.high) < 0
    return _MINUS.sub("$-$", _escaped(cell_text(cell, column, "{low} to {high}" if negative else "{low}--{high}")))


def _row(cells: Sequence[str]) -> str:
    # After a row's end an opening bracket or a star would be taken as its argument.
    guard = "{}" if cells[0].startswith(("[", "*")) else ""
    return guard + " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(each, each) for each in text)
