"""The first screen: verdict, precision, speed, size, one picture, and what a user should know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emer_edge.bundle import CPU, TENSORRT, VARIANTS
from emer_edge.export.report.accuracy import headline
from emer_edge.export.report.speed import bundle_bytes, step_plot
from emer_edge.export.report.wording import precision_of, variant_precision
from emer_edge.report.html import Block, Paragraph, Tile, Tiles

__all__ = ["overview"]

_VERDICTS = {
    "passed": "Passed",
    "inconclusive": "Inconclusive",
    "failed": "Failed",
    "not run": "Not run",
}


def overview(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """Tiles, the picture, the notes."""
    picture = headline(figures) or step_plot(figures)
    notes = (Paragraph(_sentence(each), warning=True) for each in figures["notes"])
    return (Tiles(_tiles(figures)), picture, *notes)


def _tiles(figures: Mapping[str, Any]) -> tuple[Tile, ...]:
    gate, timing = figures["gate"], figures["timing"]
    on = "no labelled clips were given"
    if gate["windows"]:
        on = f"{gate['windows']:,} windows of {gate['clips']} clips of {gate['participants']} participants"
    before, after = figures["fp32_ms"]["step"], figures["final_ms"]["step"]
    faster = f"{before:.2f} ms in FP32; " if precision_of(figures) != "FP32" else ""
    sizes = {variant: bundle_bytes(figures, variant) for variant in VARIANTS}
    return (
        Tile("Accuracy gate", _VERDICTS.get(gate["verdict"], gate["verdict"]), on),
        Tile(
            "Precision",
            precision_of(figures),
            f"cpu {variant_precision(figures, CPU)}; tensorrt {variant_precision(figures, TENSORRT)}",
        ),
        Tile("A step", f"{after:.2f} ms", f"{faster}median, {timing['engine']}, {timing['device']}"),
        Tile(
            "Size",
            f"{sizes[CPU] / 1e6:.1f} MB",
            f"cpu variant with detectors; tensorrt variant {sizes[TENSORRT] / 1e6:.1f} MB",
        ),
    )


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}{'' if note.endswith('.') else '.'}"
