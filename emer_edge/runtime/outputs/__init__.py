"""Where results go: one output a file, and one registry of them all."""

from __future__ import annotations

from emer_edge.runtime.outputs.base import Losing, Output
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.live_view import LiveView
from emer_edge.runtime.outputs.registry import OUTPUTS, OutputDriver, Wanted, check_outputs, open_outputs
from emer_edge.runtime.outputs.session_folder import SessionFolder
from emer_edge.runtime.outputs.summary_table import SummaryTable

__all__ = [
    "OUTPUTS",
    "JsonLines",
    "LiveView",
    "Losing",
    "Output",
    "OutputDriver",
    "SessionFolder",
    "SummaryTable",
    "Wanted",
    "check_outputs",
    "open_outputs",
]
