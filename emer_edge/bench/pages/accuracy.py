"""How right the heads are on held-out clips."""

from __future__ import annotations

from emer_edge.bench.pages.words import (
    BUNDLE,
    HEAD,
    INTERVALS,
    METRIC_NAMES,
    PROTOCOL,
    SHARES,
    estimate,
    heads_with,
    metric_column,
)
from emer_edge.bench.records import BenchReport
from emer_edge.report.html import Block, Figure, Section
from emer_edge.report.plots import Bar, bars
from emer_edge.report.tables import Cell, Column, Estimate, Table
from emer_edge.spec.heads import HEADS

__all__ = ["section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Class heads, value heads, probabilities, folds, the published reduction."""
    return {
        "classes": _accuracy(report, ("war", "uar", "weighted_f1"), "Accuracy on held-out clips: classes"),
        "values": _accuracy(report, ("mae", "mse", "rmse"), "Accuracy on held-out clips: values"),
        "probabilities": _accuracy(report, ("ece", "nll", "brier"), "What the probabilities are worth"),
        "folds": _folds(report),
        "published_batch": _published(report),
    }


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None without a data set."""
    if not any(each.accuracy for each in report.bundles):
        return None
    return Section("Accuracy", _accuracy_blocks(report, tables))


def _accuracy_blocks(report: BenchReport, tables: dict[str, Table]) -> tuple[Block, ...]:
    several = len(report.bundles) > 1
    blocks: list[Block] = []
    for metric, high in (("war", 100.0), ("mae", None)):
        items = []
        scale = 100 if metric in SHARES else 1
        for bundle, name, head in heads_with(report, metric):
            found = estimate(head.metrics[metric])
            scaled = Estimate(found.value * scale, found.low * scale, found.high * scale)
            items.append(Bar(name, scaled, bundle.name if several else ""))
        order = list(HEADS)
        items.sort(key=lambda each: order.index(each.name))  # one head's bars of all bundles beside each other
        if items:
            unit = "%" if high else "label units"
            title = f"{METRIC_NAMES[metric]} of each head"
            blocks.append(Figure(bars(title, unit, items, 1 if high else 3, high), INTERVALS))
    names = ("classes", "values", "probabilities", "folds", "published_batch")
    return (*blocks, *(tables[name] for name in names if name in tables))


def _accuracy(report: BenchReport, metrics: tuple[str, ...], title: str) -> Table:
    first = metrics[0]
    found = list(heads_with(report, first))
    has_reference = any(first in head.fp32_selection for _, _, head in found)
    columns = [BUNDLE, PROTOCOL, HEAD, *(metric_column(each) for each in metrics), Column("clips")]
    note = INTERVALS
    if has_reference:
        columns += [metric_column(first, " FP32*"), metric_column(first, " final*")]
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


def _folds(report: BenchReport) -> Table:
    rows = []
    for key, spread in report.folds.items():
        head, metric = key.split("/", 1)
        scale = 100 if metric in SHARES else 1
        shown = f"{METRIC_NAMES[metric]} (%)" if scale == 100 else METRIC_NAMES[metric]
        sd = None if spread.sd is None else spread.sd * scale
        rows.append((head, shown, spread.mean * scale, sd, len(spread.values)))
    columns = (HEAD, Column("Metric"), Column("mean", "", 3), Column("SD", "", 3), Column("folds"))
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
    columns = (BUNDLE, PROTOCOL, HEAD, Column("Metric"), Column("per batch of 16", "", 3), Column("exact", "", 3))
    note = "The published scripts average a metric over batches of 16 clips; it depends on their order."
    return Table("The published reduction", columns, tuple(rows), note)
