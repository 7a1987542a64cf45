"""Why the bundle has the precision it has, and how sensitive each layer is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emer_edge.report.html import Block, Details, Facts, Figure, Paragraph
from emer_edge.report.plots import Bar, bars
from emer_edge.report.scatter import Mark, scatter
from emer_edge.report.tables import Cell, Column, Estimate, Table

__all__ = ["layers", "precision"]

_SHOWN = 16


def precision(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """What `auto` chose from, and what the gate cost in layers put back."""
    asked = figures["facts"]["precision asked for"]
    blocks: list[Block] = []
    if figures["candidates"]:
        blocks += [*_tradeoff(figures), _candidates(figures)]
    else:
        blocks.append(
            Paragraph(f"{asked.upper()} was asked for by name; --precision auto times FP32, FP16 and INT8 and chooses.")
        )
    if figures["fall_back"]:
        blocks += _fall_back(figures["fall_back"])
    return tuple(blocks)


def _tradeoff(figures: Mapping[str, Any]) -> list[Block]:
    """Size against time, where several precisions were timed."""
    marks = [
        Mark(
            each["precision"].upper(),
            Estimate(each["step_ms"], each["step_ms"], each["step_p90_ms"]),
            Estimate(each["bytes"] / 1e6),
            each["verdict"],
        )
        for each in figures["candidates"]
        if each["step_ms"] is not None and each["bytes"] is not None
    ]
    if len(marks) < 2:
        return []
    plot = scatter("Size against the time of a step", "step (ms, logarithmic)", "size (MB)", marks, logarithmic=True)
    steps = ", ".join(f"{each['precision'].upper()} {each['steps']}" for each in figures["candidates"] if each["steps"])
    caption = f"Down and left is better; medians with a whisker to the p90 (steps: {steps}). Colours: the verdict."
    return [Figure(plot, caption)]


def _candidates(figures: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            each["precision"].upper(),
            "kept" if each["kept"] else "dropped" if each["step_ms"] is not None else "not tried",
            each["step_ms"],
            each["step_p90_ms"],
            None if each["bytes"] is None else each["bytes"] / 1e6,
            each["verdict"],
            each["why"],
        )
        for each in figures["candidates"]
    )
    columns = (
        Column("precision"),
        Column("choice"),
        Column("step", "ms"),
        Column("p90", "ms"),
        Column("size", "MB", 1),
        Column("gate"),
        Column("why"),
    )
    timing = figures["timing"]
    note = (
        "The fastest that passes is kept; size is that of encoder and fusion. Timed side by side: "
        f"{timing['engine']}, {timing['device']}."
    )
    return Table("What auto chose from", columns, rows, note)


def _fall_back(found: Mapping[str, Any]) -> list[Block]:
    def shares(key: str) -> str:
        return ", ".join(
            f"{name.removesuffix('/step')} {share:.1%}" for name, share in found[key].items() if name.endswith("/step")
        )

    why = [f"{variant}: {each}" for variant, reasons in found["failed"].items() for each in reasons]
    tried = "; ".join(f"{each['layers']} layers {each['verdict']}" for each in found["tried"])
    return [
        Paragraph(f"{len(found['layers'])} layers went back into high precision, because INT8 alone failed the gate."),
        Facts(
            (
                ("Layers, most sensitive first", ", ".join(found["layers"])),
                ("Tried", tried),
                ("A step", f"{found['step_ms_before']:.2f} ms before, {found['step_ms']:.2f} ms after"),
                ("INT8 share of operations", f"{shares('int8_macs_before')} before; {shares('int8_macs')} after"),
            )
        ),
        Details("What failed before", tuple(Paragraph(each) for each in why)),
    ]


def layers(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """Every layer quantised alone: the most sensitive ones as a plot, all of them as a table."""
    found = figures["sensitivity"]
    if not found:
        return (Paragraph("The sensitivity of layers was not measured; export does so for INT8, with --sensitivity."),)
    high = set(figures["kept_high"])
    several = bool(high & {each["layer"] for each in found})
    shown = found[:_SHOWN]
    items = [
        Bar(
            each["layer"],
            Estimate(100 * each["shift"]),
            ("high precision" if each["layer"] in high else "INT8") if several else "",
        )
        for each in shown
    ]
    heads = list(found[0]["heads"])
    rows: list[tuple[Cell, ...]] = [
        (
            each["layer"],
            "high" if each["layer"] in high else "INT8",
            each["part"],
            each["macs"] / 1e6,
            each["embedding_db"],
            100 * each["shift"],
            *(100 * each["heads"][name] if name in each["heads"] else None for name in heads),
        )
        for each in found
    ]
    columns = (
        Column("layer"),
        Column("kept in"),
        Column("part"),
        Column("operations", "million", 1),
        Column("SQNR", "dB", 1),
        Column("all heads", "%", 3),
        *(Column(each, "%", 3) for each in heads),
    )
    note = (
        "With this layer alone in INT8, cpu variant: signal to noise of the embedding, and mean movement of each "
        "head's answer (Jensen-Shannon distance of probabilities, or difference as a share of the label's range)."
    )
    title = f"The {len(shown)} most sensitive of {len(found)} layers"
    plot = bars(title, "mean movement of all heads, % of their range", items, 3)
    return (
        Figure(
            plot,
            "The network with that layer alone in INT8, against FP32. A failed gate returns layers from the top.",
        ),
        Details(f"All {len(found)} layers", (Table("Sensitivity of layers", columns, tuple(rows), note),)),
    )
