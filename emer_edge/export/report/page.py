"""The page: what a reader wants first, then a section a subject, each with what was not measured said in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emer_edge.export.report.accuracy import accuracy, gate
from emer_edge.export.report.calibration import calibration, ranges
from emer_edge.export.report.making import making
from emer_edge.export.report.overview import overview
from emer_edge.export.report.precision import layers, precision
from emer_edge.export.report.probabilities import probabilities
from emer_edge.export.report.speed import size, speed, tensorrt
from emer_edge.report.html import Section, to_html

__all__ = ["report_html"]


def report_html(figures: Mapping[str, Any]) -> str:
    """Render `report.json`'s figures (`emer_edge.export.report.figures`) as one offline page."""
    sections = {
        "In short": overview,
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
        "How it was made": making,
    }
    return to_html(
        figures["name"],
        "What export wrote, how it compares with the checkpoint, and how that was measured",
        [Section(name, section(figures)) for name, section in sections.items()],
    )
