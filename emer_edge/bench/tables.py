"""A report as tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from emer_edge.bench.records import BenchReport, BundleBench, Estimated, HeadAccuracy
from emer_edge.report.tables import Cell, Column, Estimate, Table

__all__ = ["INTERVALS", "METRIC_NAMES", "SHARES", "estimate", "heads_with", "tables_of"]

METRIC_NAMES: Final = {
    "war": "WAR",
    "uar": "UAR",
    "weighted_f1": "weighted F1",
    "ece": "ECE",
    "nll": "NLL",
    "brier": "Brier",
    "mae": "MAE",
    "mse": "MSE",
    "rmse": "RMSE",
}
SHARES: Final = frozenset({"war", "uar", "weighted_f1", "ece"})
"""Metrics that people read as per cent."""

_BUNDLE, _PROTOCOL, _HEAD = Column("Bundle"), Column("Protocol"), Column("Head")
_MILLISECONDS: Final = (
    Column("p50", "ms"),
    Column("p90", "ms"),
    Column("p99", "ms"),
    Column("largest", "ms"),
    Column("count"),
)
INTERVALS: Final = "In parentheses 95 % intervals by bootstrap over participants."


def tables_of(report: BenchReport) -> dict[str, Table]:
    """All tables that have rows, in reading order, by a name that files can have."""
    found = {
        "speed": _speed(report),
        "live": _live(report),
        "loading": _loading(report),
        "classes": _accuracy(report, ("war", "uar", "weighted_f1"), "Accuracy on held-out clips: classes"),
        "values": _accuracy(report, ("mae", "mse", "rmse"), "Accuracy on held-out clips: values"),
        "probabilities": _accuracy(report, ("ece", "nll", "brier"), "What the probabilities are worth"),
        "trackers": _trackers(report),
        "event_columns": _event_columns(report),
        "folds": _folds(report),
        "published_batch": _published(report),
    }
    return {name: table for name, table in found.items() if table.rows}


def _speed(report: BenchReport) -> Table:
    rows = [
        (each.name, part, found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms, found.count)
        for each in report.bundles
        for part, found in each.latency.items()
    ]
    threads = report.bundles[0].threads
    warmup = report.options.get("warmup")
    note = (
        f"{threads} thread{'s' if threads != 1 else ''}, one after the other, {warmup} warm-up runs not counted. "
        "Live step: one crop encoded and one window fused. Whole window: all eight crops encoded."
    )
    return Table("Time of each part", (_BUNDLE, Column("Part"), *_MILLISECONDS), tuple(rows), note)


def _live(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in report.bundles:
        if each.streaming is not None:
            for stage, found in {**each.streaming.stages, **each.streaming.ages}.items():
                rows.append((each.name, stage, found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms, found.count))
    note = "Simulated camera and tracker in real time. Total: from the hop's deadline to the result."
    return Table("Live run", (_BUNDLE, Column("Stage"), *_MILLISECONDS), tuple(rows), note)


def _loading(report: BenchReport) -> Table:
    columns = (
        _BUNDLE,
        Column("Size", "MB", 1),
        Column("start", "ms", 0),
        Column("verify", "ms", 0),
        Column("open", "ms", 0),
        Column("first step", "ms", 1),
        Column("RSS loaded", "MB", 0),
        Column("RSS running", "MB", 0),
        Column("one core", "%", 1, 100),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in report.bundles:
        load, stream = each.loading, each.streaming
        rows.append(
            (
                each.name,
                each.size_bytes / 1e6,
                load.start_ms,
                load.verify_ms,
                load.open_ms,
                load.first_step_ms,
                load.rss_mb,
                stream.peak_rss_mb if stream else None,
                stream.cpu_share if stream else None,
            )
        )
    note = (
        "Each in a process of its own. Start: Python and imports. RSS running: the peak of the live run, simulated "
        "sensors included, as is their work in the share of one core."
    )
    return Table("Loading and memory", columns, tuple(rows), note)


def heads_with(report: BenchReport, metric: str) -> Iterator[tuple[BundleBench, str, HeadAccuracy]]:
    """Heads that have a metric, bundle by bundle."""
    for each in report.bundles:
        if each.accuracy is not None:
            for name, head in each.accuracy.heads.items():
                if metric in head.metrics:
                    yield each, name, head


def _metric_column(metric: str, suffix: str = "") -> Column:
    name = METRIC_NAMES[metric] + suffix
    return Column(name, "%", 1, 100) if metric in SHARES else Column(name, "", 3)


def _accuracy(report: BenchReport, metrics: tuple[str, ...], title: str) -> Table:
    first = metrics[0]
    found = list(heads_with(report, first))
    has_reference = any(first in head.fp32_selection for _, _, head in found)
    columns = [_BUNDLE, _PROTOCOL, _HEAD, *(_metric_column(each) for each in metrics), Column("clips")]
    note = INTERVALS
    if has_reference:
        columns += [_metric_column(first, " FP32*"), _metric_column(first, " final*")]
        note += " * As export measured it on its selection windows, before and after quantisation."
    rows = []
    for bundle, name, head in found:
        cells: list[Cell] = [bundle.name, head.protocol, name]
        cells += [estimate(head.metrics[each]) for each in metrics]
        cells.append(head.clips)
        if has_reference:
            cells += [head.fp32_selection.get(first), head.final_selection.get(first)]
        rows.append(tuple(cells))
    return Table(title, tuple(columns), tuple(rows), note)


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
        _BUNDLE, _PROTOCOL, _HEAD, Column("Tracker"), Column("columns missing"),
        _metric_column("war"), _metric_column("uar"), _metric_column("mae"),
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
        _BUNDLE, Column("Column"), Column("same", "%", 1, 100), Column("mean difference", "", 3),
        Column("mean in sheets", "", 3), Column("slots"),
    )  # fmt: skip
    note = (
        "A live run computes columns 33 to 39 without looking ahead: types agree, durations and centroids are those so "
        "far, and events are counted from the window's start, not the recording's. Same: to 0.5 px or ms, 0.005 MCS."
    )
    return Table("Eye movement columns: live against the data set's", columns, tuple(rows), note)


def _folds(report: BenchReport) -> Table:
    rows = []
    for key, spread in report.folds.items():
        head, metric = key.split("/", 1)
        scale = 100 if metric in SHARES else 1
        shown = f"{METRIC_NAMES[metric]} (%)" if scale == 100 else METRIC_NAMES[metric]
        sd = None if spread.sd is None else spread.sd * scale
        rows.append((head, shown, spread.mean * scale, sd, len(spread.values)))
    columns = (_HEAD, Column("Metric"), Column("mean", "", 3), Column("SD", "", 3), Column("folds"))
    return Table("Over folds", columns, tuple(rows), "Mean and standard deviation (n - 1) of one bundle a fold.")


def _published(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in report.bundles:
        for name, head in each.accuracy.heads.items() if each.accuracy is not None else ():
            for metric, value in head.published_batch.items():
                percent = metric in SHARES
                shown = f"{METRIC_NAMES[metric]} (%)" if percent else METRIC_NAMES[metric]
                scale = 100 if percent else 1
                rows.append((each.name, head.protocol, name, shown, value * scale, head.metrics[metric].value * scale))
    columns = (_BUNDLE, _PROTOCOL, _HEAD, Column("Metric"), Column("per batch of 16", "", 3), Column("exact", "", 3))
    note = "The published scripts average a metric over batches of 16 clips; it depends on their order."
    return Table("The published reduction", columns, tuple(rows), note)


def estimate(found: Estimated) -> Estimate:
    """A figure and its interval as tables and plots take them."""
    low, high = (math.nan if each is None else each for each in (found.low, found.high))
    return Estimate(found.value, low, high)
