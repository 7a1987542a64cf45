"""Inference engines, one driver a file, chosen by name."""

from __future__ import annotations

from emer_edge.runtime.engines.base import Engine, EngineDriver
from emer_edge.runtime.engines.placing import PlacedPart, Placer
from emer_edge.runtime.engines.registry import CPU_ENGINE, ENGINES, check_engine, engines, open_engine, resolve_engine

__all__ = [
    "CPU_ENGINE",
    "ENGINES",
    "Engine",
    "EngineDriver",
    "PlacedPart",
    "Placer",
    "check_engine",
    "engines",
    "open_engine",
    "resolve_engine",
]
