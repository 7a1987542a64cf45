"""The same clips read in different ways: random draws, newest in slot, live windows; and the published reduction."""

from __future__ import annotations

from emer_edge.bench.pages.scored import Scored, scored_of
from emer_edge.bench.pages.words import (
    HEAD,
    INTERVALS,
    METRIC_NAMES,
    SHARES,
    WHISKERS,
    estimate,
    folded,
    in_order,
    main_metric,
    metric_column,
    ranged,
    scaled,
    unit_of,
)
from emer_edge.bench.records import BenchReport
from emer_edge.report.dots import dots
from emer_edge.report.html import Block, Figure, Paragraph, Section
from emer_edge.report.plots import Bar
from emer_edge.report.tables import Cell, Column, Deviation, Table

__all__ = ["READINGS", "section", "tables"]

READINGS = {
    "newest": "newest in slot: one window over the clip, each slot its newest item",
    "draws": "random draws: each slot a random item, again and again",
    "live": "live windows: every window that a live run would have given inside the clip",
    "published": "the published loader: frames and rows as its scripts draw them",
}


def tables(report: BenchReport) -> dict[str, Table]:
    """Readings side by side; the published reduction."""
    return {"readings": _readings(report), "published_batch": _published(report)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where clips were read in one way only."""
    blocks: list[Block] = []
    for metric in ("war", "mae"):
        for each in scored_of(report):
            items = _items(each, metric)
            if items:
                title = f"{METRIC_NAMES[metric]} by reading, {each.name}"
                blocks.append(Figure(dots(title, unit_of(metric), items, 1 if metric in SHARES else 3), WHISKERS))
                break
    blocks += [folded(tables[name]) for name in ("readings", "published_batch") if name in tables]
    if not blocks:
        return None
    used = {name for each in scored_of(report) for head in each.heads.values() for name in head.readings}
    told = "; ".join(text for name, text in READINGS.items() if name in used or name == "newest")
    return Section("Readings", (Paragraph(f"{told[:1].upper()}{told[1:]}."), *blocks))


def _items(scored: Scored, metric: str) -> list[Bar]:
    items = []
    for name in in_order(scored.heads):
        head = scored.heads[name]
        if metric in head.metrics and head.readings:
            items.append(Bar(name, estimate(head.metrics[metric], metric), "newest"))
            for reading, found in head.readings.items():
                if metric in found.metrics:
                    items.append(Bar(name, estimate(found.metrics[metric], metric), reading))
    return items


def _readings(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in scored_of(report):
        for name in in_order(each.heads):
            head = each.heads[name]
            if not head.readings:
                continue
            metric = main_metric(head.metrics)
            other = "uar" if metric == "war" else "ccc"
            for reading, figures, drawn, clips, windows in (
                ("newest", head.metrics, {}, head.clips, head.clips),
                *(
                    (key, found.metrics, found.over_draws, found.clips, found.windows)
                    for key, found in head.readings.items()
                ),
            ):
                values = {key: estimate(figures[key]) if key in figures else None for key in (metric, other)}
                over = ranged(drawn[metric]) if metric in drawn else None
                shown = None if over is None else Deviation(scaled(over.mean, metric), scaled(over.sd, metric))
                cells = (
                    values.get("war"), values.get("uar"), values.get("mae"), values.get("ccc"),
                )  # fmt: skip
                rows.append((each.name, name, reading, *cells, shown, clips, windows))
    columns = (
        Column("Bundle"), HEAD, Column("Reading"), metric_column("war"), metric_column("uar"), metric_column("mae"),
        metric_column("ccc"), Column("over draws", "", 2), Column("clips"), Column("windows"),
    )  # fmt: skip
    note = (
        f"{INTERVALS} Over draws: mean ± SD of WAR (%) or MAE, each draw one window of every clip. Windows of a clip "
        "overlap, so that clips are counted, not windows: each weighs the same."
    )
    return Table("Readings of the same clips", columns, tuple(rows), note)


def _published(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in report.bundles:
        for name, head in each.accuracy.heads.items() if each.accuracy is not None else ():
            for metric, found in head.published_batch.items():
                shown = f"{METRIC_NAMES.get(metric, metric)}{' (%)' if metric in SHARES else ''}"
                sd = scaled(found.sd, metric) if found.sd is not None else float("nan")
                exact = scaled(head.metrics[metric].value, metric) if metric in head.metrics else None
                reach = (scaled(found.lowest, metric), scaled(found.highest, metric))
                rows.append(
                    (each.name, name, shown, Deviation(scaled(found.mean, metric), sd), *reach, found.count, exact)
                )
    columns = (
        Column("Bundle"), HEAD, Column("Metric"), Column("per batch of 16", "", 2), Column("lowest", "", 2),
        Column("highest", "", 2), Column("orders"), Column("exact", "", 2),
    )  # fmt: skip
    note = (
        "The published scripts average a metric over batches of 16 clips, so that it depends on their order and draws."
    )
    return Table("The published reduction", columns, tuple(rows), note)
