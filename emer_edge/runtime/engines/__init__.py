"""Inference engines, one driver a file, chosen by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from emer_edge.bundle.manifest import Variant
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.engines import onnxruntime_engine, tensorrt_engine
from emer_edge.runtime.engines.base import Engine, Factory

__all__ = ["ENGINES", "VARIANTS", "Engine", "open_engine", "resolve_engine"]

ENGINES: Final[dict[str, Factory]] = {
    onnxruntime_engine.NAME: onnxruntime_engine.OnnxRuntimeEngine,
    tensorrt_engine.NAME: tensorrt_engine.open_tensorrt,
}

VARIANTS: Final[dict[str, Variant]] = {onnxruntime_engine.NAME: "cpu", tensorrt_engine.NAME: "tensorrt"}
"""Which variant of a bundle an engine runs."""


def resolve_engine(name: str) -> str:
    """Turn `auto` into the best engine that runs here; raise ConfigurationError for a name that is not registered."""
    if name == "auto":
        return onnxruntime_engine.NAME
    if name not in ENGINES:
        raise ConfigurationError(f"no engine is called {name!r}; choose auto, {' or '.join(ENGINES)}")
    return name


def open_engine(name: str, path: Path, threads: int = 1) -> Engine:
    """Load an ONNX part.

    Args:
        name: `onnxruntime`, `tensorrt`, or `auto`.
        path: the part's file.
        threads: intra-op threads of CPU engines.

    Raises:
        ConfigurationError: no engine has that name, or fewer than one thread.
        EngineError: the engine is unavailable or refuses the part.
        MissingExtraError: the engine needs a package that is not installed.
    """
    if threads < 1:
        raise ConfigurationError(f"an engine needs 1 thread or more, not {threads}")
    return ENGINES[resolve_engine(name)](path, threads)
