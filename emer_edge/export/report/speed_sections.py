"""Sections of the export report on speed and size, and on TensorRT."""

from __future__ import annotations

from collections.abc import Iterator

from emer_edge.bundle import VARIANTS
from emer_edge.export.report.export_report import ExportReport
from emer_edge.metrics.latency import LatencySummary
from emer_edge.report.bars import Bar, bars
from emer_edge.report.html import Block, Figure, Paragraph
from emer_edge.report.table import Cell, Estimate, Rows, Table, tabled
from emer_edge.report.words import MILLISECONDS


def step_plot(report: ExportReport) -> Figure:
    """Median time of each part in each precision that was timed."""
    several = len(report.timing.times) > 1
    items = [Bar(part, Estimate(latency.p50_ms), name if several else "") for part, name, latency in _times(report)]
    caption = "Lower is better. face_encoder: one crop; fusion: one window; step: one of each of every network."
    return Figure(bars("Median time of each part", "ms", items, 2), caption)


def speed(report: ExportReport) -> tuple[Block, ...]:
    """Times with their tails, the INT8 share of the arithmetic, and the cost of several networks."""
    rows = tuple(
        (part, name, latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms, latency.count)
        for part, name, latency in _times(report)
    )
    note = (
        f"On the exporting machine: {report.timing.engine}, {report.timing.device}. Precisions took turns in one run; "
        "no outliers removed. emer-edge bench measures on the device that will run the bundle."
    )
    table = Table.of("Times", f"part | precision | {MILLISECONDS}", rows, note)
    # Without accuracy this plot is in the page's summary already.
    plot = (step_plot(report),) if report.accuracy else ()
    return (*plot, table, *_networks(report), _operations(report))


def _times(report: ExportReport) -> Iterator[tuple[str, str, LatencySummary]]:
    """Part, precision in capitals, and times."""
    times = report.timing.times
    for part in next(iter(times.values())):
        for name, parts in times.items():
            kind, comma, rest = name.partition(",")
            yield part, f"{kind.upper()}{comma}{rest}", parts[part]


def _networks(report: ExportReport) -> list[Block]:
    networks = report.networks
    encoders = {network.encoder for network in networks}
    rows = tuple((", ".join(network.heads), network.encoder, network.fusion) for network in networks)
    note = (
        "They share one face encoder, so that a face is encoded once."
        if len(encoders) == 1
        else f"Every face is encoded {len(encoders)} times; one network trained for all heads needs one encoder."
    )
    title = f"{len(networks)} networks cost {len(encoders)} face encoders"
    return [Table.of(title, "heads | face encoder | fusion", rows, note)] if len(networks) > 1 else []


@tabled(
    "Multiply-accumulate operations",
    "part | operations (million):1 | in INT8 (million):1 | share (%):1",
    "Of one crop and one window; a step is both.",
)
def _operations(report: ExportReport) -> Rows:
    for key in sorted(report.int8_macs, key=lambda key: (key.partition("/")[0], key.endswith("/step"))):
        total, int8 = (report.macs[key][kind] / 1e6 for kind in ("total", "int8"))
        yield (key, total, int8, report.int8_macs[key])


def size(report: ExportReport) -> tuple[Block, ...]:
    """Bytes of every part, and its error against the torch network."""
    names = dict.fromkeys(key.partition("/")[2] for key in report.parts)
    items = [
        Bar(name, Estimate(report.parts[f"{variant}/{name}"].bytes / 1e6), f"{variant} variant")
        for name in names
        for variant in VARIANTS
        if f"{variant}/{name}" in report.parts
    ]
    rows = tuple((key, row.precision.upper(), row.bytes / 1e6, row.largest_error) for key, row in report.parts.items())
    totals = tuple((f"{variant}, together", "", report.bytes_of(variant) / 1e6, None) for variant in VARIANTS)
    heading = "part | precision | size (MB):1 | largest error (%):4"
    note = f"Errors against the torch network on {report.verified_on}, as a share of the largest output."
    return (
        Figure(bars("Size of each part", "MB", items), "A device reads the parts of one variant."),
        Table.of("Parts", heading, (*rows, *totals), note),
    )


def tensorrt(report: ExportReport) -> tuple[Block, ...]:
    """The result of TensorRT's parser and builder for each part."""
    checks = report.tensorrt
    if isinstance(checks, str):
        return (Paragraph(f"Parts were {checks}. The device that will run them builds its engines on first use."),)
    rows: list[tuple[Cell, ...]] = []
    for check in checks:
        types = ", ".join(f"{count} {types}" for types, count in check.convolutions.items())
        built = ("built" if check.ok else check.error, check.seconds, check.plan_bytes / 1e6)
        layers, requantising = (check.layers, check.requantising) if check.layers else (None, None)
        rows.append((check.part, *built, layers, types, requantising))
    package = next((f"Parsed and built by {check.package}" for check in checks if check.ok), "No part was built")
    note = (
        f"{package}; plans are not kept, as a device builds its own and may fuse otherwise. Layers and types are those "
        "of the builder's log; requantising are kernels that make INT8 of floating point."
    )
    heading = "part | result | time (s) | plan (MB):1 | layers:0 | convolutions, in to out | requantising:0"
    return (Table.of("Parts of the tensorrt variant", heading, rows, note),)
