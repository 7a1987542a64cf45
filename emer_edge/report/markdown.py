"""Text and tables as Markdown (GitHub's tables)."""

from __future__ import annotations

import re
from typing import Final

from emer_edge.report.tables import Table, cell_text

__all__ = ["to_markdown"]

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#])")


def to_markdown(block: str | Table) -> str:
    """Render text, or a table with its title above and its note below; nothing in it is taken as markup or HTML."""
    if isinstance(block, str):
        return _escaped(block)
    heads = [_escaped(each.heading) for each in block.columns]
    rule = ["--:" if block.is_numeric(at) else "---" for at in range(len(heads))]
    rows = [
        [_escaped(cell_text(cell, column)) for cell, column in zip(row, block.columns, strict=True)]
        for row in block.rows
    ]
    lines = [f"**{_escaped(block.title)}**", "", *(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))]
    return "\n".join([*lines, *(("", _escaped(block.note)) if block.note else ())])


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
