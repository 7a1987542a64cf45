"""How a bundle bears worse input, more and more of it."""

from __future__ import annotations

from emer_edge.bench.pages.scored import names_of
from emer_edge.bench.pages.words import HEAD, METRIC_NAMES, SHARES, estimate, folded, in_order, unit_of
from emer_edge.bench.records import BenchReport, Curve
from emer_edge.report.curves import Line, curves
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph, Section
from emer_edge.report.tables import Cell, Column, Table

__all__ = ["section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Every point of every curve."""
    rows: list[tuple[Cell, ...]] = []
    for at, bundle in names_of(report).items():
        for curve in _curves(report, at):
            for level in curve.levels:
                for name in in_order(level.heads):
                    for metric, found in level.heads[name].items():
                        shown = f"{METRIC_NAMES.get(metric, metric)}{' (%)' if metric in SHARES else ''}"
                        figures = (estimate(found.value, metric), estimate(found.change, metric))
                        where = (curve.name, level.level, curve.unit)
                        rows.append((bundle, *where, name, shown, *figures, level.uncovered, curve.clips))
    columns = (
        Column("Bundle"), Column("Input"), Column("level", "", 3), Column("unit"), HEAD, Column("Metric"),
        Column("figure", "", 2), Column("change", "", 2), Column("below floor"), Column("clips"),
    )  # fmt: skip
    note = (
        "Below floor: clips whose window a live run would name no emotion for; they count all the same. In parentheses "
        "95 % intervals by bootstrap over participants, paired for changes."
    )
    return {"robustness": Table("Worse input", columns, tuple(rows), note)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where it was not asked for."""
    if "robustness" not in tables:
        return None
    blocks: list[Block] = []
    for at, bundle in names_of(report).items():
        found = _curves(report, at)
        if not found:
            continue
        classes = Gallery(tuple(each for curve in found for each in _figures(curve, "war")))
        values = Gallery(tuple(each for curve in found for each in _figures(curve, "mae")))
        rest = Details(f"Value heads of {bundle}", (values,)) if values.figures else None
        held: tuple[Block, ...] = (classes, rest) if rest is not None else (classes,)
        blocks += held if not blocks else [Details(f"The same of {bundle}", held)]
    told = dict.fromkeys(
        f"{curve.name[:1].upper()}{curve.name[1:]}: {curve.about}"
        for at in range(len(report.bundles))
        for curve in _curves(report, at)
    )
    about = Paragraph(f"The same clips, made worse step by step. {'. '.join(told)}.")
    return Section("Worse input", (about, *blocks, folded(tables["robustness"])))


def _curves(report: BenchReport, at: int) -> tuple[Curve, ...]:
    probes = report.bundles[at].probes
    return probes.curves if probes is not None else ()


def _figures(curve: Curve, metric: str) -> tuple[Figure, ...]:
    lines = []
    for name in in_order(set().union(*(level.heads for level in curve.levels))):
        points = tuple(
            (level.level, estimate(level.heads[name][metric].value, metric))
            for level in curve.levels
            if metric in level.heads.get(name, {})
        )
        if points:
            lines.append(Line(name, points))
    if not lines:
        return ()
    title = f"{curve.name[:1].upper()}{curve.name[1:]}"
    below = curve.levels[-1].uncovered
    caption = f"{curve.clips} clips at every level." + (
        f" At the last, {below} are below the coverage floors." if below else ""
    )
    axis = f"{curve.axis} ({curve.unit})" if curve.unit else curve.axis
    plot = curves(title, axis, unit_of(metric), lines, 1 if metric in SHARES else 3)
    return (Figure(plot, caption),)
