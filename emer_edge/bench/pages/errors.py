"""Which clips a bundle gets wrong, and how."""

from __future__ import annotations

from collections.abc import Iterator

from emer_edge.bench.records import BenchReport, BundleBench
from emer_edge.report.html import Block, Figure, Paragraph, Section
from emer_edge.report.plots import reliability_plot
from emer_edge.report.tables import Cell, Column, Table

__all__ = ["sections"]


def sections(report: BenchReport) -> tuple[Section, ...]:
    """One a bundle that was scored."""
    scored = [each for each in report.bundles if each.accuracy is not None]
    return tuple(Section(f"Errors: {each.name}", tuple(_error_blocks(each))) for each in scored)


def _error_blocks(bundle: BundleBench) -> Iterator[Block]:
    accuracy = bundle.accuracy
    assert accuracy is not None
    yield Paragraph(
        f"Fold {accuracy.fold}: {accuracy.clips} clips of {accuracy.participants} participants were scored once, "
        f"{len(accuracy.excluded)} clips of the data set could not be used. {accuracy.uncovered} of those scored are "
        "below the coverage floors; a live run would name no emotion there."
    )
    for name, head in accuracy.heads.items():
        if head.confusion:
            columns = (Column("true"), *(Column(each) for each in head.classes))
            rows: tuple[tuple[Cell, ...], ...] = tuple(
                (label, *row) for label, row in zip(head.classes, head.confusion, strict=True)
            )
            yield Table(f"Confusion of {name}", columns, rows, "Rows are labels, columns predictions.")
            yield Figure(reliability_plot(f"Reliability of {name}", head.reliability))
    if accuracy.excluded:
        rows_out = tuple((each.clip, each.reason) for each in accuracy.excluded)
        yield Table("Clips left out", (Column("Clip"), Column("Reason")), rows_out)
