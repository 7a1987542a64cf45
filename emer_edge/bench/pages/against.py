"""What moved since an older report."""

from __future__ import annotations

from emer_edge.bench.pages.words import folded
from emer_edge.bench.records import BenchReport
from emer_edge.report.html import Block, Paragraph, Section
from emer_edge.report.tables import Cell, Column, Table

__all__ = ["section", "tables"]

_COLUMNS = (
    Column("Bundle"),
    Column("Figure"),
    Column("then", "", 4),
    Column("now", "", 4),
    Column("change", "%", 1, 100),
    Column("verdict"),
)


def tables(report: BenchReport) -> dict[str, Table]:
    """Every figure that both reports have."""
    found = report.against
    rows: tuple[tuple[Cell, ...], ...] = ()
    if found is not None:
        rows = tuple(
            (each.bundle, each.figure, each.old, each.new, each.change, each.verdict) for each in found.figures
        )
    note = "Unjudged: noise alone could do it, as in a tail percentile of few measurements."
    return {"against": Table("Then and now", _COLUMNS, rows, note)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where no older report was named."""
    found = report.against
    if found is None:
        return None
    counts = {
        name: sum(each.verdict == name for each in found.figures) for name in ("worse", "better", "same", "unjudged")
    }
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    summary = Paragraph(
        f"Against {found.path} of {found.created}: {told or 'nothing can be compared'}. A figure may be "
        f"{found.max_regression:.0%} worse.",
        warning=bool(found.worse),
    )
    blocks: list[Block] = [summary]
    moved = [each for each in found.figures if each.verdict in ("worse", "better")]
    if moved:
        rows = tuple((each.bundle, each.figure, each.old, each.new, each.change, each.verdict) for each in moved)
        blocks.append(folded(Table("What moved", _COLUMNS, rows)))
    if found.incomparable:
        blocks.append(Paragraph(f"Not compared: {'; '.join(found.incomparable)}."))
    if "against" in tables:
        blocks.append(folded(tables["against"]))
    return Section("Since the older report", tuple(blocks))
