"""Parsing a part and building its plan, with whichever TensorRT is here."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emer_edge.errors import ConfigurationError, EngineError
from emer_edge.runtime.engines.tensorrt.memory import Memory, advice, ensure_enough, read_memory, workspace_cap_mb
from emer_edge.runtime.engines.tensorrt.monitor import progress_monitor
from emer_edge.runtime.engines.tensorrt.packages import Toolkit, load_toolkit
from emer_edge.runtime.engines.tensorrt.weak_types import hold_types
from emer_edge.spec.progress import Progress, silent

__all__ = ["RECIPE", "BuildOptions", "BuiltPlan", "build_plan"]

RECIPE: Final = 1
"""Raised whenever a change here makes other plans of the same part."""

_OUT_OF_MEMORY: Final = ("outofmemory", "out of memory", "insufficient memory", "could not be allocated", "bad_alloc")


@dataclass(frozen=True)
class BuildOptions:
    """How a plan is built.

    Attributes:
        package: `tensorrt` or `tensorrt_rtx`; by default the one that is here.
        least, usual, most: sizes of the dynamic batch axis; it is tuned for `usual`.
        workspace_mb: cap of the kernels' scratch memory; by default a share of the free memory.
        compute_capability: the GPU to build for, such as `SM89`, with tensorrt_rtx; by default the one that is here.
    """

    package: str | None = None
    least: int = 1
    usual: int = 1
    most: int = 16
    workspace_mb: int | None = None
    compute_capability: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.usual <= self.most:
            raise ConfigurationError(
                f"batch sizes must be 1 <= least <= usual <= most, not {self.least}, {self.usual}, {self.most}"
            )
        if self.workspace_mb is not None and self.workspace_mb < 1:
            raise ConfigurationError(f"the workspace must be 1 MB or more, not {self.workspace_mb}")


@dataclass(frozen=True)
class BuiltPlan:
    """A serialised engine.

    Attributes:
        plan: its bytes, good for one kind of GPU and one version.
        package, version: what built it.
        seconds: time to parse and build.
        workspace_mb: the cap it was built under.
        timing_cache: what was learnt about kernels, for the next build; empty where the package keeps nothing.
    """

    plan: bytes
    package: str
    version: str
    seconds: float
    workspace_mb: int
    timing_cache: bytes = b""


def build_plan(
    path: Path,
    options: BuildOptions | None = None,
    progress: Progress = silent,
    timing_cache: bytes = b"",
    memory: Callable[[], Memory | None] = read_memory,
) -> BuiltPlan:
    """Parse an ONNX part and build a plan.

    FP32 means FP32: TF32, which multiplies with FP16's ten bits, is switched off, as the LSTMs' raw columns would lose
    in it what they lose in FP16. Layer information is kept in the plan in full, so that it can say what it computes in.

    Args:
        path: the ONNX part.
        options: package, batch sizes, caps.
        progress: told percentages, where the package reports them; else the end alone.
        timing_cache: what an earlier build learnt.
        memory: where the free memory is read.

    Raises:
        ConfigurationError: options that the package does not know.
        EngineError: no TensorRT here, too little memory, or it refuses the part; the message holds its own words and
            the node's name.
    """
    options = options or BuildOptions()
    toolkit = load_toolkit(options.package)
    free = memory()
    ensure_enough(free)
    cap_mb = options.workspace_mb or workspace_cap_mb(free)
    began_s = time.perf_counter()
    toolkit.forget()
    work = _Work(toolkit, path, options, cap_mb, progress, timing_cache)
    if toolkit.can.typing != "weak":
        plan, learnt = work.build()
    else:
        plan, learnt = work.build(obey=True)
        if plan is None and not work.out_of_memory:
            plan, learnt = work.build(obey=False)
    if plan is None:
        raise EngineError(work.refusal(free))
    progress(work.label, 100, 100)
    return BuiltPlan(plan, toolkit.can.package, toolkit.can.version, time.perf_counter() - began_s, cap_mb, learnt)


class _Work:
    """One part's build; TensorRT's objects die with it, in the order that they need."""

    def __init__(
        self, toolkit: Toolkit, path: Path, options: BuildOptions, cap_mb: int, progress: Progress, known: bytes
    ) -> None:
        self.label = f"building {path.stem}, percent"
        self._toolkit, self._path, self._options, self._cap_mb = toolkit, path, options, cap_mb
        self._progress, self._known = progress, known

    @property
    def out_of_memory(self) -> bool:
        """Whether that is what TensorRT's last error says."""
        return any(each in self._toolkit.last.lower() for each in _OUT_OF_MEMORY)

    def refusal(self, memory: Memory | None) -> str:
        """Why there is no plan."""
        told = f"{self._toolkit.can.told} can't build {self._path.name}: {self._toolkit.last}"
        if not self.out_of_memory:
            return told
        what = advice(memory) or "stop other programs, or add swap"
        return f"{told}; it ran out of memory under a workspace cap of {self._cap_mb} MB: {what}"

    def build(self, obey: bool = False) -> tuple[bytes | None, bytes]:
        """Parse and build; None and what was learnt where TensorRT gives no plan."""
        trt, can = self._toolkit.trt, self._toolkit.can
        try:
            builder = trt.Builder(self._toolkit.logger)
        except TypeError:  # what its bindings raise for a null pointer: no driver, no GPU
            raise EngineError(f"{can.told} can't build on this machine: {self._toolkit.last}") from None
        network = builder.create_network(can.network_flags)
        parser = trt.OnnxParser(network, self._toolkit.logger)
        if not parser.parse(self._path.read_bytes()):
            raise EngineError(f"{can.told} can't parse {self._path.name}: {_parser_errors(parser)}")
        config = builder.create_builder_config()
        self._configure(config)
        _add_profile(builder, network, config, self._options)
        if can.typing == "weak":
            hold_types(trt, network, config, obey)
        cache = self._timing_cache(config)
        monitor = progress_monitor(trt, self.label, self._progress) if can.progress else None
        if monitor is not None:
            config.progress_monitor = monitor
        try:
            plan = builder.build_serialized_network(network, config)
        except MemoryError:
            raise EngineError(self.refusal(None)) from None
        if monitor is not None and monitor.stopped is not None:
            raise monitor.stopped
        learnt = bytes(cache.serialize()) if cache is not None and plan is not None else b""
        return (None if plan is None else bytes(plan)), learnt

    def _configure(self, config: Any) -> None:
        trt, can, wanted = self._toolkit.trt, self._toolkit.can, self._options.compute_capability
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, self._cap_mb << 20)
        config.clear_flag(trt.BuilderFlag.TF32)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if wanted is None:
            return
        if not can.compute_capabilities:
            raise ConfigurationError(f"{can.told} builds for the GPU at hand only; drop --compute-capability")
        if wanted not in can.compute_capabilities:
            raise ConfigurationError(
                f"{can.told} builds for {', '.join(can.compute_capabilities)}, not for {wanted!r}; a Jetson Orin is "
                "SM87 and builds its own engines"
            )
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(getattr(trt.ComputeCapability, wanted), 0):
            raise EngineError(f"{can.told} refuses to build for {wanted}: {self._toolkit.last}")

    def _timing_cache(self, config: Any) -> Any:
        """Attach what is known; a cache of another version or GPU is refused by TensorRT and begun anew."""
        if not self._toolkit.can.timing_cache:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for blob in (self._known, b""):
                cache = config.create_timing_cache(blob)
                if cache is not None and config.set_timing_cache(cache, False):
                    return cache
        return None


def _parser_errors(parser: Any) -> str:
    """The parser's own words; from 10 on it names the node, before that its number alone."""
    told = []
    for number in range(parser.num_errors):
        error = parser.get_error(number)
        name = error.node_name() if hasattr(error, "node_name") else ""
        kind = error.node_operator() if hasattr(error, "node_operator") else ""
        where = f"node {name or f'number {error.node()}'}" + (f", a {kind}" if kind else "")
        lines = [each for each in error.desc().splitlines() if "catchCudaError" not in each]  # says: no GPU here
        told.append(f"{' '.join(' '.join(lines).split())} ({where})")
    return "; ".join(dict.fromkeys(told)) or "it gave no reason"


def _add_profile(builder: Any, network: Any, config: Any, options: BuildOptions) -> None:
    profile = builder.create_optimization_profile()
    dynamic = False
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        shape = tuple(tensor.shape)
        if -1 in shape:
            dynamic = True
            sizes = (options.least, options.usual, options.most)
            profile.set_shape(tensor.name, *(tuple(size if each == -1 else each for each in shape) for size in sizes))
    if dynamic:
        config.add_optimization_profile(profile)
