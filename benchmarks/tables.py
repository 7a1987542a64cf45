"""Tables that a script writes into a page of the documentation, between two comments."""

from __future__ import annotations

import re
from pathlib import Path

from emer_edge.report.table import Table, cell_text


def markdown(table: Table) -> str:
    """A table in GitHub's Markdown, its note below it."""
    heads = [column.heading for column in table.columns]
    rules = ["---:" if table.is_numeric(at) else "---" for at in range(len(heads))]
    rows = [[cell_text(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    lines = [f"| {' | '.join(row)} |" for row in (heads, rules, *rows)]
    return "\n".join([f"**{table.title}**", "", *lines, *(["", table.note] if table.note else [])])


def put_table(page: Path, name: str, table: Table) -> None:
    """Replace the text between `<!-- name -->` and `<!-- end name -->` of a page by a table."""
    text = page.read_text()
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    if begin not in text or end not in text:
        raise SystemExit(f"{page} has no place for the table: {begin} ... {end}")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    page.write_text(pattern.sub(lambda _: f"{begin}\n{markdown(table)}\n{end}", text))
