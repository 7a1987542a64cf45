"""Parsing and building TensorRT plans from a bundle's parts, with `tensorrt` or `tensorrt_rtx`.

Importing this module needs neither. Building works without a GPU in `tensorrt_rtx`; running a plan does not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from emer_edge.errors import EngineError

__all__ = ["PACKAGES", "BuiltPlan", "build_plan", "find_tensorrt"]

PACKAGES: Final = ("tensorrt", "tensorrt_rtx")
"""In order of preference: the one that a board runs, the one that any machine can check with."""


@dataclass(frozen=True)
class BuiltPlan:
    """A serialised engine.

    Attributes:
        plan: its bytes, good for one GPU type and one version.
        package, version: what built it.
        seconds: time to parse and build.
    """

    plan: bytes
    package: str
    version: str
    seconds: float


def find_tensorrt() -> str | None:
    """Name of the TensorRT package that can be imported here, or None."""
    for name in PACKAGES:
        if find_spec(name) is None:
            continue
        try:
            import_module(name)
        except (ImportError, OSError):
            continue
        return name
    return None


def build_plan(
    path: Path,
    package: str | None = None,
    least: int = 1,
    usual: int = 1,
    most: int = 16,
    workspace_mb: int | None = None,
) -> BuiltPlan:
    """Parse an ONNX part and build a plan whose batch axis may be `least` to `most`, tuned for `usual`.

    Args:
        path: the ONNX part.
        package: one of `PACKAGES`; by default the one that is there.
        least: smallest size of the dynamic batch axis.
        usual: the size to tune for.
        most: the largest size.
        workspace_mb: cap of the builder's scratch memory.

    Raises:
        EngineError: no TensorRT here, or it refuses the part; the message holds its own words and the node's name.
    """
    name = package or find_tensorrt()
    if name is None:
        raise EngineError("neither tensorrt nor tensorrt_rtx can be imported; install one, e.g. 'emer-edge[rtx]'")
    trt: Any = import_module(name)
    began_s = time.perf_counter()
    logger = _logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(path.read_bytes()):
        raise EngineError(f"{name} {trt.__version__} can't parse {path.name}: {_parser_errors(parser)}")
    config = builder.create_builder_config()
    if workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    _add_profile(builder, network, config, (least, usual, most))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"{name} {trt.__version__} can't build {path.name}: {logger.last or 'it gave no reason'}")
    return BuiltPlan(bytes(plan), name, str(trt.__version__), time.perf_counter() - began_s)


def _logger(trt: Any) -> Any:
    class Listener(trt.ILogger):  # type: ignore[misc]
        """Keeps the last error instead of printing it."""

        def __init__(self) -> None:
            super().__init__()
            self.last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.last = message

    return Listener()


def _network_flags(trt: Any) -> int:
    """Strong typing, so that the part's own types and Q/DQ decide: always on from TensorRT 11, a flag from 10."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    if flag is not None:
        return 1 << int(flag)
    explicit_batch = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return 0 if explicit_batch is None else 1 << int(explicit_batch)


def _parser_errors(parser: Any) -> str:
    told = []
    for number in range(parser.num_errors):
        error = parser.get_error(number)
        node = getattr(error, "node_name", None)
        node = node() if callable(node) else None
        told.append(f"{error.desc()} (node {node or error.node()})")
    return "; ".join(told) or "it gave no reason"


def _add_profile(builder: Any, network: Any, config: Any, sizes: tuple[int, int, int]) -> None:
    profile = builder.create_optimization_profile()
    dynamic = False
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        shape = tuple(tensor.shape)
        if -1 in shape:
            dynamic = True
            profile.set_shape(tensor.name, *(tuple(size if each == -1 else each for each in shape) for size in sizes))
    if dynamic:
        config.add_optimization_profile(profile)
