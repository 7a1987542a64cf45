"""The seven protocols as a paper's table has them, beside guesses, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from emer_edge.bench.pages.scored import Scored, estimate, scored_of, spread
from emer_edge.bench.records.accuracy_records import HeadAccuracy, PairedSets
from emer_edge.bench.records.report_records import BenchReport
from emer_edge.report import words
from emer_edge.report.bars import Bar, dots
from emer_edge.report.html import Block, Details, Figure, Paragraph, Section
from emer_edge.report.tables import Cell, Estimate, Rows, Table, columns, tabled

_GUESSES: Final = {
    name: at
    for at, name in enumerate(
        ("training majority", "test majority", "prior chance", "uniform chance", "training mean", "training median")
    )
}
"""In the order of rows: those that know most of the labels first."""


def _protocol_tables(report: BenchReport) -> dict[str, Table]:
    """The seven protocols, with intervals, probabilities, single folds, sets beside each other, export's figures."""
    return {
        "class_protocols": _paper(report, words.CLASS_METRICS, "Class protocols"),
        "value_protocols": _paper(report, words.VALUE_METRICS, "Value protocols"),
        "classes": _protocols(report, words.CLASS_METRICS, "Class heads with intervals"),
        "values": _protocols(report, words.VALUE_METRICS, "Value heads with intervals"),
        "probabilities": _protocols(report, ("ece", "nll", "brier"), "What the probabilities are worth"),
        "folds": _folds(report),
        "pairs": _pairs(report),
        "export": _export(report),
    }


def _protocol_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None without a data set."""
    found = scored_of(report)
    if not found:
        return None
    blocks: list[Block] = []
    for metric, title in (("war", "WAR of each class head"), ("mae", "MAE of each value head")):
        items = list(_dots(found, metric))
        if items:
            caption = f"{_better(metric)} {words.WHISKERS} Guesses have no interval: they don't look at the clip."
            blocks.append(
                Figure(dots(title, words.unit_of(metric), items, 1 if metric in words.SHARES else 3), caption)
            )
    blocks += [tables[name] for name in ("class_protocols", "value_protocols") if name in tables]
    blocks.append(Paragraph(_TERMS))
    blocks += [words.folded(tables[name]) for name in ("classes", "values") if name in tables]
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


def _better(metric: str) -> str:
    return "Higher is better." if metric in words.SHARES else "Lower is better."


def guesses_of(head: HeadAccuracy, metric: str) -> dict[str, float]:
    """Guess -> its figure."""
    return {name: figures[metric] for name, figures in head.baselines.items() if metric in figures}


def _dots(found: tuple[Scored, ...], metric: str) -> Iterator[Bar]:
    for name in words.in_order(set().union(*(each.heads for each in found))):
        for each in found:
            head = each.heads.get(name)
            if head is not None and metric in head.metrics:
                yield Bar(name, estimate(head.metrics[metric], metric), each.name)
        first = next((each.heads[name] for each in found if name in each.heads), None)
        for guess, value in guesses_of(first, metric).items() if first is not None else ():
            if guess in ("training majority", "uniform chance", "training mean"):
                yield Bar(name, Estimate(words.scaled(value, metric)), guess)


def _paper(report: BenchReport, metrics: tuple[str, ...], title: str) -> Table:
    """As a paper has it: mean and deviation over folds, or the figure of one fold, beside guesses."""
    found = scored_of(report)
    rows: list[tuple[Cell, ...]] = []
    for name in words.in_order(set().union(*(each.heads for each in found)) if found else ()):
        guesses: dict[str, tuple[Cell, ...]] = {}
        for each in found:
            head = each.heads.get(name)
            if head is None or metrics[0] not in head.metrics:
                continue
            cells = [_over_folds(each, head, name, metric) for metric in metrics]
            protocol = head.protocol if head.protocol.lower() == name else f"{head.protocol}, {name.partition('-')[2]}"
            rows.append((protocol, each.name, *cells, head.clips, len(each.folds)))
            for guess, values in sorted(head.baselines.items(), key=lambda each: _GUESSES.get(each[0], len(_GUESSES))):
                guesses.setdefault(guess, (protocol, guess, *map(values.get, metrics), head.clips, None))
        rows += guesses.values()
    header = f"Protocol | Bundle or guess | {words.metric_header(metrics)} | clips | folds"
    folds = any(each.is_set for each in found)
    note = "Mean ± standard deviation (n - 1) over folds. " if folds else "One fold, so that there is no deviation. "
    return Table(title, columns(header), tuple(rows), f"{note}Intervals are in the tables below.")


def _over_folds(scored: Scored, head: HeadAccuracy, name: str, metric: str) -> Cell:
    over = scored.spread.get(f"{name}/newest/{metric}")
    if over is not None:
        return spread(over)
    return head.metrics[metric].value if metric in head.metrics else None


def _protocols(report: BenchReport, metrics: tuple[str, ...], title: str) -> Table:
    """A row for each head of each set or bundle, with intervals."""
    found = scored_of(report)
    rows: list[tuple[Cell, ...]] = []
    for name in words.in_order(set().union(*(each.heads for each in found)) if found else ()):
        for each in found:
            head = each.heads.get(name)
            if head is not None and metrics[0] in head.metrics:
                figures = [estimate(head.metrics[metric]) if metric in head.metrics else None for metric in metrics]
                rows.append((name, each.name, *figures, head.clips, len(each.folds)))
    header = f"Head | Bundle or guess | {words.metric_header(metrics)} | clips | folds"
    note = words.INTERVALS
    if any(each.is_set for each in found):
        note += " All clips of all folds together, each scored by the bundle that has not seen it."
    return Table(title, columns(header), tuple(rows), note)


def _folds(report: BenchReport) -> Table:
    """Each fold of each set: what a mean hides."""
    rows: list[tuple[Cell, ...]] = []
    most = max((len(each.folds) for each in report.sets), default=0)
    for each in report.sets:
        for key, found in each.spread.items():
            head, _, rest = key.partition("/")
            reading, _, metric = rest.rpartition("/")
            if len(each.folds) < 2:
                continue
            values = [words.scaled(value, metric) for value in found.values]
            padded = [*values, *([None] * (most - len(values)))]
            sd = None if found.sd is None else words.scaled(found.sd, metric)
            rows.append(
                (each.name, head, reading, words.metric_label(metric), *padded, words.scaled(found.mean, metric), sd)
            )
    folds = " | ".join(f"fold {at + 1}:3" if most > 1 else "fold:3" for at in range(most))
    header = columns(f"Set | Head | Reading | Metric | {folds} | mean:3 | SD:3")
    return Table("Over folds", header, tuple(rows), "One bundle a fold; SD with n - 1.")


@tabled(
    "Side by side on the same clips",
    "Head | Difference | WAR (%):1 | UAR (%):1 | MAE:3 | AUROC:3 | only first right | only second right | "
    "McNemar p:3 | clips",
    "The same clips scored by both; differences in points. In parentheses 95 % intervals, paired over "
    "participants. McNemar's p describes: clips of one person are not independent.",
)
def _pairs(report: BenchReport) -> Rows:
    for each in report.pairs:
        war, uar, mae, auroc = (
            estimate(each.change[key]) if key in each.change else None for key in ("war", "uar", "mae", "auroc")
        )
        disagreeing = (each.only_first, each.only_second) if war is not None else (None, None)
        yield (
            each.head, f"{each.second} less {each.first}", war, uar, mae, auroc, *disagreeing, each.mcnemar_p,
            each.clips,
        )  # fmt: skip


def _pair_plots(report: BenchReport) -> Iterator[Figure]:
    for metric, unit in (("war", "points of WAR"), ("mae", "MAE, label units")):
        items = [
            Bar(each.head, estimate(each.change[metric], metric), _pair(each))
            for each in report.pairs
            if metric in each.change
        ]
        if items:
            plot = dots(
                f"Change of {words.METRIC_NAMES[metric]} on the same clips",
                unit,
                items,
                digits=2,
                guides=(0.0,),
                skipped=1,
            )
            yield Figure(
                plot,
                f"Right of 0 the second is {'better' if metric == 'war' else 'worse'}. Intervals are paired over "
                "participants.",
            )


def _pair(each: PairedSets) -> str:
    return f"{each.second} less {each.first}"


@tabled(
    "Export's figures and these",
    "Bundle | Head | Metric | FP32, selection | exported, selection | held out",
    "What export measured on its selection windows before and after quantisation, beside the held-out clips.",
)
def _export(report: BenchReport) -> Rows:
    for each in report.bundles:
        for name, head in each.accuracy.heads.items() if each.accuracy is not None else ():
            for metric in ("war", "uar", "mae"):
                before, after = head.fp32_selection.get(metric), head.final_selection.get(metric)
                if metric in head.metrics and (before is not None or after is not None):
                    held = words.scaled(head.metrics[metric].value, metric)
                    told = [None if value is None else words.scaled(value, metric) for value in (before, after)]
                    yield (each.name, name, words.metric_label(metric), *told, held)


PROTOCOLS: Final = (_protocol_tables, _protocol_section)
