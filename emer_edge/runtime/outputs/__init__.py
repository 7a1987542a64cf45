"""Where results go: one file per output, and one registry of them all."""

from __future__ import annotations

from emer_edge.runtime.outputs.base import Host, Output
from emer_edge.runtime.outputs.registry import (
    OUTPUTS,
    OutputDriver,
    Request,
    check_outputs,
    drivers,
    open_outputs,
    requested,
)

__all__ = [
    "OUTPUTS",
    "Host",
    "Output",
    "OutputDriver",
    "Request",
    "check_outputs",
    "drivers",
    "open_outputs",
    "requested",
]
