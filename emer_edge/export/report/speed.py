"""What a step takes, what lies on the disk, and what TensorRT says of the parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emer_edge.report.html import Block, Figure, Paragraph
from emer_edge.report.plots import Bar, bars
from emer_edge.report.tables import Column, Estimate, Table

__all__ = ["bundle_bytes", "size", "speed", "step_plot", "tensorrt"]


def bundle_bytes(figures: Mapping[str, Any], variant: str) -> int:
    """Size of all parts of a variant."""
    return sum(each["bytes"] for key, each in figures["parts"].items() if key.startswith(f"{variant}/"))


def step_plot(figures: Mapping[str, Any]) -> Figure:
    """Median time of each part in each precision that was timed."""
    times = figures["timing"]["times"]
    items = [
        Bar(part, Estimate(found["p50_ms"]), _precision(name) if len(times) > 1 else "")
        for part in next(iter(times.values()))
        for name, parts in times.items()
        for found in (parts[part],)
    ]
    caption = "Lower is better. face_encoder: one crop; fusion: one window; step: one of each of every network."
    return Figure(bars("Median time of each part", "ms", items, 2), caption)


def speed(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """Times with their tails, the INT8 share of the arithmetic, and what several networks cost."""
    timing = figures["timing"]
    rows = tuple(
        (part, _precision(name), *(each[key] for key in ("p50_ms", "p90_ms", "p99_ms", "max_ms")), each["count"])
        for part in next(iter(timing["times"].values()))
        for name, parts in timing["times"].items()
        for each in (parts[part],)
    )
    columns = (
        Column("part"),
        Column("precision"),
        Column("p50", "ms"),
        Column("p90", "ms"),
        Column("p99", "ms"),
        Column("largest", "ms"),
        Column("count"),
    )
    note = (
        f"On the exporting machine: {timing['engine']}, {timing['device']}. Precisions took turns in one run; no time "
        "was left out. emer-edge bench measures on the device that will run the bundle."
    )
    table = Table("Times", columns, rows, note)
    # Without accuracy this plot is the page's first picture already.
    plot = (step_plot(figures),) if figures["accuracy"] else ()
    return (*plot, table, *_networks(figures), *_operations(figures))


def _precision(name: str) -> str:
    head, comma, rest = name.partition(",")
    return f"{head.upper()}{comma}{rest}"


def _networks(figures: Mapping[str, Any]) -> list[Block]:
    networks = figures["networks"]
    if len(networks) < 2:
        return []
    encoders = {each["encoder"] for each in networks}
    rows = tuple((", ".join(each["heads"]), each["encoder"], each["fusion"]) for each in networks)
    note = (
        "They share one face encoder, so that a face is encoded once."
        if len(encoders) == 1
        else f"Every face is encoded {len(encoders)} times; one network trained for all heads needs one encoder."
    )
    columns = (Column("heads"), Column("face encoder"), Column("fusion"))
    return [Table(f"{len(networks)} networks cost {len(encoders)} face encoders", columns, rows, note)]


def _operations(figures: Mapping[str, Any]) -> list[Block]:
    rows = tuple(
        (key, figures["macs"][key]["total"] / 1e6, figures["macs"][key]["int8"] / 1e6, share)
        for key, share in sorted(figures["int8_macs"].items(), key=lambda each: _step_last(each[0]))
    )
    columns = (
        Column("part"),
        Column("operations", "million", 1),
        Column("in INT8", "million", 1),
        Column("share", "%", 1, 100.0),
    )
    return [Table("Multiply-accumulate operations", columns, rows, "Of one crop and one window; a step is both.")]


def _step_last(key: str) -> tuple[str, bool]:
    variant, _, part = key.partition("/")
    return variant, part == "step"


def size(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """Bytes of every part, and how far it is from the torch network."""
    variants = list(dict.fromkeys(key.partition("/")[0] for key in figures["parts"]))
    items = [
        Bar(key.partition("/")[2], Estimate(each["bytes"] / 1e6), f"{key.partition('/')[0]} variant")
        for name in dict.fromkeys(key.partition("/")[2] for key in figures["parts"])
        for key, each in figures["parts"].items()
        if key.partition("/")[2] == name
    ]
    rows = tuple(
        (key, each["precision"].upper(), each["bytes"] / 1e6, each.get("largest_error"))
        for key, each in figures["parts"].items()
    )
    totals = tuple((f"{each}, together", "", bundle_bytes(figures, each) / 1e6, None) for each in variants)
    columns = (
        Column("part"),
        Column("precision"),
        Column("size", "MB", 1),
        Column("largest error", "% of the largest output", 4, 100.0),
    )
    note = f"Errors against the torch network, on {figures['verified_on']}."
    return (
        Figure(bars("Size of each part", "MB", items), "A device reads the parts of one variant."),
        Table("Parts", columns, (*rows, *totals), note),
    )


def tensorrt(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """What TensorRT's parser and builder say of each part."""
    checks = figures["tensorrt"]
    if isinstance(checks, str):
        return (Paragraph(f"Parts were {checks}. The device that will run them builds its engines on first use."),)
    rows = tuple(
        (each["part"], "built" if each["ok"] else each["error"], each["seconds"], each["plan_bytes"] / 1e6)
        for each in checks
    )
    columns = (Column("part"), Column("result"), Column("time", "s"), Column("plan", "MB", 1))
    package = next((f"by {each['package']}" for each in checks if each["ok"]), "by none of them")
    note = f"Parsed and built {package}; the plans were thrown away, a device builds its own."
    return (Table("Parts of the tensorrt variant", columns, rows, note),)
