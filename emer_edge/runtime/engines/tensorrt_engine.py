"""TensorRT: what a machine must have before its parts can run there."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from emer_edge.errors import EngineError, MissingExtraError
from emer_edge.runtime.engines.base import Engine

__all__ = ["NAME", "open_tensorrt", "why_not"]

NAME = "tensorrt"


def why_not() -> str:
    """Say why TensorRT can't run parts on this machine."""
    if find_spec("tensorrt") is None:
        return "it needs NVIDIA's package tensorrt, part of JetPack (virtual environments need --system-site-packages)"
    if find_spec("pycuda") is None:
        return "it needs the package pycuda: pip install 'emer-edge[jetson]'"
    return "this version of emer-edge checks and builds TensorRT parts but does not run them yet"


def open_tensorrt(path: Path, threads: int) -> Engine:
    """Refuse, saying what is missing.

    Raises:
        MissingExtraError: TensorRT is there but pycuda is not.
        EngineError: anything else.
    """
    if find_spec("tensorrt") is not None and find_spec("pycuda") is None:
        raise MissingExtraError("the engine tensorrt", "pycuda", "jetson")
    raise EngineError(f"the engine tensorrt can't run {path}: {why_not()}; choose --engine onnxruntime")
