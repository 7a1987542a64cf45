"""What the terminal shows when an export is done."""

from __future__ import annotations

from typing import Any

from emer_edge.bundle import CPU, TENSORRT
from emer_edge.export.options import ExportSummary
from emer_edge.export.report.speed import bundle_bytes
from emer_edge.export.report.wording import METRICS, precision_of, variant_precision
from emer_edge.report.tables import Column, Table

__all__ = ["summary_table"]


def summary_table(summary: ExportSummary) -> Table:
    """The essentials, a row each: precision, gate, speed, size, INT8 share, calibration, TensorRT."""
    figures: Any = summary.figures
    rows = [
        (
            "precision",
            f"{precision_of(figures)} (cpu {variant_precision(figures, CPU)}; tensorrt "
            f"{variant_precision(figures, TENSORRT)})",
        ),
        ("accuracy gate", _gate(figures)),
        ("a step", _step(figures)),
        (
            "size",
            f"cpu variant {bundle_bytes(figures, CPU) / 1e6:.1f} MB, tensorrt variant "
            f"{bundle_bytes(figures, TENSORRT) / 1e6:.1f} MB",
        ),
    ]
    shares = figures["int8_macs"]
    if any(shares.values()):
        told = f"cpu {shares[f'{CPU}/step']:.1%}, tensorrt {shares[f'{TENSORRT}/step']:.1%} of a step's operations"
        rows.append(("in INT8", told))
    if figures["calibration"] is not None:
        found = figures["calibration"]
        rows.append(
            ("calibration", f"{found['method']}, {found['windows']} windows of {found['participants']} participants")
        )
    if figures["kept_high"]:
        rows.append(("kept high", ", ".join(figures["kept_high"])))
    worst = _worst(figures)
    if worst:
        rows.append(("largest loss", worst))
    rows.append(("TensorRT", _tensorrt(figures)))
    return Table(figures["name"], (Column(""), Column("")), tuple(rows))


def _gate(figures: Any) -> str:
    gate = figures["gate"]
    if not gate["windows"]:
        return f"{gate['verdict']} (no labelled clips)"
    return f"{gate['verdict']}, {gate['windows']:,} windows, {gate['clips']} clips, {gate['participants']} participants"


def _step(figures: Any) -> str:
    before, after, timing = figures["fp32_ms"]["step"], figures["final_ms"]["step"], figures["timing"]
    where = f"{timing['engine']}, {timing['device']}"
    if precision_of(figures) == "FP32":
        return f"{after:.2f} ms ({where})"
    return f"{after:.2f} ms, FP32 {before:.2f} ms ({where})"


def _worst(figures: Any) -> str:
    """The figure that came nearest to what the gate allows, or passed it."""
    changes = [(variant, each) for variant, trial in figures["trials"].items() for each in trial["changes"]]
    losing = [(variant, each) for variant, each in changes if each["loss"] and each["loss"] > 0]
    if not losing:
        return ""
    variant, worst = max(losing, key=lambda each: each[1]["loss"] / each[1]["margin"])
    head, _, metric = worst["name"].partition("/")
    named = f"{head} {METRICS.get(metric, metric)}"
    return f"{named} {worst['loss']:.4f} of {worst['margin']:.4f} allowed, {variant} variant"


def _tensorrt(figures: Any) -> str:
    checks = figures["tensorrt"]
    if isinstance(checks, str):
        return checks
    built = sum(each["ok"] for each in checks)
    package = next((f" by {each['package']}" for each in checks if each["ok"]), "")
    return f"{built} of {len(checks)} parts built{package}"
