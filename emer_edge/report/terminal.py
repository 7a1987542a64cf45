"""Tables on a terminal."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table as RichTable

from emer_edge.report.tables import Table, cell_text

__all__ = ["to_rich"]


def to_rich(table: Table) -> RichTable:
    """Render for `rich.console.Console.print`."""
    rich = RichTable(
        title=escape(table.title),
        caption=escape(table.note) if table.note else None,
        box=box.SIMPLE_HEAD,
        show_header=any(each.heading for each in table.columns),
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
