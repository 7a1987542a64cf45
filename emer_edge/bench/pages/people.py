"""How figures spread over participants: whom a mean speaks for."""

from __future__ import annotations

from emer_edge.bench.pages.scored import Scored, scored_of
from emer_edge.bench.pages.words import HEAD, METRIC_NAMES, SHARES, folded, in_order, scaled, unit_of
from emer_edge.bench.records import BenchReport, HeadAccuracy, ParticipantSpread
from emer_edge.report.html import Block, Figure, Section
from emer_edge.report.strips import Strip, strips
from emer_edge.report.tables import Cell, Column, Table

__all__ = ["section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Quartiles over participants."""
    rows: list[tuple[Cell, ...]] = []
    for each in scored_of(report):
        for name in in_order(each.heads):
            found = each.heads[name].participants
            if found is not None:
                five = [
                    scaled(value, found.metric) for value in (found.min, found.q1, found.median, found.q3, found.max)
                ]
                shown = f"{METRIC_NAMES[found.metric]}{' (%)' if found.metric in SHARES else ''}"
                rows.append((each.name, name, shown, *five, len(found.figures)))
    columns = (
        Column("Bundle"), HEAD, Column("Metric"), Column("lowest", "", 2), Column("1st quartile", "", 2),
        Column("median", "", 2), Column("3rd quartile", "", 2), Column("highest", "", 2), Column("participants"),
    )  # fmt: skip
    return {
        "people": Table("Over participants", columns, tuple(rows), "Each participant on their own clips, counted once.")
    }


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None in reports without such figures."""
    if "people" not in tables:
        return None
    blocks: list[Block] = []
    for each in scored_of(report)[:1]:
        for metric in ("war", "mae"):
            plot = _plot(each, metric)
            if plot:
                caption = (
                    "A dot is a participant on their own clips; the box holds the middle half, the line is the median."
                )
                blocks.append(Figure(plot, caption))
    return Section("Participants", (*blocks, folded(tables["people"])))


def _plot(scored: Scored, metric: str) -> str:
    rows = [
        Strip(name, [scaled(each.value, metric) for each in spread.figures])
        for name in in_order(scored.heads)
        for spread in (_spread(scored.heads[name], metric),)
        if spread is not None
    ]
    title = f"{METRIC_NAMES[metric]} of each participant, {scored.name}"
    return strips(title, unit_of(metric), rows, 1 if metric in SHARES else 3) if rows else ""


def _spread(head: HeadAccuracy, metric: str) -> ParticipantSpread | None:
    found = head.participants
    return found if found is not None and found.metric == metric else None
