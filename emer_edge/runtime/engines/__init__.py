"""Inference engines, one driver a file, chosen by name."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from emer_edge.bundle.manifest import Variant
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.engines import onnxruntime_engine, tensorrt_engine
from emer_edge.runtime.engines.base import Engine, Factory
from emer_edge.spec.progress import Progress, silent

__all__ = ["ENGINES", "VARIANTS", "Engine", "open_engine", "resolve_engine"]

ENGINES: Final[dict[str, Factory]] = {
    onnxruntime_engine.NAME: onnxruntime_engine.open_onnxruntime,
    tensorrt_engine.NAME: tensorrt_engine.open_tensorrt,
}

VARIANTS: Final[dict[str, Variant]] = {onnxruntime_engine.NAME: "cpu", tensorrt_engine.NAME: "tensorrt"}
"""Which variant of a bundle an engine runs."""


def resolve_engine(name: str) -> str:
    """Turn `auto` into the best engine that runs here; raise ConfigurationError for a name that is not registered.

    `auto` is TensorRT where it is usable, else ONNX Runtime; why is logged, as a warning where `tensorrt` is installed
    and something beside it is missing.
    """
    if name == "auto":
        reason = tensorrt_engine.why_not()
        if reason is None:
            return tensorrt_engine.NAME
        level = logging.WARNING if find_spec("tensorrt") is not None else logging.INFO
        logging.getLogger("emer_edge").log(level, "ONNX Runtime is used: TensorRT can't run here, as %s", reason)
        return onnxruntime_engine.NAME
    if name not in ENGINES:
        raise ConfigurationError(f"no engine is called {name!r}; choose auto, {' or '.join(ENGINES)}")
    return name


def open_engine(name: str, path: Path, threads: int = 1, progress: Progress = silent) -> Engine:
    """Load an ONNX part.

    Args:
        name: `onnxruntime`, `tensorrt`, or `auto`.
        path: the part's file.
        threads: intra-op threads of CPU engines.
        progress: told while an engine is built, which TensorRT needs once a machine.

    Raises:
        ConfigurationError: no engine has that name, or fewer than one thread.
        EngineError: the engine is unavailable or refuses the part.
        MissingExtraError: the engine needs a package that is not installed.
    """
    if threads < 1:
        raise ConfigurationError(f"an engine needs 1 thread or more, not {threads}")
    return ENGINES[resolve_engine(name)](path, threads, progress)
