"""What people read of an export: the page, its first and last sections, and what the terminal shows at the end.

First what a reader wants first, then a section a subject, each with what was not measured said in words.
"""

from __future__ import annotations

from typing import Final

from emer_edge.bundle import CPU, TENSORRT, VARIANTS
from emer_edge.export.report.accuracy_sections import METRICS, accuracy, columns, gate, headline, probabilities
from emer_edge.export.report.export_report import ExportReport
from emer_edge.export.report.int8_sections import calibration, layers, precision, ranges
from emer_edge.export.report.speed_sections import size, speed, step_plot, tensorrt
from emer_edge.report.html import Block, Code, Facts, Paragraph, Section, Tile, Tiles, to_html
from emer_edge.report.tables import Table

_TOLD_ABOVE: Final = ("gate", "calibration")


def report_html(report: ExportReport) -> str:
    """Render what an export measured as one offline page."""
    sections = {
        "In short": _overview,
        "Choice of precision": precision,
        "Accuracy": accuracy,
        "Accuracy gate": gate,
        "Probabilities": probabilities,
        "Speed": speed,
        "Parts and size": size,
        "Layers": layers,
        "Ranges": ranges,
        "Calibration": calibration,
        "TensorRT": tensorrt,
        "How it was made": _making,
    }
    return to_html(
        report.name,
        "What export wrote, how it compares with the checkpoint, and how that was measured",
        [Section(name, section(report)) for name, section in sections.items()],
    )


def _overview(report: ExportReport) -> tuple[Block, ...]:
    """Verdict, precision, speed, size, one picture, and what a user should know."""
    notes = (f"{each[:1].upper()}{each[1:]}{'' if each.endswith('.') else '.'}" for each in report.notes)
    gate, timing = report.gate, report.timing
    on = f"{gate.windows:,} windows of {gate.clips} clips of {gate.participants} participants"
    before, after = report.fp32_ms["step"], report.final_ms["step"]
    faster = f"{before:.2f} ms in FP32; " if report.precision != "FP32" else ""
    cpu, tensorrt_precision = (report.variant_precision(each) for each in VARIANTS)
    other = f"cpu variant with detectors; tensorrt variant {report.bytes_of(TENSORRT) / 1e6:.1f} MB"
    tiles = (
        Tile("Accuracy gate", gate.verdict.capitalize(), on if gate.windows else "no labelled clips were given"),
        Tile("Precision", report.precision, f"cpu {cpu}; tensorrt {tensorrt_precision}"),
        Tile("A step", f"{after:.2f} ms", f"{faster}median, {timing.engine}, {timing.device}"),
        Tile("Size", f"{report.bytes_of(CPU) / 1e6:.1f} MB", other),
    )
    picture = headline(report) or step_plot(report)
    return (Tiles(tiles), picture, *(Paragraph(each, warning=True) for each in notes))


def _making(report: ExportReport) -> tuple[Block, ...]:
    """Facts, versions, classes, and the command line that makes the bundle again."""
    facts = [(name[:1].upper() + name[1:], each) for name, each in report.facts.items() if name not in _TOLD_ABOVE]
    facts += [(f"Classes of {head}", ", ".join(names)) for head, names in report.heads.items() if names]
    if not report.command:
        said = Paragraph("It was exported by a Python program, so there is no command line to repeat.")
        return (Facts(tuple(facts)), said)
    said = Paragraph("To make it again, with your own folders before the names of files:")
    return (Facts(tuple(facts)), said, Code(report.command))


def summary_table(report: ExportReport) -> Table:
    """The essentials, a row each: precision, gate, speed, size, INT8 share, calibration, TensorRT."""
    gate, shares, found = report.gate, report.int8_macs, report.calibration
    cpu, other = (report.variant_precision(each) for each in VARIANTS)
    sizes = (f"{each} variant {report.bytes_of(each) / 1e6:.1f} MB" for each in VARIANTS)
    before = "" if report.precision == "FP32" else f", FP32 {report.fp32_ms['step']:.2f} ms"
    where = f"{report.timing.engine}, {report.timing.device}"
    on = f", {gate.windows:,} windows, {gate.clips} clips, {gate.participants} participants"
    rows = {
        "precision": f"{report.precision} (cpu {cpu}; tensorrt {other})",
        "accuracy gate": f"{gate.verdict}{on if gate.windows else ' (no labelled clips)'}",
        "a step": f"{report.final_ms['step']:.2f} ms{before} ({where})",
        "size": ", ".join(sizes),
    }
    if any(shares.values()):
        told = ", ".join(f"{each} {shares[f'{each}/step']:.1%}" for each in VARIANTS)
        rows["in INT8"] = f"{told} of a step's operations"
    if found is not None:
        rows["calibration"] = f"{found.method}, {found.windows} windows of {found.participants} participants"
    if report.kept_high:
        rows["kept high"] = ", ".join(report.kept_high)
    if worst := _worst(report):
        rows["largest loss"] = worst
    checks = report.tensorrt
    if not isinstance(checks, str):
        package = next((f" by {each.package}" for each in checks if each.ok), "")
        checks = f"{sum(each.ok for each in checks)} of {len(checks)} parts built{package}"
    return Table(report.name, columns(["", ""]), tuple({**rows, "TensorRT": checks}.items()))


def _worst(report: ExportReport) -> str:
    """The figure that came nearest to what the gate allows, or passed it."""
    losing = [
        (each.loss / each.margin, each, variant)
        for variant, trial in report.trials.items()
        for each in trial.changes
        if each.loss is not None and each.loss > 0
    ]
    if not losing:
        return ""
    _, worst, variant = max(losing, key=lambda each: each[0])
    head, _, metric = worst.name.partition("/")
    named = f"{head} {METRICS.get(metric, metric)}"
    return f"{named} {worst.loss:.4f} of {worst.margin:.4f} allowed, {variant} variant"
