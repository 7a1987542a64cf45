"""TensorRT: runs the parts of the `tensorrt` variant on an NVIDIA GPU, from plans built on this machine.

The first opening of a part builds its plan (`emer-edge build` does it beforehand) and keeps it. Batches of a size that
keeps coming are captured as a CUDA graph where TensorRT allows it: one launch instead of one per kernel.
"""

from __future__ import annotations

import atexit
import logging
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import TENSORRT, Part
from emer_edge.core.errors import EngineError, MissingExtraError, install_line
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import write_private
from emer_edge.runtime.engines.base import Engine, EngineDriver
from emer_edge.runtime.engines.tensorrt.builder import BuildOptions
from emer_edge.runtime.engines.tensorrt.cuda import (
    CudaGraph,
    CudaOwner,
    DriverError,
    TensorMemory,
    find_gpu,
    how_to_mend,
    load_driver,
)
from emer_edge.runtime.engines.tensorrt.plan_cache import KeptPlan, PlanCache, read_private
from emer_edge.runtime.engines.tensorrt.plan_tensors import BufferPlan, LayerInfo, TensorSpec, layers_of
from emer_edge.runtime.engines.tensorrt.toolkit import (
    PACKAGES,
    check_lines,
    describe_machine,
    find_tensorrt,
    load_toolkit,
)

_NAME: Final = "tensorrt"
_MOST_GRAPHS: Final = 2
_SEEN_BEFORE_CAPTURE: Final = 2  # a batch size that comes once (the rest of a data set) is not worth a graph


def why_not() -> str | None:
    """Say why TensorRT can't run parts on this machine; None where it can.

    Imports the package only where a GPU is, so that asking costs nothing elsewhere.
    """
    if all(find_spec(name) is None for name in PACKAGES):
        return "it needs NVIDIA's package tensorrt, part of JetPack (virtual environments need --system-site-packages)"
    try:
        load_driver().gpu()
    except DriverError as error:
        return f"it needs an NVIDIA GPU and its driver, and can't use them here ({error}): {how_to_mend(error)}"
    if find_tensorrt() is None:
        return f"{' and '.join(PACKAGES)} are not usable: their libraries can't be loaded"
    if find_spec("pycuda") is None:
        return f"it needs the package pycuda: {install_line('jetson')}"
    return None


def _open(part: Part, threads: int = 1, progress: Progress = silent) -> Engine:
    """Load a part, building its plan first where none is kept.

    Raises:
        MissingExtraError: TensorRT and a GPU are there but pycuda is not.
        EngineError: anything else that is missing, or TensorRT refuses the part.
    """
    reason = why_not()
    if reason is not None and "pycuda" in reason:
        raise MissingExtraError("the engine tensorrt", "pycuda", "jetson")
    if reason is not None:
        raise EngineError(f"the engine tensorrt can't run {part.path}: {reason}; choose --engine onnxruntime")
    return TensorRtEngine(part, progress=progress)


@dataclass(eq=False)
class _Lane:
    """An execution context; one that serves a single batch size may hold a captured graph of it."""

    context: Any
    batch: int = 0
    graph: CudaGraph | None = None


class TensorRtEngine:
    """An `Engine` on TensorRT.

    Open it, run it and close it in one thread, or see to it that no two threads use it at once; `close` belongs to the
    thread that opened it.

    Args:
        part: the ONNX part, or a file that was made here.
        options: how its plan is built.
        graphs: capture CUDA graphs where that works.
        progress: reports the building of a plan.

    Attributes:
        plan: the plan in use.
        graph_note: why there is no CUDA graph; empty while nothing speaks against it.

    Raises:
        MissingExtraError: pycuda is not installed.
        EngineError: no GPU, no TensorRT, or it refuses the part, in its own words.
    """

    name = _NAME
    parallel = False

    def __init__(
        self, part: Part | Path, options: BuildOptions | None = None, graphs: bool = True, progress: Progress = silent
    ) -> None:
        options, part = options or BuildOptions(), Part.of(part)
        self._path, self._toolkit = part.path, load_toolkit(options.package)
        gpu = find_gpu()
        if gpu is None:
            raise EngineError(f"the engine tensorrt can't run {part.path}: there is no NVIDIA GPU, or no driver for it")
        self._cache = PlanCache(describe_machine(self._toolkit.can, gpu))
        self._graphs, self.graph_note = graphs, "" if graphs else "not asked for"
        self._memories: tuple[TensorMemory, ...] = ()
        self._outgrown: tuple[TensorMemory, ...] = ()  # by another thread's batch; the owner frees it
        self._lanes: dict[int, _Lane] = {}
        self._seen: dict[int, int] = {}
        self._runtime_config: Any = None
        self._kernels: Any = None
        self._engine: Any = None
        self._runtime: Any = None
        self._closed = self._released = False
        self.plan: KeptPlan = self._cache.get(part, options, progress)
        self._cuda = CudaOwner()
        self.device = f"{gpu.name} (compute capability {gpu.compute_capability}), {self._toolkit.can.label}"
        try:
            with self._cuda.current():
                self._load(options)
        except BaseException:
            self.close()
            raise
        self.inputs, self.outputs = self._buffers.inputs, self._buffers.outputs
        _left_open.add(self)

    @property
    def captured(self) -> tuple[int, ...]:
        """Batch sizes that run as CUDA graphs."""
        return tuple(sorted(batch for batch, lane in self._lanes.items() if lane.graph is not None))

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs; batches larger than the plan takes are run in pieces.

        Raises:
            EngineError: inputs that do not fit, a failure on the GPU, or a closed engine.
        """
        if self._closed:
            raise EngineError(f"the engine of {self._path} is closed; open the bundle again")
        rows = self._buffers.rows(inputs)
        outputs: dict[str, list[NDArray[Any]]] = {name: [] for name in self.outputs}
        with self._cuda.current():
            for piece in self._buffers.pieces(rows):
                batch = piece.stop - piece.start
                self._make_room(batch)
                for memory in self._memories:
                    spec = memory.buffer.spec
                    if spec.is_input:
                        np.copyto(memory.view(batch), inputs[spec.name][piece] if spec.dynamic else inputs[spec.name])
                self._step(batch)
                for memory in self._memories:
                    if not memory.buffer.spec.is_input:
                        outputs[memory.buffer.spec.name].append(memory.view(batch).copy())
        specs = {spec.name: spec for spec in self._buffers.specs}
        return {
            name: (pieces[0] if len(pieces) == 1 else np.concatenate(pieces))
            if pieces
            else np.zeros(specs[name].at(0), specs[name].dtype)
            for name, pieces in outputs.items()
        }

    def layers(self) -> tuple[LayerInfo, ...]:
        """What each layer of the plan computes in."""
        with self._cuda.current():
            return layers_of(self._toolkit.trt, self._engine)

    def checks(self, inputs: Mapping[str, NDArray[np.float32]], allowed: float) -> tuple[str, ...]:
        """Lines for a shell that check this part on inputs (see `check_lines`); `allowed` is a share of an output."""
        shapes = {spec.name: inputs[spec.name].shape for spec in self._buffers.specs if spec.is_input and spec.dynamic}
        most = {name: allowed * float(np.abs(values).max()) for name, values in self.run(inputs).items()}
        return check_lines(self._path, self.plan.path, self._toolkit.can, shapes=shapes, most=most)

    def close(self) -> None:
        """Free the engine's memory; may be called twice.

        Called by another thread than opened it, it ends the use of the engine, and says that its memory stays taken
        until the process ends: CUDA's context is released by the thread that owns it.
        """
        if self._released:
            return
        if not self._cuda.is_owner:
            if not self._closed:
                logging.getLogger("emer_edge").warning(
                    "the engine of %s was closed by another thread than opened it; its memory is freed at the end",
                    self._path,
                )
                _abandoned.append(self)
            self._closed = True
            return
        self._closed = self._released = True
        _left_open.discard(self)
        try:
            with self._cuda.current():
                self._save_kernels()
                self._drop_lanes()
                self._cuda.free((*self._memories, *self._outgrown))
                self._memories = self._outgrown = ()
                # TensorRT needs its objects gone in this order, while the context is current
                self._kernels = self._runtime_config = self._engine = self._runtime = None
        finally:
            self._cuda.close()

    def _load(self, options: BuildOptions) -> None:
        trt = self._toolkit.trt
        self._toolkit.forget()
        self._runtime = trt.Runtime(self._toolkit.logger)
        self._engine = self._runtime.deserialize_cuda_engine(self.plan.plan)
        if self._engine is None:
            self._refuse("load the plan of")
        self._set_up_kernels()
        specs = tuple(self._spec(self._engine.get_tensor_name(at)) for at in range(self._engine.num_io_tensors))
        least, most = self._profile(specs)
        self._buffers = BufferPlan.of(specs, least, most, self._cuda.integrated, usual=options.usual)
        self._memories = tuple(self._cuda.allocate(buffer) for buffer in self._buffers.buffers)
        self._lanes[0] = self._lane(0)
        for warning in self._toolkit.warnings:
            logging.getLogger("emer_edge").warning("TensorRT on loading %s: %s", self._path.stem, warning)

    def _spec(self, name: str) -> TensorSpec:
        trt, engine = self._toolkit.trt, self._engine
        types = {trt.DataType.FLOAT: np.float32, trt.DataType.HALF: np.float16, trt.DataType.INT32: np.int32}
        dtype = types.get(engine.get_tensor_dtype(name))
        if dtype is None:
            raise EngineError(f"{self._path}: the tensor {name} is {engine.get_tensor_dtype(name)}, which no part has")
        shape = tuple(None if size < 0 else int(size) for size in engine.get_tensor_shape(name))
        return TensorSpec(name, engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT, shape, np.dtype(dtype))

    def _profile(self, specs: tuple[TensorSpec, ...]) -> tuple[int, int]:
        """Smallest and largest batch that every dynamic input takes."""
        shapes = [
            self._engine.get_tensor_profile_shape(spec.name, 0) for spec in specs if spec.is_input and spec.dynamic
        ]
        if not shapes:
            return 1, 1
        return max(int(shape[0][0]) for shape in shapes), min(int(shape[2][0]) for shape in shapes)

    def _set_up_kernels(self) -> None:
        """TensorRT-RTX compiles kernels on the device: at once instead of on the side, and kept between runs."""
        trt = self._toolkit.trt
        if not self._toolkit.can.runtime_cache:
            return
        self._runtime_config = self._engine.create_runtime_config()
        eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        self._runtime_config.dynamic_shapes_kernel_specialization_strategy = eager
        self._kernels = self._runtime_config.create_runtime_cache()
        path = self._cache.runtime_cache_path(self.plan)
        kept = read_private(path) if path is not None else None
        if kept:
            self._kernels.deserialize(kept)  # refused, and begun anew, where it is another GPU's or version's
        self._runtime_config.set_runtime_cache(self._kernels)

    def _save_kernels(self) -> None:
        path = self._cache.runtime_cache_path(self.plan)
        if self._kernels is None or path is None:
            return
        try:
            content = bytes(self._kernels.serialize())
            if content != (read_private(path) or b""):
                write_private(path, content)
        except OSError as error:
            logging.getLogger("emer_edge").warning("compiled kernels can't be kept in %s: %s", path, error)

    def _lane(self, batch: int) -> _Lane:
        configured = () if self._runtime_config is None else (self._runtime_config,)
        context = self._engine.create_execution_context(*configured)
        if context is None:
            self._refuse("make a context of")
        for memory in self._memories:
            if not context.set_tensor_address(memory.buffer.spec.name, memory.address):
                self._refuse("place the tensors of")
        return _Lane(context)

    def _make_room(self, batch: int) -> None:
        grown = self._buffers.grown(batch)
        if grown is self._buffers:
            return
        self._drop_lanes()  # graphs hold the old addresses
        self._outgrown += self._memories
        if self._cuda.is_owner:
            self._cuda.free(self._outgrown)
            self._outgrown = ()
        self._buffers = grown
        self._memories = tuple(self._cuda.allocate(buffer) for buffer in grown.buffers)
        self._lanes[0] = self._lane(0)

    def _step(self, batch: int) -> None:
        """Run on the contents of the host buffers."""
        self._toolkit.forget()
        lane = self._lanes.get(batch)
        if lane is None:
            lane = self._lanes[0]
            self._seen[batch] = self._seen.get(batch, 0) + 1
            if self._graphs and not self.graph_note and self._seen[batch] > _SEEN_BEFORE_CAPTURE:
                lane = self._captured_lane(batch) or lane
        if lane.graph is not None:
            lane.graph.launch(self._cuda.stream.handle)
        else:
            self._enqueue(lane, batch)
        self._cuda.stream.synchronize()

    def _enqueue(self, lane: _Lane, batch: int) -> None:
        if lane.batch != batch:
            for spec in self._buffers.specs:
                if spec.is_input and spec.dynamic and not lane.context.set_input_shape(spec.name, spec.at(batch)):
                    self._refuse(f"take a batch of {batch} in")
            lane.batch = batch
        for memory in self._memories:
            if memory.buffer.spec.is_input:
                self._cuda.upload(memory, batch)
        if not lane.context.execute_async_v3(self._cuda.stream.handle):
            self._refuse("run")
        for memory in self._memories:
            if not memory.buffer.spec.is_input:
                self._cuda.download(memory, batch)

    def _captured_lane(self, batch: int) -> _Lane | None:
        """Capture a batch size in a context of its own, as TensorRT requires; None, and a note, where that fails."""
        if len(self._lanes) > _MOST_GRAPHS:
            return None
        handle = self._cuda.stream.handle
        try:
            lane = self._lane(batch)
            self._enqueue(lane, batch)  # what a new shape changes is done in its first run, which can't be captured
            self._cuda.stream.synchronize()
            capturable = getattr(lane.context, "is_stream_capturable", None)
            if capturable is not None and not capturable(handle):
                self.graph_note = "TensorRT says that this plan can't be captured"
                return None
            lane.graph = load_driver().capture(handle, lambda: self._enqueue(lane, batch))
        except (EngineError, DriverError) as error:
            self.graph_note = f"{error}"
            self._toolkit.forget()
            return None
        self._lanes[batch] = lane
        return lane

    def _drop_lanes(self) -> None:
        for lane in self._lanes.values():
            if lane.graph is not None:
                lane.graph.close()
        self._lanes.clear()

    def _refuse(self, what: str) -> NoReturn:
        raise EngineError(f"{self._toolkit.can.label} can't {what} {self._path}: {self._toolkit.last}")


def _facts() -> str:
    """Package, GPU, module and multiprocessors: a plan is of this and no other kind."""
    here = describe_machine(load_toolkit().can, find_gpu())
    return f"{here.tensorrt} on {here.gpu} of {here.module} with {here.multiprocessors} multiprocessors"


_left_open: weakref.WeakSet[TensorRtEngine] = weakref.WeakSet()
_abandoned: list[TensorRtEngine] = []


@atexit.register
def _close_left_open() -> None:
    """TensorRT's objects must go before Python's modules do, or they complain of a dead context."""
    for engine in list(_left_open):
        engine.close()


DRIVER: Final = EngineDriver(
    name=_NAME,
    title="TensorRT",
    help="TensorRT on an NVIDIA GPU",
    variant=TENSORRT,
    open=_open,
    why_not=why_not,
    package="tensorrt",
    builds=True,
    facts=_facts,
    checks=lambda engine, inputs, allowed: cast(TensorRtEngine, engine).checks(inputs, allowed),
    rank=2,
    fix=install_line("jetson"),
    fix_on_jetson="sudo apt install nvidia-jetpack, and a virtual environment made with --system-site-packages",
)
