"""Why the bundle has the precision it has, how sensitive each layer is, and how INT8 was calibrated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from emer_edge.bundle import VARIANTS
from emer_edge.export.report.accuracy_sections import columns
from emer_edge.export.report.export_report import Calibration, ExportReport, FallBack, StyleRange, TensorRange
from emer_edge.report.bars import Bar, Span, bars, spans
from emer_edge.report.html import Block, Details, Facts, Figure, Paragraph
from emer_edge.report.scatter import Mark, scatter
from emer_edge.report.tables import Cell, Estimate, Table

_SHOWN_LAYERS: Final = 16
_SHOWN_RANGES: Final = 12
_NOTHING: Final = "Nothing was calibrated: no part of this bundle computes in INT8."


def precision(report: ExportReport) -> tuple[Block, ...]:
    """What `auto` chose from, and what the gate cost in layers put back."""
    asked = report.facts["precision asked for"].upper()
    blocks: list[Block] = [
        Paragraph(f"{asked} was asked for by name; --precision auto times FP32, FP16 and INT8 and chooses.")
    ]
    if report.candidates:
        blocks = [*_tradeoff(report), _candidates(report)]
    if report.fall_back.layers:
        blocks += _fall_back(report.fall_back)
    return tuple(blocks)


def _tradeoff(report: ExportReport) -> list[Block]:
    """Size against time, where several precisions were timed."""
    marks = [
        Mark(
            each.precision.upper(),
            Estimate(each.step_ms, each.step_ms, math.nan if each.step_p90_ms is None else each.step_p90_ms),
            Estimate(each.bytes / 1e6),
            each.verdict,
        )
        for each in report.candidates
        if each.step_ms is not None and each.bytes is not None
    ]
    if len(marks) < 2:
        return []
    plot = scatter("Size against the time of a step", "step (ms, logarithmic)", "size (MB)", marks, logarithmic=True)
    steps = ", ".join(f"{each.precision.upper()} {each.steps}" for each in report.candidates if each.steps)
    caption = f"Down and left is better; medians with a whisker to the p90 (steps: {steps}). Colours: the verdict."
    return [Figure(plot, caption)]


def _candidates(report: ExportReport) -> Table:
    rows = tuple(
        (
            each.precision.upper(),
            "kept" if each.kept else "dropped" if each.step_ms is not None else "not tried",
            each.step_ms,
            each.step_p90_ms,
            None if each.bytes is None else each.bytes / 1e6,
            each.verdict,
            each.why,
        )
        for each in report.candidates
    )
    heading = columns(["precision", "choice", ("step", "ms"), ("p90", "ms"), ("size", "MB", 1), "gate", "why"])
    note = (
        "The fastest that passes is kept; size is that of encoder and fusion. Timed side by side: "
        f"{report.timing.engine}, {report.timing.device}."
    )
    return Table("What auto chose from", heading, rows, note)


def _fall_back(cost: FallBack) -> list[Block]:
    def shares(found: Mapping[str, float]) -> str:
        steps = {name: share for name, share in found.items() if name.endswith("/step")}
        return ", ".join(f"{name.removesuffix('/step')} {share:.1%}" for name, share in steps.items())

    tried = "; ".join(f"{each.layers} layers {each.verdict}" for each in cost.tried)
    facts = (
        ("Layers, most sensitive first", ", ".join(cost.layers)),
        ("Tried", tried),
        ("A step", f"{cost.step_ms_before:.2f} ms before, {cost.step_ms:.2f} ms after"),
        ("INT8 share of operations", f"{shares(cost.int8_macs_before)} before; {shares(cost.int8_macs)} after"),
    )
    why = tuple(Paragraph(f"{variant}: {each}") for variant, reasons in cost.failed.items() for each in reasons)
    return [
        Paragraph(f"{len(cost.layers)} layers went back into high precision, because INT8 alone failed the gate."),
        Facts(facts),
        Details("What failed before", why),
    ]


def layers(report: ExportReport) -> tuple[Block, ...]:
    """Every layer quantised alone: the most sensitive ones as a plot, all of them as a table."""
    found, high = report.sensitivity, set(report.kept_high)
    if not found:
        return (Paragraph("The sensitivity of layers was not measured; export does so for INT8, with --sensitivity."),)
    kept = {each.layer: "high" if each.layer in high else "INT8" for each in found}
    several = "high" in kept.values()
    shown = found[:_SHOWN_LAYERS]
    words = {"high": "high precision", "INT8": "INT8"}
    items = [Bar(each.layer, Estimate(100 * each.shift), words[kept[each.layer]] if several else "") for each in shown]
    heads = list(found[0].heads)
    rows: list[tuple[Cell, ...]] = [
        (
            each.layer,
            kept[each.layer],
            each.part,
            each.macs / 1e6,
            each.embedding_db,
            100 * each.shift,
            *(100 * each.heads[name] if name in each.heads else None for name in heads),
        )
        for each in found
    ]
    figures = (("operations", "million", 1), ("SQNR", "dB", 1), ("all heads", "%", 3))
    heading = columns(["layer", "kept in", "part", *figures, *((each, "%", 3) for each in heads)])
    note = (
        "With this layer alone in INT8, cpu variant: signal to noise of the embedding, and mean movement of each "
        "head's answer (Jensen-Shannon distance of probabilities, or difference as a share of the label's range)."
    )
    title = f"The {len(shown)} most sensitive of {len(found)} layers"
    caption = "The network with that layer alone in INT8, against FP32. A failed gate returns layers from the top."
    return (
        Figure(bars(title, "mean movement of all heads, % of their range", items, 3), caption),
        Details(f"All {len(found)} layers", (Table("Sensitivity of layers", heading, tuple(rows), note),)),
    )


def calibration(report: ExportReport) -> tuple[Block, ...]:
    """Windows by class and participants, and the trial of methods where there was one."""
    found = report.calibration
    if found is None:
        return (Paragraph(_NOTHING),)
    source = {"data": "the data set's training clips", "synthetic": "synthetic clips"}[found.source]
    facts = (
        ("Windows", f"{found.windows} of {source}, one a clip"),
        ("Participants", str(found.participants)),
        ("Method", f"{found.method} ({found.requested} was asked for)"),
    )
    items = [Bar(name, Estimate(count)) for name, count in found.windows_by_class.items()]
    plot = bars("Calibration windows by class", "windows", items, 0) if items else ""
    pictures = [Figure(plot, "Spread over emotions, then people.")] if items else []
    return (Facts(facts), *pictures, *([_methods(found)] if found.methods else []))


def _methods(found: Calibration) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, each in found.methods.items():
        told = [each.get(f"{style}/{figure}") for style in VARIANTS for figure in ("shift", "embedding_db")]
        rows.append((name, "kept" if name in found.method.split(", ") else "", *told))
    heading = columns(["method", "choice"])
    for style in VARIANTS:
        heading += columns([(f"{style}: movement of heads", "%", 3, 100.0), (f"{style}: SQNR", "dB", 1)])
    note = "Tried on selection windows; the method is kept whose worse variant moves the heads' answers least."
    return Table("Calibration methods", heading, tuple(rows), note)


def ranges(report: ExportReport) -> tuple[Block, ...]:
    """The tensors that lose most: what they held and the range they got; all of them as a table."""
    found = sorted(report.ranges, key=_worst)
    if not found:
        return (Paragraph(_NOTHING),)
    shown = [
        Span(
            each.name,
            (each.low, each.high),
            {f"{style} range": (one.low, one.high) for style, one in each.styles.items()},
        )
        for each in found[:_SHOWN_RANGES]
    ]
    caption = "Values outside of a range are clipped; a wide range makes steps coarse. Noise decides, not the extent."
    plot = spans(f"The {len(shown)} noisiest of {len(found)} tensors", shown)
    worst = _ranges("Ranges of these tensors", found[:_SHOWN_RANGES])
    return (Figure(plot, caption), worst, Details(f"All {len(found)} tensors", (_ranges("All ranges", found),)))


def _ranges(title: str, some: Sequence[TensorRange]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            each.name,
            _extent(each),
            *(cell for one in each.styles.values() for cell in (_extent(one), one.clipped, one.noise_db)),
        )
        for each in some
    ]
    heading = columns(["tensor", "met"])
    for style in VARIANTS:
        heading += columns([f"{style} range", ("clipped", "%", 4, 100.0), ("SQNR", "dB", 1)])
    note = "Expected signal to noise of the values by themselves, rounding and clipping together."
    return Table(title, heading, tuple(rows), note)


def _extent(given: TensorRange | StyleRange) -> str:
    return f"{given.low:.3f} to {given.high:.3f}"


def _worst(tensor: TensorRange) -> float:
    return min((each.noise_db for each in tensor.styles.values() if each.noise_db is not None), default=math.inf)
