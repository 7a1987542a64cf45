"""The gap between what is felt and what is shown, against annotators who saw two emotions."""

from __future__ import annotations

from emer_edge.bench.pages.scored import scored_of
from emer_edge.bench.pages.words import INTERVALS, estimate, folded, spread
from emer_edge.bench.records import BenchReport
from emer_edge.report.curves import Line, curves, roc_plot
from emer_edge.report.html import Block, Figure, Gallery, Paragraph, Section
from emer_edge.report.tables import Cell, Column, Estimate, Table

__all__ = ["section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Areas under the curve, and fifths by gap."""
    return {"gap": _areas(report), "gap_fifths": _fifths(report)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None without both labels."""
    found = [each for each in scored_of(report) if each.gap is not None]
    if not found:
        return None
    blocks: list[Block] = [
        Paragraph(
            "The gap is the base-2 Jensen-Shannon distance, 0 to 1, of what the person likely feels and what the face "
            "shows. Here it is asked to tell clips whose two labels differ. It is no lie detector."
        )
    ]
    figures: list[Figure] = []
    lines = [
        Line(each.name, tuple((one.mean, estimate(one.disagreeing)) for one in each.gap.bins))
        for each in found
        if each.gap is not None and each.gap.bins
    ]
    if lines:
        shares = [Line(each.name, tuple((at, _percent(value)) for at, value in each.points)) for each in lines]
        plot = curves("Labels that differ, by gap", "mean gap of a fifth of the clips", "differ (%)", shares, floor=0.0)
        figures.append(Figure(plot, "Should rise. Bands are 95 % intervals by bootstrap over participants."))
    curves_of = {each.name: each.gap.roc for each in found if each.gap is not None and each.gap.roc}
    if curves_of:
        areas = {
            each.name: each.gap.auroc.value for each in found if each.gap is not None and each.gap.auroc is not None
        }
        plot = roc_plot("Labels that differ, told by the gap", curves_of, areas)
        figures.append(Figure(plot, "Figures are areas under the curves; on the dashed line the gap tells nothing."))
    blocks += [Gallery(tuple(figures))] if figures else []
    blocks += [folded(tables[name]) for name in ("gap", "gap_fifths") if name in tables]
    return Section("The gap", tuple(blocks))


def _percent(found: Estimate) -> Estimate:
    return Estimate(found.value * 100, found.low * 100, found.high * 100)


def _areas(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in scored_of(report):
        gap = each.gap
        if gap is not None:
            over = each.spread.get("gap/auroc")
            cells = (
                None if gap.auroc is None else estimate(gap.auroc),
                None if over is None else spread(over),
                gap.mean_agreeing, gap.mean_disagreeing, gap.uniformity, gap.disagreeing, gap.clips,
            )  # fmt: skip
            rows.append((each.name, *cells))
    columns = (
        Column("Bundle"), Column("AUROC", "", 3), Column("over folds", "", 3), Column("gap, labels agree", "", 3),
        Column("gap, labels differ", "", 3), Column("KS", "", 3), Column("differing", "%", 1, 100), Column("clips"),
    )  # fmt: skip
    note = (
        f"{INTERVALS} AUROC: how often a clip whose labels differ has the larger gap; 0.5 is chance. KS: largest "
        "distance of the gap's percentiles among agreeing clips from the uniform distribution that they promise."
    )
    return Table("Does the gap tell labels that differ?", columns, tuple(rows), note)


def _fifths(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in scored_of(report):
        for one in each.gap.bins if each.gap is not None else ():
            rows.append((each.name, one.low, one.high, one.mean, estimate(one.disagreeing), one.clips))
    columns = (
        Column("Bundle"), Column("from", "", 3), Column("to", "", 3), Column("mean", "", 3),
        Column("labels differ", "%", 1, 100), Column("clips"),
    )  # fmt: skip
    return Table("Fifths of the clips by their gap", columns, tuple(rows), INTERVALS)
