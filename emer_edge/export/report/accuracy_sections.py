"""Sections of the export report on accuracy: each precision, the gate's differences, calibrated probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Final

from emer_edge.core.heads import HEADS, ValueHead
from emer_edge.export.report.export_report import ChangeRow, Estimated, ExportReport, TrialFigures
from emer_edge.metrics.probabilities import ReliabilityBin
from emer_edge.report.bars import Bar, dots
from emer_edge.report.curves import reliability_plot
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph
from emer_edge.report.table import Cell, Estimate, Table
from emer_edge.report.words import INTERVALS, METRIC_NAMES, WHISKERS, digits_that_decide

_NOTHING: Final = (
    "Not measured: no labelled clips of an EMER data set were given (--data). Parts were only compared with the "
    "checkpoint."
)
_MOST_MARGINS: Final = 4.0


def headline(report: ExportReport) -> Figure | None:
    """Accuracy of every class head, or errors of value heads where there are no others; None without labels."""
    return next(iter(_plots(report)), None)


def accuracy(report: ExportReport) -> tuple[Block, ...]:
    """Plots of class and value heads, and the figures as a table."""
    plots, gate = _plots(report), report.gate
    if not plots:
        return (Paragraph(_NOTHING),)
    text = Paragraph(
        f"Measured on the {gate.windows:,} selection windows that the gate judges, of {gate.clips} clips whose "
        f"{gate.participants} participants were not trained on. Choices were made on them, so the final figures are "
        "those of emer-edge bench, which scores the held-out fold."
    )
    labels = report.variant_labels
    rows: list[tuple[Cell, ...]] = []
    for head, metrics in report.accuracy.get("fp32", {}).items():
        for metric in metrics:
            figures = (report.accuracy.get(key, {}).get(head, {}).get(metric) for key in labels)
            cells = (None if figure is None else _estimate(figure, _share_of_range(head)) for figure in figures)
            rows.append((head, METRIC_NAMES[metric], *cells))
    heading = " | ".join(["head", "metric", *(f"{label} (%):1" for label in labels.values())])
    note = f"MAE in per cent of the label's range. {INTERVALS}"
    # The first plot is in the page's summary already.
    return (text, *plots[1:], Table.of("Accuracy on selection windows", heading, rows, note))


def _plots(report: ExportReport) -> list[Figure]:
    figures = []
    for metric, title, unit, better in (
        ("war", "Accuracy (WAR) by head", "%", "Higher"),
        ("mae", "Mean absolute error by head", "% of the label's range", "Lower"),
    ):
        items = [
            Bar(head, _estimate(metrics[metric], 100 * _share_of_range(head)), label)
            for key, label in report.variant_labels.items()
            for head, metrics in report.accuracy.get(key, {}).items()
            if metric in metrics
        ]
        if items:
            caption = (
                f"{better} is better. {WHISKERS} They show how well these participants represent others; what a "
                "precision loses is shown by the paired differences under Accuracy gate."
            )
            figures.append(Figure(dots(title, unit, items), caption))
    return figures


def gate(report: ExportReport) -> tuple[Block, ...]:
    """Verdict, loss of every figure, the gap's shift, and both variants in full."""
    if report.gate.verdict == "not run":
        return (Paragraph("The gate was not run: no labelled clips were given (--data)."),)
    text = Paragraph(
        f"Verdict: {report.gate.verdict}. Every figure is a paired difference on the same windows; it passes when the "
        "loss is within the margin and its interval is narrow enough to tell."
    )
    changed = {label: report.trials[key] for key, label in report.variant_labels.items() if key != "fp32"}
    if not changed:
        return (text, Paragraph("All parts compute in FP32, so no accuracy can be lost."))
    blocks: list[Block] = [
        Paragraph(f"{label}: {fault}.", warning=True) for label, trial in changed.items() for fault in trial.faults
    ]
    items = [
        Bar(change.name, _estimate((change.loss, change.low, change.high), 1.0 / change.margin), label)
        for label, trial in changed.items()
        for change in trial.changes
    ]
    if items:
        caption = (
            "Losses in units of the margin: the dashed lines are no change and the margin; left of 0 the exported "
            f"precision is better. {WHISKERS}"
        )
        plot = partial(dots, digits=2, guides=(0.0, 1.0), most=_MOST_MARGINS, skipped=1)
        blocks.append(Figure(plot("Loss of every figure", "share of the margin", items), caption))
    tables = tuple(_changes(trial, label) for label, trial in changed.items())
    return (text, *blocks, *_gap(changed), Details("All figures of the gate", tables))


def _gap(changed: Mapping[str, TrialFigures]) -> list[Block]:
    rows = tuple(
        (label, change.name.partition("/")[2], change.before, change.after, _loss(change), change.margin)
        for label, trial in changed.items()
        for change in trial.changes
        if change.name.startswith("gap/")
    )
    heading = "variant | figure | FP32:4 | exported:4 | loss:4 | margin:3"
    note = (
        "The gap is the Jensen-Shannon distance of the ER and FER distributions, 0 to 1. shift: its mean absolute "
        "change; auroc: how well it separates windows whose two labels differ."
    )
    return [Table.of("The gap between ER and FER", heading, rows, note)] if rows else []


def _changes(trial: TrialFigures, label: str) -> Table:
    rows = tuple(
        (change.name, change.before, change.after, _loss(change), change.margin, change.verdict)
        for change in trial.changes
    )
    decided = ((change.loss, change.margin) for change in trial.changes if change.loss is not None)
    digits = digits_that_decide(decided, fewest=4)
    heading = f"figure | FP32:{digits} | exported:{digits} | loss:{digits} | margin:{digits} | verdict"
    noise = trial.embedding_db
    note = "Embeddings are those of FP32." if noise is None else f"Embeddings: {noise:.1f} dB signal to noise."
    if trial.agreement:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in trial.agreement.items())
        note += f" Top class as in FP32: {shares}."
    return Table.of(label, heading, rows, note)


def _loss(change: ChangeRow) -> Cell:
    return None if change.loss is None else _estimate((change.loss, change.low, change.high))


def _estimate(given: Estimated, scale: float = 1.0) -> Estimate:
    return Estimate(*(math.nan if value is None else value * scale for value in given))


def _share_of_range(head: str) -> float:
    """Factor that turns an error of a value head into a share of its label's range."""
    spec = HEADS.get(head)
    return 1.0 / (spec.high - spec.low) if isinstance(spec, ValueHead) else 1.0


def probabilities(report: ExportReport) -> tuple[Block, ...]:
    """A reliability diagram for each class head, and temperatures and scores as a table."""
    probabilities_by_label = {label: report.probabilities.get(key, {}) for key, label in report.variant_labels.items()}
    heads = list(dict.fromkeys(head for heads in probabilities_by_label.values() for head in heads))
    if not heads:
        return (Paragraph("Not measured: no selection clip has a label of a class head, so temperatures stay 1."),)
    plots, rows = [], []
    for head in heads:
        scored = {label: heads[head] for label, heads in probabilities_by_label.items() if head in heads}
        series = {
            label.partition(",")[0]: [ReliabilityBin(*one) for one in head_scores.reliability]
            for label, head_scores in scored.items()
        }
        plots.append(Figure(reliability_plot(head, series)))
        rows += [
            (head, label, head_scores.temperature, head_scores.ece, head_scores.nll, head_scores.brier)
            for label, head_scores in scored.items()
        ]
    heading = "head | precision | temperature:3 | ECE (%):2 | NLL (nats):4 | Brier (of 2):4"
    note = (
        "Lower is better. The bundle holds the cpu variant's temperatures, fitted on all selection windows; scores and "
        "diagrams use temperatures fitted on other participants' windows."
    )
    text = Paragraph(
        "Share of correct windows against their confidence; on the dashed line the two agree. Larger dots mean more "
        "windows."
    )
    return (text, Gallery(tuple(plots)), Table.of("Calibration of probabilities", heading, rows, note))
