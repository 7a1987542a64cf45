"""The seven protocols as a paper's table has them, beside guesses, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from emer_edge.bench.pages.scored import PageSection, Scored, deviation, estimate, scored_of
from emer_edge.bench.records.accuracy_records import HeadAccuracy
from emer_edge.bench.records.report_records import BenchReport
from emer_edge.report import words
from emer_edge.report.bars import Bar, dots
from emer_edge.report.html import Block, Details, Figure, Paragraph, Section
from emer_edge.report.table import Cell, Estimate, Rows, Table, tabled

_GUESSES: Final = (
    "training majority", "test majority", "prior chance", "uniform chance", "training mean", "training median"
)  # fmt: skip
"""In the order of rows: those that know most of the labels first."""


def _protocol_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    all_scored = scored_of(report)
    if not all_scored:
        return None
    blocks: list[Block] = []
    for metric, title in (("war", "WAR of each class head"), ("mae", "MAE of each value head")):
        items = list(_dots(all_scored, metric))
        if items:
            better = "Higher is better." if metric == "war" else "Lower is better."
            caption = f"{better} {words.WHISKERS} Guesses have no interval: they don't depend on the clip."
            blocks.append(Figure(words.metric_dots(title, metric, items), caption))
    blocks += [tables[name] for name in ("class_protocols", "value_protocols") if name in tables]
    blocks += [Paragraph(_TERMS), *words.folded_of(tables, "classes", "values")]
    if "pairs" in tables:
        blocks += [*_pair_plots(report), tables["pairs"]]
    more = tuple(tables[name] for name in ("probabilities", "folds", "export") if name in tables)
    if more:
        blocks.append(Details("Probabilities, single folds, and what export measured", more))
    return Section("Protocols", tuple(blocks))


_TERMS = (
    "WAR, the weighted average recall, is the accuracy; UAR the mean of the recalls of the classes that occur. MAE and "
    "RMSE are in label units; CCC is Lin's concordance correlation, r Pearson's. A clip is one window, cut as a live "
    "run would cut it. Training majority: always the class that is most frequent in the other folds; training mean and "
    "median likewise; uniform chance: a class drawn evenly."
)


def guesses_of(head: HeadAccuracy, metric: str) -> dict[str, float]:
    """Guess -> its figure."""
    return {name: figures[metric] for name, figures in head.baselines.items() if metric in figures}


def _dots(all_scored: tuple[Scored, ...], metric: str) -> Iterator[Bar]:
    for name in _names(all_scored):
        for scored in all_scored:
            head = scored.heads.get(name)
            if head is not None and metric in head.metrics:
                yield Bar(name, estimate(head.metrics[metric], metric), scored.name)
        first = next((scored.heads[name] for scored in all_scored if name in scored.heads), None)
        for guess, value in guesses_of(first, metric).items() if first is not None else ():
            if guess in ("training majority", "uniform chance", "training mean"):
                yield Bar(name, Estimate(words.scaled(value, metric)), guess)


def _paper(report: BenchReport, metrics: tuple[str, ...], title: str) -> Table:
    """As a paper has it: mean and deviation over folds, or the figure of one fold, beside guesses."""
    all_scored = scored_of(report)
    rows: list[tuple[Cell, ...]] = []
    guesses: dict[tuple[str, str], tuple[Cell, ...]] = {}
    for name in _names(all_scored):
        for scored in all_scored:
            head = scored.heads.get(name)
            if head is None or metrics[0] not in head.metrics:
                continue
            cells = [_over_folds(scored, head, name, metric) for metric in metrics]
            protocol = head.protocol if head.protocol.lower() == name else f"{head.protocol}, {name.partition('-')[2]}"
            rows.append((protocol, scored.name, *cells, head.clips, len(scored.folds)))
            for guess in sorted(head.baselines, key=lambda name: _GUESSES.index(name) if name in _GUESSES else 9):
                figures = map(head.baselines[guess].get, metrics)
                guesses.setdefault((name, guess), (protocol, guess, *figures, head.clips, None))
    rows += guesses.values()
    header = f"Protocol | Bundle or guess | {words.metric_header(metrics)} | clips | folds"
    folds = any(scored.is_set for scored in all_scored)
    note = "Mean ± standard deviation (n - 1) over folds. " if folds else "One fold, so there is no deviation. "
    return Table.of(title, header, rows, f"{note}Intervals are in the tables below.")


def _names(all_scored: tuple[Scored, ...]) -> list[str]:
    return words.in_order({name for scored in all_scored for name in scored.heads})


def _over_folds(scored: Scored, head: HeadAccuracy, name: str, metric: str) -> Cell:
    over = scored.spread.get(f"{name}/newest/{metric}")
    if over is not None:
        return deviation(over)
    return head.metrics[metric].value if metric in head.metrics else None


def _protocols(report: BenchReport, metrics: tuple[str, ...], title: str) -> Table:
    """One row per head of each set or bundle, with intervals."""
    all_scored = scored_of(report)
    rows: list[tuple[Cell, ...]] = []
    for name in _names(all_scored):
        for scored in all_scored:
            head = scored.heads.get(name)
            if head is not None and metrics[0] in head.metrics:
                figures = (estimate(head.metrics[metric]) if metric in head.metrics else None for metric in metrics)
                rows.append((name, scored.name, *figures, head.clips, len(scored.folds)))
    header = f"Head | Bundle or guess | {words.metric_header(metrics)} | clips | folds"
    note = words.INTERVALS
    if any(scored.is_set for scored in all_scored):
        note += " All clips of all folds together, each scored by the bundle that has not seen it."
    return Table.of(title, header, rows, note)


def _folds(report: BenchReport) -> Table:
    """Each fold of each set: what a mean hides."""
    rows: list[tuple[Cell, ...]] = []
    most = max((len(fold_set.folds) for fold_set in report.sets), default=0)
    for fold_set in report.sets:
        for key, over in fold_set.spread.items() if len(fold_set.folds) > 1 else ():
            head, _, rest = key.partition("/")
            reading, _, metric = rest.rpartition("/")
            values = [words.scaled(value, metric) for value in over.values]
            padded = [*values, *([None] * (most - len(values)))]
            mean, sd = words.scaled(over.mean, metric), None if over.sd is None else words.scaled(over.sd, metric)
            rows.append((fold_set.name, head, reading, words.metric_label(metric), *padded, mean, sd))
    folds = " | ".join(f"fold {at + 1}:3" if most > 1 else "fold:3" for at in range(most))
    header = f"Set | Head | Reading | Metric | {folds} | mean:3 | SD:3"
    return Table.of("Over folds", header, rows, "One bundle per fold; SD with n - 1.")


@tabled(
    "Side by side on the same clips",
    "Head | Difference | WAR (%):1 | UAR (%):1 | MAE:3 | AUROC:3 | only first right | only second right | "
    "McNemar p:3 | clips",
    "The same clips scored by both; differences in points. In parentheses 95 % intervals, paired over "
    "participants. McNemar's p describes: clips of one person are not independent.",
)
def _pairs(report: BenchReport) -> Rows:
    for pair in report.pairs:
        war, uar, mae, auroc = (
            estimate(pair.change[key]) if key in pair.change else None for key in ("war", "uar", "mae", "auroc")
        )
        disagreeing = (pair.only_first, pair.only_second) if war is not None else (None, None)
        yield (
            pair.head, f"{pair.second} less {pair.first}", war, uar, mae, auroc, *disagreeing, pair.mcnemar_p,
            pair.clips,
        )  # fmt: skip


def _pair_plots(report: BenchReport) -> Iterator[Figure]:
    for metric, unit in (("war", "points of WAR"), ("mae", "MAE, label units")):
        items = [
            Bar(pair.head, estimate(pair.change[metric], metric), f"{pair.second} less {pair.first}")
            for pair in report.pairs
            if metric in pair.change
        ]
        if items:
            title = f"Change of {words.METRIC_NAMES[metric]} on the same clips"
            side = f"Right of 0 the second is {'better' if metric == 'war' else 'worse'}."
            plot = dots(title, unit, items, digits=2, guides=(0.0,), skipped=1)
            yield Figure(plot, f"{side} Intervals are paired over participants.")


@tabled(
    "Export's figures and these",
    "Bundle | Head | Metric | FP32, selection | exported, selection | held out",
    "What the gate measured on selection windows before and after quantisation, beside the held-out clips. Choices "
    "were made on those windows: their figures are no results.",
)
def _export(report: BenchReport) -> Rows:
    for bundle in report.bundles:
        for name, head in bundle.accuracy.heads.items() if bundle.accuracy is not None else ():
            for metric in ("war", "uar", "mae"):
                before, after = head.fp32_selection.get(metric), head.final_selection.get(metric)
                if metric in head.metrics and (before is not None or after is not None):
                    held = words.scaled(head.metrics[metric].value, metric)
                    selection = [None if value is None else words.scaled(value, metric) for value in (before, after)]
                    yield (bundle.name, name, words.metric_label(metric), *selection, held)


_TABLES: Final[dict[str, Callable[[BenchReport], Table]]] = {
    "class_protocols": partial(_paper, metrics=words.CLASS_METRICS, title="Class protocols"),
    "value_protocols": partial(_paper, metrics=words.VALUE_METRICS, title="Value protocols"),
    "classes": partial(_protocols, metrics=words.CLASS_METRICS, title="Class heads with intervals"),
    "values": partial(_protocols, metrics=words.VALUE_METRICS, title="Value heads with intervals"),
    "probabilities": partial(_protocols, metrics=("ece", "nll", "brier"), title="Quality of the probabilities"),
    "folds": _folds,
    "pairs": _pairs,
    "export": _export,
}
PROTOCOLS: Final[PageSection] = (_TABLES, _protocol_section)
