"""How accurate each precision is, what the gate says of the difference, and whether confidence means what it says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from emer_edge.core.heads import HEADS, ValueHead
from emer_edge.export.report.export_report import ChangeRow, Estimated, ExportReport, TrialFigures
from emer_edge.metrics.probabilities import ReliabilityBin
from emer_edge.report.bars import Bar, dots
from emer_edge.report.curves import reliability_plot
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph
from emer_edge.report.tables import Cell, Column, Estimate, Table

METRICS: Final = {"war": "WAR", "uar": "UAR", "mae": "MAE", "ece": "ECE", "nll": "NLL", "brier": "Brier score"}

_INTERVALS: Final = "95 % intervals by bootstrap over participants."
_NOTHING: Final = (
    "Not measured: no labelled clips of an EMER data set were given (--data), so nothing is known about accuracy "
    "in this precision beyond the comparison of parts with the checkpoint."
)
_MOST_MARGINS: Final = 4.0


def columns(given: Iterable[str | tuple[Any, ...]]) -> tuple[Column, ...]:
    """Columns of a table, each a name or what `Column` takes in its order: name, unit, digits, scale."""
    return tuple(Column(each) if isinstance(each, str) else Column(*each) for each in given)


def headline(report: ExportReport) -> Figure | None:
    """Accuracy of every class head, or errors of value heads where there are no others; None without labels."""
    return next(iter(_plots(report)), None)


def accuracy(report: ExportReport) -> tuple[Block, ...]:
    """Plots of class and value heads, and the figures as a table."""
    plots, gate = _plots(report), report.gate
    if not plots:
        return (Paragraph(_NOTHING),)
    said = Paragraph(
        f"Measured on the {gate.windows:,} selection windows that the gate judges, of {gate.clips} clips whose "
        f"{gate.participants} participants were not trained on. Choices were made on them, so emer-edge bench has "
        "the last word: it scores the held-out fold."
    )
    labels = report.variant_labels
    rows: list[tuple[Cell, ...]] = []
    for head, metrics in report.accuracy.get("fp32", {}).items():
        for metric in metrics:
            told = (report.accuracy.get(key, {}).get(head, {}).get(metric) for key in labels)
            scale = _share_of_range(head)
            rows.append((head, METRICS[metric], *(None if each is None else _estimate(each, scale) for each in told)))
    note = f"MAE in per cent of the label's range. In parentheses {_INTERVALS}"
    heading = columns(["head", "metric", *((each, "%", 1) for each in labels.values())])
    # The first plot is the page's picture already, unless there is none of values.
    return (said, *plots[1:], Table("Accuracy on selection windows", heading, tuple(rows), note))


def _plots(report: ExportReport) -> list[Figure]:
    found = []
    for metric, title, unit, better in (
        ("war", "Accuracy (WAR) by head", "%", "Higher"),
        ("mae", "Mean absolute error by head", "% of the label's range", "Lower"),
    ):
        items = [
            Bar(head, _estimate(metrics[metric], _share_of_range(head)), label)
            for key, label in report.variant_labels.items()
            for head, metrics in report.accuracy.get(key, {}).items()
            if metric in metrics
        ]
        if items:
            caption = (
                f"{better} is better. Whiskers: {_INTERVALS} They say how well these people stand for others; whether "
                "a precision loses anything is a matter of paired differences, below under Accuracy gate."
            )
            found.append(Figure(dots(title, unit, items), caption))
    return found


def gate(report: ExportReport) -> tuple[Block, ...]:
    """Verdict, every figure's loss against what is allowed, the gap's shift, and both variants in full."""
    if report.gate.verdict == "not run":
        return (Paragraph("The gate was not run: no labelled clips were given (--data)."),)
    said = Paragraph(
        f"Verdict: {report.gate.verdict}. Every figure is a paired difference on the same windows; it passes when the "
        "loss is within what is allowed and its interval is not wider than can tell."
    )
    changed = {label: report.trials[key] for key, label in report.variant_labels.items() if key != "fp32"}
    if not changed:
        return (said, Paragraph("All parts compute in FP32, so there is nothing that could have been lost."))
    blocks: list[Block] = [
        Paragraph(f"{label}: {each}.", warning=True) for label, trial in changed.items() for each in trial.faults
    ]
    items = [
        Bar(each.name, _estimate((each.loss, each.low, each.high), 1.0 / each.margin), label)
        for label, trial in changed.items()
        for each in trial.changes
    ]
    if items:
        caption = (
            "Losses in units of what is allowed: the dashed lines are no change and the margin; left of 0 the exported "
            f"precision is better. {_INTERVALS}"
        )
        plot = partial(dots, digits=2, guides=(0.0, 1.0), most=_MOST_MARGINS, skipped=1)
        blocks.append(Figure(plot("Loss of every figure", "share of the margin", items), caption))
    tables = tuple(_changes(trial, label) for label, trial in changed.items())
    return (said, *blocks, *_gap(changed), Details("All figures of the gate", tables))


def _gap(changed: Mapping[str, TrialFigures]) -> list[Block]:
    rows = tuple(
        (label, each.name.partition("/")[2], each.before, each.after, _loss(each), each.margin)
        for label, trial in changed.items()
        for each in trial.changes
        if each.name.startswith("gap/")
    )
    figures = ((each, "", 4) for each in ("FP32", "exported", "loss"))
    heading = columns(["variant", "figure", *figures, ("allowed", "", 3)])
    note = (
        "The gap is the Jensen-Shannon distance of what is felt and what is shown, 0 to 1. shift: how far it moves, in "
        "the mean of absolute differences; auroc: how well it tells windows whose two labels differ."
    )
    return [Table("The gap between ER and FER", heading, rows, note)] if rows else []


def _changes(trial: TrialFigures, label: str) -> Table:
    rows = tuple((each.name, each.before, each.after, _loss(each), each.margin, each.verdict) for each in trial.changes)
    heading = columns(["figure", *((each, "", 4) for each in ("FP32", "exported", "loss", "allowed")), "verdict"])
    noise = trial.embedding_db
    note = "Embeddings as in FP32." if noise is None else f"Embeddings: {noise:.1f} dB signal to noise."
    if trial.agreement:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in trial.agreement.items())
        note += f" Same best class as FP32: {shares}."
    return Table(label, heading, rows, note)


def _loss(change: ChangeRow) -> Cell:
    return None if change.loss is None else _estimate((change.loss, change.low, change.high))


def _estimate(given: Estimated, scale: float = 1.0) -> Estimate:
    return Estimate(*(math.nan if each is None else each * scale for each in given))


def _share_of_range(head: str) -> float:
    """Factor that turns an error of a value head into per cent of its label's range."""
    spec = HEADS.get(head)
    return 100.0 / (spec.high - spec.low) if isinstance(spec, ValueHead) else 100.0


def probabilities(report: ExportReport) -> tuple[Block, ...]:
    """A reliability diagram for each class head, and temperatures and scores as a table."""
    found = {label: report.probabilities.get(key, {}) for key, label in report.variant_labels.items()}
    heads = list(dict.fromkeys(head for each in found.values() for head in each))
    if not heads:
        return (Paragraph("Not measured: no selection clip is labelled for a class head, so temperatures stay 1."),)
    plots, rows = [], []
    for head in heads:
        honest = {label: each[head] for label, each in found.items() if head in each}
        series = {
            label.partition(",")[0]: [ReliabilityBin(*one) for one in each.reliability]
            for label, each in honest.items()
        }
        plots.append(Figure(reliability_plot(head, series)))
        rows += [(head, label, each.temperature, each.ece, each.nll, each.brier) for label, each in honest.items()]
    scores = (("ECE", "%", 2, 100.0), ("NLL", "nats", 4), ("Brier score", "of 2", 4))
    heading = columns(["head", "precision", ("temperature", "", 3), *scores])
    note = (
        "Lower is better. The bundle holds the cpu variant's temperatures, fitted on all selection windows; scores and "
        "diagrams take temperatures fitted on other participants' windows."
    )
    said = Paragraph(
        "Share of windows that are right, against the confidence they were given; on the dashed line the two agree. "
        "Larger dots stand for more windows."
    )
    return (said, Gallery(tuple(plots)), Table("Worth of probabilities", heading, tuple(rows), note))
