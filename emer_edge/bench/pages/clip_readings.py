"""The same clips read in different ways (random draws, newest in slot, live windows), and through lesser trackers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emer_edge.bench.pages.scored import (
    PageSection,
    Scored,
    deviation,
    estimate,
    named_bundles,
    scored_heads,
    scored_of,
)
from emer_edge.bench.records import Estimated
from emer_edge.bench.records.accuracy_records import HeadAccuracy, ReadingAccuracy
from emer_edge.bench.records.report_records import BenchReport, BundleBench
from emer_edge.report import words
from emer_edge.report.bars import Bar
from emer_edge.report.html import Block, Figure, Paragraph, Section
from emer_edge.report.table import Rows, Table, tabled

READINGS = {
    "newest": "newest in slot: one window over the clip, each slot its newest item",
    "draws": "random draws: each slot a random item, again and again",
    "live": "live windows: every window that a live run would have given inside the clip",
    "published": "the published loader: frames and rows as its scripts draw them",
}


def _reading_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    blocks: list[Block] = []
    all_scored = scored_of(report)
    for metric in ("war", "mae"):
        for scored in all_scored:
            items = _items(scored, metric)
            if items:
                title = f"{words.METRIC_NAMES[metric]} by reading, {scored.name}"
                blocks.append(Figure(words.metric_dots(title, metric, items), words.WHISKERS))
                break
    blocks += words.folded_of(tables, "readings", "published_batch")
    if not blocks:
        return None
    used = {"newest", *(name for scored in all_scored for head in scored.heads.values() for name in head.readings)}
    about = "; ".join(text for name, text in READINGS.items() if name in used)
    return Section("Readings", (Paragraph(f"{about[:1].upper()}{about[1:]}."), *blocks))


def _items(scored: Scored, metric: str) -> list[Bar]:
    items = []
    for name in words.in_order(scored.heads):
        head = scored.heads[name]
        if metric in head.metrics and head.readings:
            items.append(Bar(name, estimate(head.metrics[metric], metric), "newest"))
            for reading, record in head.readings.items():
                if metric in record.metrics:
                    items.append(Bar(name, estimate(record.metrics[metric], metric), reading))
    return items


@tabled(
    "Readings of the same clips",
    "Bundle | Head | Reading | WAR (%):1 | UAR (%):1 | MAE:3 | CCC:3 | over draws | clips | windows",
    f"{words.INTERVALS} Over draws: mean ± SD of WAR (%) or MAE, each draw one window of every clip. Windows of a "
    "clip overlap, so clips are counted, not windows: each clip weighs the same.",
)
def _readings(report: BenchReport) -> Rows:
    for scored, name, head in scored_heads(report):
        metric = words.main_metric(head.metrics)
        shown = ("war", "uar") if metric == "war" else ("mae", "ccc")
        readings: dict[str, HeadAccuracy | ReadingAccuracy] = {"newest": head, **head.readings}
        for reading, record in readings.items() if head.readings else ():
            windows, over = head.clips, None
            if isinstance(record, ReadingAccuracy):
                windows, over = record.windows, record.over_draws.get(metric)
            figures = [
                estimate(record.metrics[key]) if key in shown and key in record.metrics else None
                for key in ("war", "uar", "mae", "ccc")
            ]
            drawn = None if over is None else deviation(over, metric)
            yield (scored.name, name, reading, *figures, drawn, record.clips, windows)


@tabled(
    "The published reduction",
    "Bundle | Head | Metric | per batch of 16 | lowest | highest | orders | exact",
    "The published scripts average a metric over batches of 16 clips, so that it depends on their order and draws.",
)
def _published(report: BenchReport) -> Rows:
    for bundle in report.bundles:
        for name, head in bundle.accuracy.heads.items() if bundle.accuracy is not None else ():
            for metric, over in head.published_batch.items():
                exact = words.scaled(head.metrics[metric].value, metric) if metric in head.metrics else None
                ends = [words.scaled(end, metric) for end in (over.lowest, over.highest)]
                yield (bundle.name, name, words.metric_label(metric), deviation(over, metric), *ends, over.count, exact)


def _tracker_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    shown = words.folded_of(tables, "trackers", "event_columns")
    plots = [_plot(name, bundle, metric) for metric in ("war", "mae") for name, bundle in named_bundles(report)]
    return Section("Trackers", (*[plot for plot in plots if plot is not None][:1], *shown)) if shown else None


def _views(bundle: BundleBench) -> dict[str, tuple[int, Mapping[str, Mapping[str, Estimated]]]]:
    """Tracker -> how many columns it lacks, and head -> metric -> figure; empty without views."""
    accuracy = bundle.accuracy
    if accuracy is None or not accuracy.views:
        return {}
    whole = {name: head.metrics for name, head in accuracy.heads.items()}
    return {"full": (0, whole), **{view.name: (len(view.missing), view.heads) for view in accuracy.views}}


def _plot(name: str, bundle: BundleBench, metric: str) -> Figure | None:
    views = _views(bundle)
    items = [
        Bar(head, estimate(heads[head][metric], metric), view)
        for head in words.in_order({head for _, heads in views.values() for head in heads})
        for view, (_, heads) in views.items()
        if metric in heads.get(head, {})
    ]
    title = f"{words.METRIC_NAMES[metric]} by tracker, {name}"
    return Figure(words.metric_dots(title, metric, items), words.WHISKERS) if items else None


@tabled(
    "Accuracy under each tracker",
    "Bundle | Protocol | Head | Tracker | columns missing | WAR (%):1 | UAR (%):1 | MAE:3",
    "The same clips with the columns that a tracker can't fill taken out and its rate; full: as the sheets have "
    "them. " + words.INTERVALS,
)
def _trackers(report: BenchReport) -> Rows:
    for bundle in report.bundles:
        for head, record in bundle.accuracy.heads.items() if bundle.accuracy is not None else ():
            metric = words.main_metric(record.metrics)
            for name, (missing, heads) in _views(bundle).items():
                figure = estimate(heads[head][metric])
                classes = (figure, estimate(heads[head]["uar"]), None) if metric == "war" else (None, None, figure)
                yield (bundle.name, record.protocol, head, name, missing, *classes)


@tabled(
    "Eye movement columns: live against the data set's",
    "Bundle | Column | same (%):1 | mean difference:3 | mean in sheets:3 | slots",
    "A live run computes columns 33 to 39 without looking ahead: types agree, durations and centroids are those so "
    "far, and events are counted from the window's start, not the recording's. Same: to 0.5 px or ms, 0.005 MCS.",
)
def _event_columns(report: BenchReport) -> Rows:
    for bundle in report.bundles:
        for column, record in bundle.accuracy.event_columns.items() if bundle.accuracy is not None else ():
            yield (bundle.name, column, record.same, record.mean_difference, record.mean_published, record.slots)


READING: Final[PageSection] = ({"readings": _readings, "published_batch": _published}, _reading_section)
TRACKER: Final[PageSection] = ({"trackers": _trackers, "event_columns": _event_columns}, _tracker_section)
