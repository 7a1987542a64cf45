"""Figures of bundles on this machine: speed, memory, a live run on simulated sensors, accuracy on held-out clips.

Names resolve on first use, so that the process that measures loads no more than it measures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["BenchOptions", "BenchReport", "run_bench", "tables_of", "write_report"]

_HOMES = {
    "BenchOptions": "emer_edge.bench.run",
    "BenchReport": "emer_edge.bench.records",
    "run_bench": "emer_edge.bench.run",
    "tables_of": "emer_edge.bench.pages",
    "write_report": "emer_edge.bench.run",
}

if TYPE_CHECKING:
    from emer_edge.bench.pages import tables_of
    from emer_edge.bench.records import BenchReport
    from emer_edge.bench.run import BenchOptions, run_bench, write_report


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'emer_edge.bench' has no attribute {name!r}")
