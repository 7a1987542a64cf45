"""Tables as LaTeX (package booktabs)."""

from __future__ import annotations

from typing import Final

from emer_edge.report.tables import ABSENT, Table, cell_text

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
}


def to_latex(table: Table, label: str = "") -> str:
    """Render as a `table` float with caption and, if `label` is given, a label."""
    kinds = "".join("r" if table.is_numeric(at) else "l" for at in range(len(table.columns)))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_escaped(table.title)}}}"]
    if label:
        lines.append(rf"\label{{{label}}}")
    lines += [
        rf"\begin{{tabular}}{{{kinds}}}",
        r"\toprule",
        _row([each.heading for each in table.columns]),
        r"\midrule",
    ]
    for row in table.rows:
        cells = [cell_text(cell, column, "{low}--{high}") for cell, column in zip(row, table.columns, strict=True)]
        lines.append(_row(cells))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.note:
        lines.append(rf"\par\smallskip {_escaped(table.note)}")
    return "\n".join([*lines, r"\end{table}", ""])


def _row(cells: list[str]) -> str:
    return " & ".join(_escaped(each) for each in cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(each, each) for each in text)
