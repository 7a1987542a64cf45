"""Sections of the export report on precision: its choice, the sensitivity of layers, and the INT8 calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from emer_edge.bundle import VARIANTS
from emer_edge.export.report.export_report import Calibration, ExportReport, FallBack, StyleRange, TensorRange
from emer_edge.report.bars import Bar, Span, bars, spans
from emer_edge.report.html import Block, Details, Facts, Figure, Paragraph
from emer_edge.report.scatter import Mark, scatter
from emer_edge.report.table import Cell, Estimate, Table

_SHOWN_LAYERS: Final = 16
_SHOWN_RANGES: Final = 12
_NOTHING: Final = "Nothing was calibrated: no part of this bundle computes in INT8."


def precision(report: ExportReport) -> tuple[Block, ...]:
    """The candidates of `auto`, and the layers put back for the gate."""
    requested = report.facts["requested precision"].upper()
    text = f"{requested} was requested; --precision auto times FP32, FP16 and INT8 and chooses."
    blocks: list[Block] = [Paragraph(text)]
    if report.candidates:
        blocks = [*_tradeoff(report), candidates_table(report)]
    if report.fall_back.layers:
        blocks += _fall_back(report.fall_back)
    return tuple(blocks)


def _tradeoff(report: ExportReport) -> list[Block]:
    """Size against time, where several precisions were timed."""
    marks = [
        Mark(
            candidate.precision.upper(),
            Estimate(candidate.step_ms, candidate.step_ms, candidate.step_p90_ms),
            Estimate(candidate.bytes / 1e6),
            candidate.verdict,
        )
        for candidate in report.candidates
        if candidate.step_ms is not None and candidate.step_p90_ms is not None and candidate.bytes is not None
    ]
    if len(marks) < 2:
        return []
    plot = scatter("Size against the time of a step", "step (ms, logarithmic)", "size (MB)", marks, logarithmic=True)
    steps = ", ".join(
        f"{candidate.precision.upper()} {candidate.steps}" for candidate in report.candidates if candidate.steps
    )
    caption = f"Down and left is better; medians with a whisker to the p90 (steps: {steps}). Colours: the verdict."
    return [Figure(plot, caption)]


def candidates_table(report: ExportReport) -> Table:
    """What `auto` chose from, one row per precision."""
    rows: list[tuple[Cell, ...]] = []
    for candidate in report.candidates:
        choice = "kept" if candidate.kept else "dropped" if candidate.step_ms is not None else "not tried"
        size_mb = None if candidate.bytes is None else candidate.bytes / 1e6
        figures = (candidate.step_ms, candidate.step_p90_ms, size_mb)
        rows.append((candidate.precision.upper(), choice, *figures, candidate.verdict, candidate.why))
    heading = "precision | choice | step (ms) | p90 (ms) | size (MB):1 | gate | why"
    note = (
        "The fastest that passes is kept; size is that of encoder and fusion. Timed side by side: "
        f"{report.timing.engine}, {report.timing.device}."
    )
    return Table.of("Candidates of auto", heading, rows, note)


def _fall_back(cost: FallBack) -> list[Block]:
    def shares(macs: Mapping[str, float]) -> str:
        steps = {name: share for name, share in macs.items() if name.endswith("/step")}
        return ", ".join(f"{name.removesuffix('/step')} {share:.1%}" for name, share in steps.items())

    tried = "; ".join(f"{attempt.layers} layers {attempt.verdict}" for attempt in cost.tried)
    facts = (
        ("Layers, most sensitive first", ", ".join(cost.layers)),
        ("Tried", tried),
        ("A step", f"{cost.step_ms_before:.2f} ms before, {cost.step_ms:.2f} ms after"),
        ("INT8 share of operations", f"{shares(cost.int8_macs_before)} before; {shares(cost.int8_macs)} after"),
    )
    why = tuple(Paragraph(f"{variant}: {reason}") for variant, reasons in cost.failed.items() for reason in reasons)
    return [
        Paragraph(f"{len(cost.layers)} layers were put back into high precision, because INT8 alone failed the gate."),
        Facts(facts),
        Details("Failures before", why),
    ]


def layers(report: ExportReport) -> tuple[Block, ...]:
    """Every layer quantised alone: the most sensitive ones as a plot, all of them as a table."""
    sensitivities, high = report.sensitivity, set(report.kept_high)
    if not sensitivities:
        return (Paragraph("The sensitivity of layers was not measured; export does so for INT8, with --sensitivity."),)
    kept = {layer.layer: "high" if layer.layer in high else "INT8" for layer in sensitivities}
    several = "high" in kept.values()
    shown = sensitivities[:_SHOWN_LAYERS]
    words = {"high": "high precision", "INT8": "INT8"}
    items = [Bar(row.layer, Estimate(100 * row.shift), words[kept[row.layer]] if several else "") for row in shown]
    heads = list(sensitivities[0].heads)
    rows: list[tuple[Cell, ...]] = []
    for layer in sensitivities:
        figures = (layer.macs / 1e6, layer.embedding_db, layer.shift, *(layer.heads.get(name) for name in heads))
        rows.append((layer.layer, kept[layer.layer], layer.part, *figures))
    heading = "layer | kept in | part | operations (million):1 | SQNR (dB):1 | all heads (%):3"
    heading = " | ".join([heading, *(f"{name} (%):3" for name in heads)])
    note = (
        "With this layer alone in INT8, cpu variant: signal to noise of the embedding, and mean shift of each head's "
        "output (Jensen-Shannon distance of probabilities, or difference as a share of the label's range)."
    )
    title = f"The {len(shown)} most sensitive of {len(sensitivities)} layers"
    caption = "The network with that layer alone in INT8, against FP32. A failed gate puts back layers from the top."
    return (
        Figure(bars(title, "mean shift of all heads, % of their range", items, 3), caption),
        Details(f"All {len(sensitivities)} layers", (Table.of("Sensitivity of layers", heading, rows, note),)),
    )


def calibration(report: ExportReport) -> tuple[Block, ...]:
    """Windows by class and participants, and the trial of methods where there was one."""
    calibrated = report.calibration
    if calibrated is None:
        return (Paragraph(_NOTHING),)
    source = {"data": "the data set's training clips", "synthetic": "synthetic clips"}[calibrated.source]
    facts = (
        ("Windows", f"{calibrated.windows} of {source}, one per clip"),
        ("Participants", str(calibrated.participants)),
        ("Method", f"{calibrated.method} ({calibrated.requested} was requested)"),
    )
    items = [Bar(name, Estimate(count)) for name, count in calibrated.windows_by_class.items()]
    plot = bars("Calibration windows by class", "windows", items, 0) if items else ""
    pictures = [Figure(plot, "Spread over emotions, then people.")] if items else []
    return (Facts(facts), *pictures, *([_methods(calibrated)] if calibrated.methods else []))


def _methods(calibration: Calibration) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, figures in calibration.methods.items():
        cells = [figures.get(f"{style}/{figure}") for style in VARIANTS for figure in ("shift", "embedding_db")]
        rows.append((name, "kept" if name in calibration.method.split(", ") else "", *cells))
    styles = (f"{style}: shift of heads (%):3 | {style}: SQNR (dB):1" for style in VARIANTS)
    note = "Tried on selection windows; the method whose worse variant shifts the heads' outputs least is kept."
    return Table.of("Calibration methods", " | ".join(["method", "choice", *styles]), rows, note)


def ranges(report: ExportReport) -> tuple[Block, ...]:
    """Values and ranges of the noisiest tensors as a plot, of all tensors as a table."""
    noisiest = sorted(report.ranges, key=_worst)
    if not noisiest:
        return (Paragraph(_NOTHING),)
    shown = [
        Span(
            tensor.name,
            (tensor.low, tensor.high),
            {f"{style} range": (one.low, one.high) for style, one in tensor.styles.items()},
        )
        for tensor in noisiest[:_SHOWN_RANGES]
    ]
    caption = "Values outside of a range are clipped; a wide range makes steps coarse. Noise decides, not the extent."
    plot = spans(f"The {len(shown)} noisiest of {len(noisiest)} tensors", shown)
    worst = _ranges("Ranges of these tensors", noisiest[:_SHOWN_RANGES])
    return (Figure(plot, caption), worst, Details(f"All {len(noisiest)} tensors", (_ranges("All ranges", noisiest),)))


def _ranges(title: str, some: Sequence[TensorRange]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for tensor in some:
        cells = (cell for one in tensor.styles.values() for cell in (_extent(one), one.clipped, one.noise_db))
        rows.append((tensor.name, _extent(tensor), *cells))
    styles = (f"{style} range | clipped (%):4 | SQNR (dB):1" for style in VARIANTS)
    note = "Expected signal to noise of the values themselves, rounding and clipping together."
    return Table.of(title, " | ".join(["tensor", "met", *styles]), rows, note)


def _extent(given: TensorRange | StyleRange) -> str:
    return f"{given.low:.3f} to {given.high:.3f}"


def _worst(tensor: TensorRange) -> float:
    return min((style.noise_db for style in tensor.styles.values() if style.noise_db is not None), default=math.inf)
