"""The same clips through lesser trackers, and with the other rule of eye movements."""

from __future__ import annotations

from emer_edge.bench.pages.scored import names_of
from emer_edge.bench.pages.words import (
    BUNDLE,
    HEAD,
    INTERVALS,
    METRIC_NAMES,
    PROTOCOL,
    WHISKERS,
    estimate,
    folded,
    in_order,
    metric_column,
    unit_of,
)
from emer_edge.bench.records import BenchReport
from emer_edge.report.dots import dots
from emer_edge.report.html import Figure, Section
from emer_edge.report.plots import Bar
from emer_edge.report.tables import Cell, Column, Table

__all__ = ["section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Accuracy under each tracker, and columns that look ahead."""
    return {"trackers": _trackers(report), "event_columns": _event_columns(report)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where nothing of it was asked for."""
    found = tuple(folded(tables[name]) for name in ("trackers", "event_columns") if name in tables)
    plots = [_plot(report, at, metric) for metric in ("war", "mae") for at in range(len(report.bundles))]
    drawn = [each for each in plots if each is not None]
    return Section("Trackers", (*drawn[:1], *found)) if found else None


def _plot(report: BenchReport, at: int, metric: str) -> Figure | None:
    accuracy = report.bundles[at].accuracy
    if accuracy is None or not accuracy.views:
        return None
    views = {"full": {name: head.metrics for name, head in accuracy.heads.items()}}
    views.update({each.name: each.heads for each in accuracy.views})
    items = [
        Bar(head, estimate(heads[head][metric], metric), view)
        for head in in_order(accuracy.heads)
        for view, heads in views.items()
        if metric in heads.get(head, {})
    ]
    title = f"{METRIC_NAMES[metric]} by tracker, {names_of(report)[at]}"
    return Figure(dots(title, unit_of(metric), items, 1 if metric == "war" else 3), WHISKERS) if items else None


def _trackers(report: BenchReport) -> Table:
    """Accuracy under each tracker profile beside that with all columns."""
    rows: list[tuple[Cell, ...]] = []
    for each in report.bundles:
        accuracy = each.accuracy
        if accuracy is None or not accuracy.views:
            continue
        whole = {name: head.metrics for name, head in accuracy.heads.items()}
        views = [("full", 0, whole), *((view.name, len(view.missing), view.heads) for view in accuracy.views)]
        for head, record in accuracy.heads.items():
            metric = "war" if "war" in record.metrics else "mae"
            for name, missing, heads in views:
                found = estimate(heads[head][metric])
                classes = (found, estimate(heads[head]["uar"]), None) if metric == "war" else (None, None, found)
                rows.append((each.name, record.protocol, head, name, missing, *classes))
    columns = (
        BUNDLE, PROTOCOL, HEAD, Column("Tracker"), Column("columns missing"),
        metric_column("war"), metric_column("uar"), metric_column("mae"),
    )  # fmt: skip
    note = (
        "The same clips with the columns that a tracker can't fill taken out and its rate; full: as the sheets have "
        "them. " + INTERVALS
    )
    return Table("Accuracy under each tracker", columns, tuple(rows), note)


def _event_columns(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in report.bundles:
        for column, found in each.accuracy.event_columns.items() if each.accuracy is not None else ():
            rows.append((each.name, column, found.same, found.mean_difference, found.mean_published, found.slots))
    columns = (
        BUNDLE, Column("Column"), Column("same", "%", 1, 100), Column("mean difference", "", 3),
        Column("mean in sheets", "", 3), Column("slots"),
    )  # fmt: skip
    note = (
        "A live run computes columns 33 to 39 without looking ahead: types agree, durations and centroids are those so "
        "far, and events are counted from the window's start, not the recording's. Same: to 0.5 px or ms, 0.005 MCS."
    )
    return Table("Eye movement columns: live against the data set's", columns, tuple(rows), note)
