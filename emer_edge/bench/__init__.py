"""Figures of bundles on this machine: speed, memory, a live run on simulated sensors, accuracy on held-out clips.

Names resolve on first use, so that the process that measures loads no more than it measures.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["BenchOptions", "BenchReport", "run_bench"]

_HOMES = {
    "BenchOptions": "emer_edge.bench.bench_options",
    "BenchReport": "emer_edge.bench.records.report_records",
    "run_bench": "emer_edge.bench.benchmark",
}

if TYPE_CHECKING:
    from emer_edge.bench.bench_options import BenchOptions
    from emer_edge.bench.benchmark import run_bench
    from emer_edge.bench.records.report_records import BenchReport


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'emer_edge.bench' has no attribute {name!r}")
