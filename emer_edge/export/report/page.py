"""The report page of an export, its first and last sections, and the summary for the terminal.

The summary comes first, then one section per subject; what was not measured is said in words.
"""

from __future__ import annotations

from emer_edge.bundle import CPU, TENSORRT, VARIANTS
from emer_edge.export.report.accuracy_sections import accuracy, gate, headline, probabilities
from emer_edge.export.report.export_report import ExportReport
from emer_edge.export.report.int8_sections import calibration, layers, precision, ranges
from emer_edge.export.report.speed_sections import size, speed, step_plot, tensorrt
from emer_edge.report.html import Block, Code, Facts, Paragraph, Section, Tile, Tiles, to_html
from emer_edge.report.table import Table
from emer_edge.report.words import METRIC_NAMES, sentence


def report_html(report: ExportReport) -> str:
    """Render what an export measured as one offline page."""
    sections = {
        "Summary": _overview,
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
        "The exported bundle, compared with its checkpoint",
        [Section(name, section(report)) for name, section in sections.items()],
    )


def _overview(report: ExportReport) -> tuple[Block, ...]:
    """Verdict, precision, speed, size, one picture, and notes for the user."""
    picture = headline(report) or step_plot(report)
    return (Tiles(_tiles(report)), picture, *(Paragraph(sentence(note), warning=True) for note in report.notes))


def _tiles(report: ExportReport) -> tuple[Tile, ...]:
    gate, timing = report.gate, report.timing
    windows = f"{gate.windows:,} windows of {gate.clips} clips of {gate.participants} participants"
    before = f"{report.fp32_ms['step']:.2f} ms in FP32; " if report.precision != "FP32" else ""
    precisions = "; ".join(f"{variant} {report.variant_precision(variant)}" for variant in VARIANTS)
    other = f"cpu variant with detectors; tensorrt variant {report.bytes_of(TENSORRT) / 1e6:.1f} MB"
    return (
        Tile("Accuracy gate", gate.verdict.capitalize(), windows if gate.windows else "no labelled clips were given"),
        Tile("Precision", report.precision, precisions),
        Tile("A step", f"{report.final_ms['step']:.2f} ms", f"{before}median, {timing.engine}, {timing.device}"),
        Tile("Size", f"{report.bytes_of(CPU) / 1e6:.1f} MB", other),
    )


def _making(report: ExportReport) -> tuple[Block, ...]:
    """Facts, versions, classes, the data set's table, and the command line that makes the bundle again."""
    facts = [(name[:1].upper() + name[1:], fact) for name, fact in report.facts.items()]
    facts += [(f"Classes of {head}", ", ".join(names)) for head, names in report.heads.items() if names]
    facts += [(f"Data: {name}", text) for name, text in report.data.items()]
    if not report.command:
        return (Facts(tuple(facts)), Paragraph("It was exported from Python: there is no command line to repeat."))
    text = Paragraph("To make it again, with your own folders before the names of files:")
    return (Facts(tuple(facts)), text, Code(report.command))


def summary_table(report: ExportReport) -> Table:
    """The essentials, one per row: gate, precision, speed, size, INT8 share, calibration, TensorRT."""
    shares, calibrated = report.int8_macs, report.calibration
    rows = {tile.name.lower(): f"{tile.value} ({tile.note})" for tile in _tiles(report)}
    if any(shares.values()):
        steps = ", ".join(f"{variant} {shares[f'{variant}/step']:.1%}" for variant in VARIANTS)
        rows["in INT8"] = f"{steps} of a step's operations"
    if calibrated is not None:
        people = f"{calibrated.participants} participants"
        rows["calibration"] = f"{calibrated.method}, {calibrated.windows} windows of {people}"
    if report.kept_high:
        rows["kept high"] = ", ".join(report.kept_high)
    rows |= {name: report.facts[name] for name in ("face guard", "gap", "without eyes")}
    if worst := _worst(report):
        rows["largest loss"] = worst
    checks = report.tensorrt
    if not isinstance(checks, str):
        package = next((f" by {check.package}" for check in checks if check.ok), "")
        checks = f"{sum(check.ok for check in checks)} of {len(checks)} parts built{package}"
    return Table.of(report.name, " | ", {**rows, "TensorRT": checks}.items())


def _worst(report: ExportReport) -> str:
    """The figure that came nearest to its margin, or exceeded it."""
    losing = [
        (change.loss / change.margin, change, variant)
        for variant, trial in report.trials.items()
        for change in trial.changes
        if change.loss is not None and change.loss > 0
    ]
    if not losing:
        return ""
    _, worst, variant = max(losing, key=lambda loss: loss[0])
    head, _, metric = worst.name.partition("/")
    label = f"{head} {METRIC_NAMES.get(metric, metric)}"
    return f"{label} {worst.loss:.4f} of {worst.margin:.4f} allowed, {variant} variant"
