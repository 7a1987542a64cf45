"""Where results go: one output a file, made by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from emer_edge.bundle import Manifest
from emer_edge.runtime.outputs.base import Output
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.live_view import LiveView
from emer_edge.runtime.outputs.session_folder import SessionFolder
from emer_edge.runtime.outputs.summary_table import SummaryTable

__all__ = ["OUTPUTS", "JsonLines", "LiveView", "Output", "SessionFolder", "SummaryTable"]

OUTPUTS: Final[dict[str, Callable[[Manifest], Output]]] = {
    "json": lambda manifest: JsonLines(),
    "live": LiveView,
    "summary": lambda manifest: SummaryTable(),
}
"""Output name -> how to make it for a bundle."""
