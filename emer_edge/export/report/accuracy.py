"""How accurate each precision is, and what the gate says of the difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from emer_edge.export.report.wording import INTERVALS, METRICS, estimate, share_of_range, variant_labels
from emer_edge.report.dots import dots
from emer_edge.report.html import Block, Details, Figure, Paragraph
from emer_edge.report.plots import Bar
from emer_edge.report.tables import Cell, Column, Table

__all__ = ["accuracy", "gate", "headline"]

_NOTHING = (
    "Not measured: no labelled clips of an EMER data set were given (--data), so nothing is known about accuracy "
    "in this precision beyond the comparison of parts with the checkpoint."
)
_MOST_MARGINS = 4.0
_LIMITS = ("loss", "low", "high")


def headline(figures: Mapping[str, Any]) -> Figure | None:
    """Accuracy of every class head, or errors of value heads where there are no others; None without labels."""
    plots = _plots(figures)
    return plots[0] if plots else None


def accuracy(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """Plots of class and value heads, and the figures as a table."""
    plots = _plots(figures)
    if not plots:
        return (Paragraph(_NOTHING),)
    gate = figures["gate"]
    said = Paragraph(
        f"Measured on the {gate['windows']:,} selection windows that the gate judges, of {gate['clips']} clips whose "
        f"{gate['participants']} participants were not trained on. Choices were made on them, so emer-edge bench has "
        "the last word: it scores the held-out fold."
    )
    # The first plot is the page's picture already, unless there is none of values.
    return (said, *plots[1:], _table(figures))


def _plots(figures: Mapping[str, Any]) -> list[Figure]:
    found = []
    for metric, title, unit in (
        ("war", "Accuracy (WAR) by head", "%"),
        ("mae", "Mean absolute error by head", "% of the label's range"),
    ):
        items = [
            Bar(head, estimate(metrics[metric], share_of_range(head)), label)
            for key, label in variant_labels(figures).items()
            for head, metrics in figures["accuracy"].get(key, {}).items()
            if metric in metrics
        ]
        if items:
            better = "Higher" if metric == "war" else "Lower"
            caption = (
                f"{better} is better. Whiskers: {INTERVALS} They say how well these people stand for others; whether "
                "a precision loses anything is a matter of paired differences, below under Accuracy gate."
            )
            found.append(Figure(dots(title, unit, items), caption))
    return found


def _table(figures: Mapping[str, Any]) -> Table:
    labels = variant_labels(figures)
    rows: list[tuple[Cell, ...]] = []
    for head, metrics in figures["accuracy"].get("fp32", {}).items():
        for metric in metrics:
            told = (figures["accuracy"].get(key, {}).get(head, {}).get(metric) for key in labels)
            scale = share_of_range(head)
            rows.append((head, METRICS[metric], *(None if each is None else estimate(each, scale) for each in told)))
    columns = (Column("head"), Column("metric"), *(Column(each, "%", 1) for each in labels.values()))
    note = f"MAE in per cent of the label's range. In parentheses {INTERVALS}"
    return Table("Accuracy on selection windows", columns, tuple(rows), note)


def gate(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """Verdict, every figure's loss against what is allowed, the gap's shift, and both variants in full."""
    found = figures["gate"]
    if found["verdict"] == "not run":
        return (Paragraph("The gate was not run: no labelled clips were given (--data)."),)
    changed = {key: label for key, label in variant_labels(figures).items() if key != "fp32"}
    blocks: list[Block] = [
        Paragraph(
            f"Verdict: {found['verdict']}. Every figure is a paired difference on the same windows; it passes when the "
            "loss is within what is allowed and its interval is not wider than can tell."
        )
    ]
    if not changed:
        return (*blocks, Paragraph("All parts compute in FP32, so there is nothing that could have been lost."))
    for variant, label in changed.items():
        faults = figures["trials"][variant]["faults"]
        blocks += [Paragraph(f"{label}: {each}.", warning=True) for each in faults]
    items = [
        Bar(each["name"], estimate([each[key] for key in _LIMITS], 1.0 / each["margin"]), label)
        for variant, label in changed.items()
        for each in figures["trials"][variant]["changes"]
    ]
    if items:
        caption = (
            "Losses in units of what is allowed: the dashed lines are no change and the margin; left of 0 the exported "
            f"precision is better. {INTERVALS}"
        )
        plot = dots("Loss of every figure", "share of the margin", items, 2, (0.0, 1.0), _MOST_MARGINS, skipped=1)
        blocks += [Figure(plot, caption)]
    blocks += _gap(figures, changed)
    tables = tuple(_changes(figures["trials"][variant], label) for variant, label in changed.items())
    return (*blocks, Details("All figures of the gate", tables))


def _gap(figures: Mapping[str, Any], changed: Mapping[str, str]) -> list[Block]:
    rows = [
        (label, each["name"].partition("/")[2], each["before"], each["after"], _loss(each), each["margin"])
        for variant, label in changed.items()
        for each in figures["trials"][variant]["changes"]
        if each["name"].startswith("gap/")
    ]
    if not rows:
        return []
    columns = (
        Column("variant"),
        Column("figure"),
        Column("FP32", digits=4),
        Column("exported", digits=4),
        Column("loss", digits=4),
        Column("allowed", digits=3),
    )
    note = (
        "The gap is the Jensen-Shannon distance of what is felt and what is shown, 0 to 1. shift: how far it moves, in "
        "the mean of absolute differences; auroc: how well it tells windows whose two labels differ."
    )
    return [Table("The gap between ER and FER", columns, tuple(rows), note)]


def _changes(trial: Mapping[str, Any], label: str) -> Table:
    rows = tuple(
        (each["name"], each["before"], each["after"], _loss(each), each["margin"], each["verdict"])
        for each in trial["changes"]
    )
    columns = (
        Column("figure"),
        Column("FP32", digits=4),
        Column("exported", digits=4),
        Column("loss", digits=4),
        Column("allowed", digits=4),
        Column("verdict"),
    )
    noise = trial["embedding_db"]
    note = "Embeddings as in FP32." if noise is None else f"Embeddings: {noise:.1f} dB signal to noise."
    if trial["agreement"]:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in trial["agreement"].items())
        note += f" Same best class as FP32: {shares}."
    return Table(label, columns, rows, note)


def _loss(change: Mapping[str, Any]) -> Cell:
    found = estimate([change[key] for key in _LIMITS])
    return found if math.isfinite(found.value) else None
