"""What a bundle leans on: the same clips with eyes, face or gaze taken away or exchanged."""

from __future__ import annotations

from emer_edge.bench.pages.scored import names_of
from emer_edge.bench.pages.words import HEAD, METRIC_NAMES, SHARES, estimate, folded, in_order, main_metric
from emer_edge.bench.records import BenchReport
from emer_edge.report.dots import dots
from emer_edge.report.html import Block, Details, Figure, Paragraph, Section
from emer_edge.report.plots import Bar
from emer_edge.report.tables import Cell, Column, Deviation, Table

__all__ = ["section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Every ablation's figures and changes."""
    rows: list[tuple[Cell, ...]] = []
    for at, bundle in names_of(report).items():
        probes = report.bundles[at].probes
        for each in probes.ablations if probes is not None else ():
            for name in in_order(each.heads):
                for metric, found in each.heads[name].items():
                    scale = 100 if metric in SHARES else 1
                    value, change = estimate(found.value, metric), estimate(found.change, metric)
                    drawn = Deviation(found.value.value * scale, found.sd * scale) if found.sd is not None else None
                    shown = f"{METRIC_NAMES.get(metric, metric)}{' (%)' if metric in SHARES else ''}"
                    rows.append((bundle, each.name, name, shown, value, change, drawn, each.permutations, each.clips))
    columns = (
        Column("Bundle"), Column("Probe"), HEAD, Column("Metric"), Column("figure", "", 2), Column("change", "", 2),
        Column("over draws", "", 2), Column("draws"), Column("clips"),
    )  # fmt: skip
    note = (
        "Change: against the same clips untouched. In parentheses 95 % intervals by bootstrap over participants, "
        "paired for changes. Over draws: mean ± SD over seeded permutations."
    )
    return {"ablations": Table("What is leant on", columns, tuple(rows), note)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where it was not asked for."""
    if "ablations" not in tables:
        return None
    blocks: list[Block] = [
        Paragraph(
            "The same clips again, with one thing taken away or exchanged between clips. Where a figure hardly moves, "
            "the bundle did not lean on that; where eyes exchanged within film and FER class cost nothing, they told "
            "no more than the film and the face do."
        )
    ]
    plots = [
        plot
        for at in range(len(report.bundles))
        for metric in ("war", "mae")
        if (plot := _plot(report, at, metric)) is not None
    ]
    blocks += plots[:2]
    if plots[2:]:
        blocks.append(Details("The other bundles", tuple(plots[2:])))
    told = dict.fromkeys(
        f"{each.name}: {each.about}"
        for bundle in report.bundles
        if bundle.probes is not None
        for each in bundle.probes.ablations
    )
    blocks += [Details("What was done", (Paragraph("; ".join(told) + "."),)), folded(tables["ablations"])]
    return Section("What it leans on", tuple(blocks))


def _plot(report: BenchReport, at: int, metric: str) -> Figure | None:
    probes, bundle = report.bundles[at].probes, names_of(report)[at]
    items = [
        Bar(each.name, estimate(each.heads[name][metric].change, metric), name)
        for each in (probes.ablations if probes is not None else ())
        for name in in_order(each.heads)
        if metric in each.heads[name] and main_metric(each.heads[name]) == metric
    ]
    if not items:
        return None
    unit = "points of WAR" if metric == "war" else f"{METRIC_NAMES[metric]}, label units"
    side = "Left of 0: worse without it." if metric == "war" else "Right of 0: worse without it."
    plot = dots(f"Change of {METRIC_NAMES[metric]}, {bundle}", unit, items, 2, (0.0,))
    return Figure(plot, f"{side} Intervals are paired over participants.")
