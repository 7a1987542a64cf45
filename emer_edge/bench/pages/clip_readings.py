"""The same clips read in different ways (random draws, newest in slot, live windows), and through lesser trackers."""

from __future__ import annotations

from typing import Final

from emer_edge.bench.pages.scored import Scored, estimate, names_of, ranged, scored_of
from emer_edge.bench.records.report_records import BenchReport
from emer_edge.report import words
from emer_edge.report.bars import Bar, dots
from emer_edge.report.html import Block, Figure, Paragraph, Section
from emer_edge.report.tables import Deviation, Rows, Table, tabled

READINGS = {
    "newest": "newest in slot: one window over the clip, each slot its newest item",
    "draws": "random draws: each slot a random item, again and again",
    "live": "live windows: every window that a live run would have given inside the clip",
    "published": "the published loader: frames and rows as its scripts draw them",
}


def _reading_tables(report: BenchReport) -> dict[str, Table]:
    """Readings side by side; the published reduction."""
    return {"readings": _readings(report), "published_batch": _published(report)}


def _reading_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where clips were read in one way only."""
    blocks: list[Block] = []
    for metric in ("war", "mae"):
        for each in scored_of(report):
            items = _items(each, metric)
            if items:
                title = f"{words.METRIC_NAMES[metric]} by reading, {each.name}"
                blocks.append(
                    Figure(
                        dots(title, words.unit_of(metric), items, 1 if metric in words.SHARES else 3), words.WHISKERS
                    )
                )
                break
    blocks += [words.folded(tables[name]) for name in ("readings", "published_batch") if name in tables]
    if not blocks:
        return None
    used = {name for each in scored_of(report) for head in each.heads.values() for name in head.readings}
    told = "; ".join(text for name, text in READINGS.items() if name in used or name == "newest")
    return Section("Readings", (Paragraph(f"{told[:1].upper()}{told[1:]}."), *blocks))


def _items(scored: Scored, metric: str) -> list[Bar]:
    items = []
    for name in words.in_order(scored.heads):
        head = scored.heads[name]
        if metric in head.metrics and head.readings:
            items.append(Bar(name, estimate(head.metrics[metric], metric), "newest"))
            for reading, found in head.readings.items():
                if metric in found.metrics:
                    items.append(Bar(name, estimate(found.metrics[metric], metric), reading))
    return items


@tabled(
    "Readings of the same clips",
    "Bundle | Head | Reading | WAR (%):1 | UAR (%):1 | MAE:3 | CCC:3 | over draws | clips | windows",
    f"{words.INTERVALS} Over draws: mean ± SD of WAR (%) or MAE, each draw one window of every clip. Windows of a "
    "clip overlap, so that clips are counted, not windows: each weighs the same.",
)
def _readings(report: BenchReport) -> Rows:
    for each in scored_of(report):
        for name in words.in_order(each.heads):
            head = each.heads[name]
            if not head.readings:
                continue
            metric = words.main_metric(head.metrics)
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
                shown = (
                    None if over is None else Deviation(words.scaled(over.mean, metric), words.scaled(over.sd, metric))
                )
                cells = (
                    values.get("war"), values.get("uar"), values.get("mae"), values.get("ccc"),
                )  # fmt: skip
                yield (each.name, name, reading, *cells, shown, clips, windows)


@tabled(
    "The published reduction",
    "Bundle | Head | Metric | per batch of 16 | lowest | highest | orders | exact",
    "The published scripts average a metric over batches of 16 clips, so that it depends on their order and draws.",
)
def _published(report: BenchReport) -> Rows:
    for each in report.bundles:
        for name, head in each.accuracy.heads.items() if each.accuracy is not None else ():
            for metric, found in head.published_batch.items():
                sd = words.scaled(found.sd, metric) if found.sd is not None else float("nan")
                exact = words.scaled(head.metrics[metric].value, metric) if metric in head.metrics else None
                reach = (words.scaled(found.lowest, metric), words.scaled(found.highest, metric))
                yield (
                    each.name, name, words.metric_label(metric), Deviation(words.scaled(found.mean, metric), sd),
                    *reach, found.count, exact,
                )  # fmt: skip


def _tracker_tables(report: BenchReport) -> dict[str, Table]:
    """Accuracy under each tracker, and columns that look ahead."""
    return {"trackers": _trackers(report), "event_columns": _event_columns(report)}


def _tracker_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where nothing of it was asked for."""
    found = tuple(words.folded(tables[name]) for name in ("trackers", "event_columns") if name in tables)
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
        for head in words.in_order(accuracy.heads)
        for view, heads in views.items()
        if metric in heads.get(head, {})
    ]
    title = f"{words.METRIC_NAMES[metric]} by tracker, {names_of(report)[at]}"
    return (
        Figure(dots(title, words.unit_of(metric), items, 1 if metric == "war" else 3), words.WHISKERS)
        if items
        else None
    )


@tabled(
    "Accuracy under each tracker",
    "Bundle | Protocol | Head | Tracker | columns missing | WAR (%):1 | UAR (%):1 | MAE:3",
    "The same clips with the columns that a tracker can't fill taken out and its rate; full: as the sheets have "
    "them. " + words.INTERVALS,
)
def _trackers(report: BenchReport) -> Rows:
    """Accuracy under each tracker profile beside that with all columns."""
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
                yield (each.name, record.protocol, head, name, missing, *classes)


@tabled(
    "Eye movement columns: live against the data set's",
    "Bundle | Column | same (%):1 | mean difference:3 | mean in sheets:3 | slots",
    "A live run computes columns 33 to 39 without looking ahead: types agree, durations and centroids are those so "
    "far, and events are counted from the window's start, not the recording's. Same: to 0.5 px or ms, 0.005 MCS.",
)
def _event_columns(report: BenchReport) -> Rows:
    for each in report.bundles:
        for column, found in each.accuracy.event_columns.items() if each.accuracy is not None else ():
            yield (each.name, column, found.same, found.mean_difference, found.mean_published, found.slots)


READING: Final = (_reading_tables, _reading_section)
TRACKER: Final = (_tracker_tables, _tracker_section)
