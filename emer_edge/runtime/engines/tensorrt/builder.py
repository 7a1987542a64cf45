"""Parsing a part and building its plan, with whichever TensorRT is here.

Parts name every type: FP16 regions lie between Casts, INT8 between Q and DQ, the rest is FP32 and must stay so (the
LSTMs' input projection sees raw columns that FP16 can't hold). Strong typing says just that. TensorRT before 10 chooses
types itself: there builder flags say what may be used, and a constraint holds each layer to the type that it names.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from emer_edge.bundle import Part
from emer_edge.core.errors import ConfigurationError, EngineError
from emer_edge.core.progress import Progress, silent
from emer_edge.runtime.board import Memory, read_memory
from emer_edge.runtime.engines.tensorrt.plan_tensors import LayerInfo, layers_in_log
from emer_edge.runtime.engines.tensorrt.toolkit import Toolkit, advice, ensure_enough, load_toolkit, workspace_cap_mb

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
        layers: what each layer computes in, read off the builder's verbose log, which needs no GPU.
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
    layers: tuple[LayerInfo, ...] = ()


def build_plan(
    part: Part | Path,
    options: BuildOptions | None = None,
    progress: Progress = silent,
    *,
    timing_cache: bytes = b"",
    memory: Callable[[], Memory | None] = read_memory,
) -> BuiltPlan:
    """Parse an ONNX part and build a plan.

    FP32 means FP32: TF32, which multiplies with FP16's ten bits, is switched off, as the LSTMs' raw columns would lose
    in it what they lose in FP16. Layer information is kept in the plan in full, so that it can say what it computes in.

    Args:
        part: the ONNX part, or a file that was made here.
        options: package, batch sizes, caps.
        progress: gets percentages where the package reports them; else only the end.
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
    work = _Work(toolkit, Part.of(part), options, cap_mb=cap_mb, progress=progress, known=timing_cache)
    plan, learnt = work.build(obey=True)
    if toolkit.can.typing == "weak" and plan is None and not work.out_of_memory:
        plan, learnt = work.build(obey=False)
    if plan is None:
        raise EngineError(work.refusal(free))
    progress(work.label, 100, 100)
    return BuiltPlan(
        plan=plan,
        package=toolkit.can.package,
        version=toolkit.can.version,
        seconds=time.perf_counter() - began_s,
        workspace_mb=cap_mb,
        timing_cache=learnt,
        layers=layers_in_log(toolkit.logger.layers),
    )


class _Work:
    """One part's build; TensorRT's objects die with it, in the order that they need."""

    def __init__(
        self, toolkit: Toolkit, part: Part, options: BuildOptions, *, cap_mb: int, progress: Progress, known: bytes
    ) -> None:
        self.label = f"building {part.path.stem}, percent"
        self._toolkit, self._part, self._options, self._cap_mb = toolkit, part, options, cap_mb
        self._progress, self._known = progress, known

    @property
    def out_of_memory(self) -> bool:
        """Whether that is what TensorRT's last error says."""
        return any(words in self._toolkit.last.lower() for words in _OUT_OF_MEMORY)

    def refusal(self, memory: Memory | None) -> str:
        """Why there is no plan."""
        why = f"{self._toolkit.can.label} can't build {self._part.path.name}: {self._toolkit.last}"
        if not self.out_of_memory:
            return why
        what = advice(memory) or "stop other programs, or add swap"
        return f"{why}; it ran out of memory under a workspace cap of {self._cap_mb} MB: {what}"

    def build(self, obey: bool) -> tuple[bytes | None, bytes]:
        """Parse and build; None and what was learnt where TensorRT gives no plan. `obey`: see `hold_types`."""
        trt, can = self._toolkit.trt, self._toolkit.can
        try:
            builder = trt.Builder(self._toolkit.logger)
        except TypeError:  # what its bindings raise for a null pointer: no driver, no GPU
            raise EngineError(f"{can.label} can't build on this machine: {self._toolkit.last}") from None
        network = builder.create_network(can.network_flags)
        parser = trt.OnnxParser(network, self._toolkit.logger)
        if not parser.parse(self._part.content):
            raise EngineError(f"{can.label} can't parse {self._part.path.name}: {_parser_errors(parser)}")
        config = builder.create_builder_config()
        self._configure(config)
        _add_profile(builder, network, config, self._options)
        if can.typing == "weak":
            hold_types(trt, network, config, obey)
        cache = self._timing_cache(config)
        monitor = _progress_monitor(trt, self.label, self._progress) if can.progress else None
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
        trt, can, target = self._toolkit.trt, self._toolkit.can, self._options.compute_capability
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, self._cap_mb << 20)
        config.clear_flag(trt.BuilderFlag.TF32)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if target is None:
            return
        if not can.compute_capabilities:
            raise ConfigurationError(f"{can.label} builds for the GPU at hand only; drop --compute-capability")
        if target not in can.compute_capabilities:
            raise ConfigurationError(
                f"{can.label} builds for {', '.join(can.compute_capabilities)}, not for {target!r}; a Jetson Orin is "
                "SM87 and builds its own engines"
            )
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(getattr(trt.ComputeCapability, target), 0):
            raise EngineError(f"{can.label} refuses to build for {target}: {self._toolkit.last}")

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
    errors = []
    for number in range(parser.num_errors):
        error = parser.get_error(number)
        name = error.node_name() if hasattr(error, "node_name") else ""
        kind = error.node_operator() if hasattr(error, "node_operator") else ""
        where = f"node {name or f'number {error.node()}'}" + (f", a {kind}" if kind else "")
        lines = [line for line in error.desc().splitlines() if "catchCudaError" not in line]  # says: no GPU here
        errors.append(f"{' '.join(' '.join(lines).split())} ({where})")
    return "; ".join(dict.fromkeys(errors)) or "it gave no reason"


def _add_profile(builder: Any, network: Any, config: Any, options: BuildOptions) -> None:
    profile = builder.create_optimization_profile()
    dynamic = False
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        shape = tuple(tensor.shape)
        if -1 in shape:
            dynamic = True
            sizes = (options.least, options.usual, options.most)
            profile.set_shape(tensor.name, *(tuple(size if axis == -1 else axis for axis in shape) for size in sizes))
    if dynamic:
        config.add_optimization_profile(profile)


_FREE: Final = (
    "CONSTANT", "SHAPE", "CAST", "IDENTITY", "QUANTIZE", "DEQUANTIZE", "TRIP_LIMIT", "ITERATOR", "RECURRENCE",
    "LOOP_OUTPUT", "CONDITION", "CONDITIONAL_INPUT", "CONDITIONAL_OUTPUT",
)  # fmt: skip
"""Layers that convert, repeat or only carry: a constraint on them means nothing or is refused."""


def hold_types(trt: Any, network: Any, config: Any, obey: bool) -> None:
    """Set the builder flags that the network's types need, and hold each layer to its own.

    Without an FP16 tensor no FP16 flag is set, so nothing can be lowered and nothing is held. Layers beside a Q or DQ
    are left free: their precision is what the Q/DQ pair says.

    Args:
        trt: the package.
        network: as parsed.
        config: the builder's configuration; changed.
        obey: fail the build where a type can't be kept; otherwise TensorRT may deviate, with a warning of its own.
    """
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    made_by = {tensor.name: layer for layer in layers for tensor in _outputs(layer)}
    quantised = [layer for layer in layers if layer.type in (trt.LayerType.QUANTIZE, trt.LayerType.DEQUANTIZE)]
    if quantised:
        config.set_flag(trt.BuilderFlag.INT8)
    floats = (trt.DataType.FLOAT, trt.DataType.HALF)
    if not any(tensor.dtype == trt.DataType.HALF for layer in layers for tensor in _outputs(layer)):
        return
    config.set_flag(trt.BuilderFlag.FP16)
    config.set_flag(
        trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS if obey else trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS
    )
    beside = _beside(trt, layers, made_by)
    free = {getattr(trt.LayerType, name) for name in _FREE if hasattr(trt.LayerType, name)}
    for layer in layers:
        outputs = _outputs(layer)
        if layer.type in free or layer.name in beside or not outputs:
            continue
        if all(tensor.dtype in floats for tensor in outputs):
            layer.precision = outputs[0].dtype
            for number, tensor in enumerate(outputs):
                layer.set_output_type(number, tensor.dtype)


def _outputs(layer: Any) -> list[Any]:
    return [layer.get_output(at) for at in range(layer.num_outputs) if layer.get_output(at) is not None]


def _beside(trt: Any, layers: list[Any], made_by: dict[str, Any]) -> set[str]:
    """Names of the layers that a DQ feeds or a Q reads, by themselves or through a cast."""

    def sources_of(layer: Any) -> list[Any]:
        inputs = filter(None, map(layer.get_input, range(layer.num_inputs)))
        sources = [made_by[tensor.name] for tensor in inputs if tensor.name in made_by]
        through = [sources_of(one) if one.type == trt.LayerType.CAST else [one] for one in sources]
        return [one for each in through for one in each]

    names = set()
    for layer in layers:
        sources = sources_of(layer)
        if any(source.type == trt.LayerType.DEQUANTIZE for source in sources):
            names.add(layer.name)
        if layer.type == trt.LayerType.QUANTIZE:
            names.update(source.name for source in sources)
    return names


@dataclass
class _Phase:
    steps: int
    parent: str
    done: int = 0
    children: set[str] = field(default_factory=set)


class PhaseTree:
    """How far nested phases are: a phase's running step counts by the share that its sub-phase has done."""

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._root = ""
        self._percent = 0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Enter a phase of so many steps."""
        self._phases[name] = _Phase(max(1, steps), parent or "")
        if parent in self._phases:
            self._phases[parent].children.add(name)
        elif not self._root:
            self._root = name

    def step(self, name: str, number: int) -> None:
        """End step `number`, counted from 0."""
        if name in self._phases:
            self._phases[name].done = number + 1

    def finish(self, name: str) -> None:
        """Leave a phase."""
        phase = self._phases.pop(name, None)
        if phase is not None and phase.parent in self._phases:
            self._phases[phase.parent].children.discard(name)
        if name == self._root:
            self._percent = 100

    @property
    def percent(self) -> int:
        """Share done, 0 to 100; never less than before."""
        if self._root in self._phases:
            self._percent = max(self._percent, int(100 * self._share(self._root)))
        return self._percent

    def _share(self, name: str) -> float:
        phase = self._phases[name]
        running = max(map(self._share, phase.children), default=0.0)
        return min(1.0, (phase.done + running) / phase.steps)


def _progress_monitor(trt: Any, label: str, progress: Progress) -> Any:
    """Make an `IProgressMonitor` that reports percentages to `progress`.

    Its `stopped` holds what `progress`, or Ctrl-C, raised: the build is then given up, and the caller raises it.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.stopped: BaseException | None = None
            self._tree = PhaseTree()
            self._reported = -1

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._tree.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tree.step(phase_name, step)
            self._report()
            return self.stopped is None

        def phase_finish(self, phase_name: str) -> None:
            self._tree.finish(phase_name)
            self._report()

        def _report(self) -> None:
            percent = self._tree.percent
            if percent == self._reported or self.stopped is not None:
                return
            self._reported = percent
            try:
                progress(label, percent, 100)
            except BaseException as error:  # must not pass through NVIDIA's frames
                self.stopped = error

    return Monitor()
