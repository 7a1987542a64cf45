"""What a step takes, what lies on the disk, and what TensorRT says of the parts."""

from __future__ import annotations

from collections.abc import Iterator

from emer_edge.export.report.accuracy_sections import columns
from emer_edge.export.report.export_report import ExportReport
from emer_edge.metrics.latency import LatencySummary
from emer_edge.report.bars import Bar, bars
from emer_edge.report.html import Block, Figure, Paragraph
from emer_edge.report.tables import Estimate, Table


def step_plot(report: ExportReport) -> Figure:
    """Median time of each part in each precision that was timed."""
    several = len(report.timing.times) > 1
    items = [Bar(part, Estimate(each.p50_ms), name if several else "") for part, name, each in _times(report)]
    caption = "Lower is better. face_encoder: one crop; fusion: one window; step: one of each of every network."
    return Figure(bars("Median time of each part", "ms", items, 2), caption)


def speed(report: ExportReport) -> tuple[Block, ...]:
    """Times with their tails, the INT8 share of the arithmetic, and what several networks cost."""
    rows = tuple(
        (part, name, each.p50_ms, each.p90_ms, each.p99_ms, each.max_ms, each.count)
        for part, name, each in _times(report)
    )
    percentiles = ((each, "ms") for each in ("p50", "p90", "p99", "largest"))
    note = (
        f"On the exporting machine: {report.timing.engine}, {report.timing.device}. Precisions took turns in one run; "
        "no time was left out. emer-edge bench measures on the device that will run the bundle."
    )
    table = Table("Times", columns(["part", "precision", *percentiles, "count"]), rows, note)
    # Without accuracy this plot is the page's first picture already.
    plot = (step_plot(report),) if report.accuracy else ()
    return (*plot, table, *_networks(report), _operations(report))


def _times(report: ExportReport) -> Iterator[tuple[str, str, LatencySummary]]:
    """Part, precision as people write it, and times."""
    times = report.timing.times
    for part in next(iter(times.values())):
        for name, parts in times.items():
            kind, comma, rest = name.partition(",")
            yield part, f"{kind.upper()}{comma}{rest}", parts[part]


def _networks(report: ExportReport) -> list[Block]:
    networks = report.networks
    encoders = {each.encoder for each in networks}
    rows = tuple((", ".join(each.heads), each.encoder, each.fusion) for each in networks)
    note = (
        "They share one face encoder, so that a face is encoded once."
        if len(encoders) == 1
        else f"Every face is encoded {len(encoders)} times; one network trained for all heads needs one encoder."
    )
    title = f"{len(networks)} networks cost {len(encoders)} face encoders"
    return [Table(title, columns(["heads", "face encoder", "fusion"]), rows, note)] if len(networks) > 1 else []


def _operations(report: ExportReport) -> Table:
    rows = tuple(
        (key, report.macs[key]["total"] / 1e6, report.macs[key]["int8"] / 1e6, share)
        for key, share in sorted(report.int8_macs.items(), key=lambda each: _step_last(each[0]))
    )
    heading = columns(["part", ("operations", "million", 1), ("in INT8", "million", 1), ("share", "%", 1, 100.0)])
    return Table("Multiply-accumulate operations", heading, rows, "Of one crop and one window; a step is both.")


def _step_last(key: str) -> tuple[str, bool]:
    variant, _, part = key.partition("/")
    return variant, part == "step"


def size(report: ExportReport) -> tuple[Block, ...]:
    """Bytes of every part, and how far it is from the torch network."""
    parts = [(variant, part, each) for key, each in report.parts.items() for variant, _, part in (key.partition("/"),)]
    order = list(dict.fromkeys(part for _, part, _ in parts))
    items = [
        Bar(part, Estimate(each.bytes / 1e6), f"{variant} variant")
        for variant, part, each in sorted(parts, key=lambda one: order.index(one[1]))
    ]
    rows = tuple(
        (key, each.precision.upper(), each.bytes / 1e6, each.largest_error) for key, each in report.parts.items()
    )
    variants = dict.fromkeys(variant for variant, _, _ in parts)
    totals = tuple((f"{each}, together", "", report.bytes_of(each) / 1e6, None) for each in variants)
    error = ("largest error", "% of the largest output", 4, 100.0)
    note = f"Errors against the torch network, on {report.verified_on}."
    return (
        Figure(bars("Size of each part", "MB", items), "A device reads the parts of one variant."),
        Table("Parts", columns(["part", "precision", ("size", "MB", 1), error]), (*rows, *totals), note),
    )


def tensorrt(report: ExportReport) -> tuple[Block, ...]:
    """What TensorRT's parser and builder say of each part."""
    checks = report.tensorrt
    if isinstance(checks, str):
        return (Paragraph(f"Parts were {checks}. The device that will run them builds its engines on first use."),)
    rows = tuple(
        (each.part, "built" if each.ok else each.error, each.seconds, each.plan_bytes / 1e6) for each in checks
    )
    package = next((f"by {each.package}" for each in checks if each.ok), "by none of them")
    note = f"Parsed and built {package}; the plans were thrown away, a device builds its own."
    heading = columns(["part", "result", ("time", "s"), ("plan", "MB", 1)])
    return (Table("Parts of the tensorrt variant", heading, rows, note),)
