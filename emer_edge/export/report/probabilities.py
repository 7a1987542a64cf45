"""Whether confidence means what it says, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emer_edge.export.report.wording import variant_labels
from emer_edge.metrics.calibration import ReliabilityBin
from emer_edge.report.html import Block, Figure, Gallery, Paragraph
from emer_edge.report.plots import reliability_plot
from emer_edge.report.tables import Column, Table

__all__ = ["probabilities"]


def probabilities(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """A reliability diagram for each class head, and temperatures and scores as a table."""
    found = figures["probabilities"]
    labels = {key: label for key, label in variant_labels(figures).items() if key in found}
    heads = list(dict.fromkeys(head for key in labels for head in found[key]))
    if not heads:
        return (Paragraph("Not measured: no selection clip is labelled for a class head, so temperatures stay 1."),)
    plots = []
    for head in heads:
        series = {
            labels[key].partition(",")[0]: [ReliabilityBin(*each) for each in found[key][head]["reliability"]]
            for key in labels
            if head in found[key]
        }
        plots.append(Figure(reliability_plot(head, series)))
    rows = tuple(
        (head, label, *(found[key][head][name] for name in ("temperature", "ece", "nll", "brier")))
        for head in heads
        for key, label in labels.items()
        if head in found[key]
    )
    columns = (
        Column("head"),
        Column("precision"),
        Column("temperature", digits=3),
        Column("ECE", "%", 2, 100.0),
        Column("NLL", "nats", 4),
        Column("Brier score", "of 2", 4),
    )
    note = (
        "Lower is better. The bundle holds the cpu variant's temperatures, fitted on all selection windows; scores and "
        "diagrams take temperatures fitted on other participants' windows."
    )
    said = Paragraph(
        "Share of windows that are right, against the confidence they were given; on the dashed line the two agree. "
        "Larger dots stand for more windows."
    )
    return (said, Gallery(tuple(plots)), Table("Worth of probabilities", columns, rows, note))
