"""The export's report for people: what was written, how accurate and fast it is, and what TensorRT says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emer_edge.export.options import ExportSummary
from emer_edge.report.html import Block, Facts, Figure, Paragraph, Section, to_html
from emer_edge.report.plots import Bar, bars
from emer_edge.report.tables import Cell, Column, Estimate, Table

__all__ = ["report_html", "summary_table"]


def report_html(figures: Mapping[str, Any]) -> str:
    """Render `report.json`'s figures as one offline page."""
    sections = [
        Section("Bundle", _bundle(figures)),
        Section("Parts", (_parts(figures),)),
        Section("Speed on the exporting machine", (_speed(figures),)),
        Section("Accuracy gate", _gate(figures)),
    ]
    if figures["sensitivity"]:
        sections.append(Section("Sensitive layers", (_sensitivities(figures),)))
    sections.append(Section("TensorRT", _tensorrt(figures)))
    return to_html(figures["name"], "What export wrote, and how close it is to the checkpoint", sections)


def summary_table(summary: ExportSummary) -> Table:
    """What the terminal shows: a row a part, and below it speed, gate and TensorRT."""
    figures: Any = summary.figures
    table = _parts(figures)
    before, after, gate = figures["fp32_ms"]["step"], figures["final_ms"]["step"], figures["gate"]
    told = f"A step takes {after:.2f} ms on this CPU ({before:.2f} ms in FP32). Gate: {gate['verdict']}"
    if gate["windows"]:
        told += f" on {gate['windows']} windows of {gate['clips']} clips of {gate['participants']} participants"
    told += f". INT8: {figures['int8_macs']['cpu/step']:.0%} of a step's operations. "
    checks = figures["tensorrt"]
    if isinstance(checks, str):
        told += f"TensorRT: {checks}."
    else:
        built = sum(each["ok"] for each in checks)
        package = next((f" by {each['package']}" for each in checks if each["ok"]), "")
        told += f"TensorRT: {built} of {len(checks)} parts built{package}."
    return Table(table.title, table.columns, table.rows, told)


def _bundle(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    facts = tuple((name, str(value)) for name, value in figures["facts"].items())
    return (Facts(facts), *(Paragraph(each, warning=True) for each in figures["notes"]))


def _parts(figures: Mapping[str, Any]) -> Table:
    rows = tuple(
        (name, each["precision"], each["bytes"] / 1e6, each.get("largest_error"))
        for name, each in figures["parts"].items()
    )
    columns = (
        Column("part"),
        Column("precision"),
        Column("size", "MB", 1),
        Column("largest error", "% of output", 4, 100.0),
    )
    return Table("Parts against the torch network", columns, rows, f"Compared on {figures['verified_on']}.")


def _speed(figures: Mapping[str, Any]) -> Table:
    before, after = figures["fp32_ms"], figures["final_ms"]
    rows = tuple((name, before[name], after[name]) for name in before)
    columns = (Column(""), Column("FP32", "ms"), Column("exported", "ms"))
    return Table("cpu variant, one thread, median", columns, rows, "A step is one crop encoded and one fusion.")


def _gate(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    gate = figures["gate"]
    if gate["verdict"] == "not run":
        return (Paragraph("The gate was not run: no labelled clips were given."),)
    blocks: list[Block] = [Paragraph(f"Verdict: {gate['verdict']}, on {gate['windows']} selection windows.")]
    for variant, trial in figures["trials"].items():
        rows = tuple(_change_row(each) for each in trial["changes"])
        columns = (
            Column("metric"),
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
        blocks.append(Table(f"{variant} variant", columns, rows, note))
    return tuple(blocks)


def _change_row(change: Mapping[str, Any]) -> tuple[Cell, ...]:
    loss = Estimate(change["loss"], _limit(change["low"]), _limit(change["high"]))
    return change["name"], change["before"], change["after"], loss, change["margin"], change["verdict"]


def _limit(value: float | None) -> float:
    return float("nan") if value is None else value


def _sensitivities(figures: Mapping[str, Any]) -> Figure:
    items = [Bar(each["layer"], Estimate(100 * each["shift"])) for each in figures["sensitivity"]]
    svg = bars("All heads with one layer quantised", "mean shift, % of their range", items)
    return Figure(svg, "The longest bars are the most sensitive layers.")


def _tensorrt(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    checks = figures["tensorrt"]
    if isinstance(checks, str):
        return (Paragraph(f"Parts were {checks}."),)
    rows = tuple(
        (each["part"], "built" if each["ok"] else each["error"], each["seconds"], each["plan_bytes"] / 1e6)
        for each in checks
    )
    columns = (Column("part"), Column("result"), Column("time", "s"), Column("plan", "MB", 1))
    note = f"Parsed and built by {checks[0]['package']}; the plans were thrown away, a device builds its own."
    return (Table("tensorrt variant", columns, rows, note),)
