"""A GPU played by the CPU: libcuda, pycuda and tensorrt with the calls that the executor makes.

Device memory is host memory, streams are queues that run when they are waited for, and a plan is its ONNX part run by
ONNX Runtime. It shows what the executor itself does: what it allocates, frees, pushes, pops, captures and says. It
shows nothing of CUDA or TensorRT; that is what benchmarks/gpu_check.py is for.
"""

from __future__ import annotations

import base64
import ctypes
import json
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from emer_edge.runtime.engines.tensorrt.cuda import PROTOTYPES

__all__ = ["Library", "StandIn"]


class Library:
    """Functions with libcuda's names and signatures, in C's calling convention; keeps what was called.

    Args:
        streams: handle -> stream, for capture.
        integrated: what the device says of itself.
        codes: function -> the CUresult that it gives instead of success.
    """

    def __init__(self, streams: dict[int, Stream] | None = None, integrated: bool = True, **codes: int) -> None:
        self.called: list[str] = []
        self.attributes = {75: 8, 76: 7, 18: int(integrated)}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self._streams = streams if streams is not None else {}
        for name, arguments in PROTOTYPES.items():
            kind = ctypes.CFUNCTYPE(ctypes.c_int, *arguments)
            setattr(self, name, kind(self._function(name, codes.get(name, 0))))

    def _function(self, name: str, code: int) -> Callable[..., int]:
        def call(*given: Any) -> int:
            self.called.append(name)
            if not code:
                self._do(name, given)
            elif name == "cuStreamEndCapture" and given[0] in self._streams:
                self._streams[given[0]].captured = None
            return code

        return call

    def _do(self, name: str, given: tuple[Any, ...]) -> None:
        stream = self._streams.get(given[0]) if name.startswith("cuStream") else None
        if name == "cuDriverGetVersion":
            given[0][0] = 12060
        elif name == "cuDeviceGetCount":
            given[0][0] = 1
        elif name == "cuDeviceGetName":
            ctypes.memmove(given[0], b"Orin\0", 5)
        elif name == "cuDeviceGetAttribute":
            given[0][0] = self.attributes[given[1]]
        elif name == "cuGetErrorName":
            given[1][0] = b"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"
        elif name == "cuStreamBeginCapture_v2" and stream is not None:
            stream.captured = []
        elif name == "cuStreamEndCapture":
            number = len(self.graphs) + 1
            self.graphs[number] = (stream.captured or []) if stream is not None else []
            given[1][0] = number
            if stream is not None:
                stream.captured = None
        elif name == "cuGraphInstantiateWithFlags":
            given[0][0] = given[1]
        elif name == "cuGraphLaunch" and given[1] in self._streams:
            self._streams[given[1]].queued += self.graphs[given[0]]


class Stream:
    """A queue."""

    def __init__(self, gpu: StandIn, flags: int = 0) -> None:
        gpu.need_context()
        self._gpu, self.flags, self.handle = gpu, flags, id(self)
        self.queued: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None
        gpu.streams[self.handle] = self

    def put(self, work: Callable[[], None]) -> None:
        (self.queued if self.captured is None else self.captured).append(work)

    def synchronize(self) -> None:
        self._gpu.need_context()
        assert self.captured is None, "waited for a stream in capture"
        for each in self.queued:
            each()
        self.queued.clear()


class Allocation:
    """Host or device memory."""

    def __init__(self, gpu: StandIn, size: int, flags: int = 0) -> None:
        gpu.need_context()
        self._gpu, self.flags, self.memory = gpu, flags, ctypes.create_string_buffer(int(size))
        gpu.live.append(self)

    def free(self) -> None:
        self._gpu.need_context()
        self._gpu.live.remove(self)

    def __int__(self) -> int:
        return ctypes.addressof(self.memory)

    get_device_pointer = __int__


class StandIn:
    """The machine.

    Attributes:
        live: allocations that were not freed.
        retained: contexts that were not released.
        capture_fails, run_fails: what TensorRT refuses.
    """

    def __init__(self, integrated: bool) -> None:
        self.streams: dict[int, Stream] = {}
        self.live: list[Allocation] = []
        self.retained = 0
        self.capture_fails = self.run_fails = False
        self._stacks = threading.local()
        self.library = Library(self.streams, integrated)

    @property
    def stack(self) -> list[Any]:
        """Contexts pushed in this thread."""
        if not hasattr(self._stacks, "contexts"):
            self._stacks.contexts = []
        contexts: list[Any] = self._stacks.contexts
        return contexts

    def need_context(self) -> None:
        """What every call of pycuda asks for."""
        assert self.stack, "no context is current"

    def pycuda(self) -> ModuleType:
        """`pycuda.driver`."""
        gpu = self

        class Error(Exception):
            pass

        class Context:
            def __init__(self) -> None:
                self._thread = threading.get_ident()
                gpu.retained += 1

            def push(self) -> None:
                gpu.stack.append(self)

            @staticmethod
            def pop() -> None:
                gpu.stack.pop()

            def detach(self) -> None:
                assert threading.get_ident() == self._thread
                gpu.retained -= 1

        def device(number: int) -> Any:
            attribute = gpu.library.attributes.__getitem__
            return SimpleNamespace(get_attribute=attribute, retain_primary_context=Context)

        def page_locked(elements: int, dtype: Any, mem_flags: int = 0) -> Any:
            allocation = Allocation(gpu, elements * np.dtype(dtype).itemsize, mem_flags)

            class Array(np.ndarray):  # type: ignore[type-arg]
                base = allocation  # type: ignore[assignment]

            return np.frombuffer(allocation.memory, dtype).view(Array)

        def copy(target: int, source: int, size: int, stream: Stream) -> None:
            gpu.need_context()
            stream.put(lambda: ctypes.memmove(target, source, size) and None)

        module = ModuleType("pycuda.driver")
        module.__dict__.update(
            Error=Error,
            Context=Context,
            Device=device,
            Stream=lambda flags=0: Stream(gpu, flags),
            init=lambda: None,
            mem_alloc=lambda size: Allocation(gpu, size),
            pagelocked_empty=page_locked,
            memcpy_htod_async=lambda to, array, stream: copy(int(to), array.ctypes.data, array.nbytes, stream),
            memcpy_dtoh_async=lambda array, of, stream: copy(array.ctypes.data, int(of), array.nbytes, stream),
            device_attribute=SimpleNamespace(INTEGRATED=18),
            host_alloc_flags=SimpleNamespace(DEVICEMAP=2),
        )
        return module

    def tensorrt(self) -> ModuleType:
        """`tensorrt`, version 10."""
        module = ModuleType("tensorrt")
        module.__spec__ = ModuleSpec("tensorrt", None)

        class Base:
            pass

        class Logger:
            Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0)

        module.__dict__.update(
            __version__="10.3.0",
            ILogger=Logger,
            IProgressMonitor=Base,
            NetworkDefinitionCreationFlag=SimpleNamespace(EXPLICIT_BATCH=0, STRONGLY_TYPED=1),
            BuilderFlag=SimpleNamespace(FP16=0, INT8=1, TF32=2),
            MemoryPoolType=SimpleNamespace(WORKSPACE=0),
            ProfilingVerbosity=SimpleNamespace(DETAILED=1),
            DataType=SimpleNamespace(FLOAT=0, HALF=1, INT32=3),
            TensorIOMode=SimpleNamespace(INPUT=1, OUTPUT=2),
            LayerInformationFormat=SimpleNamespace(JSON=1),
            Builder=_Builder,
            OnnxParser=_Parser,
            Runtime=lambda logger: _Runtime(self, logger),
        )
        return module


class _Builder:
    def __init__(self, logger: Any) -> None:
        pass

    def create_network(self, flags: int) -> Any:
        assert flags == 1 << 1
        return SimpleNamespace(num_inputs=0)

    def create_builder_config(self) -> Any:
        def nothing(*given: Any) -> None:
            pass

        config = SimpleNamespace(set_memory_pool_limit=nothing, clear_flag=nothing, profile={})
        config.add_optimization_profile = config.profile.update
        return config

    def create_optimization_profile(self) -> Any:
        class Profile(dict[str, Any]):
            def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
                self[name] = shapes

        return Profile()

    def build_serialized_network(self, network: Any, config: Any) -> bytes:
        config.progress_monitor.phase_start("build", None, 1)
        config.progress_monitor.step_complete("build", 0)
        config.progress_monitor.phase_finish("build")
        return json.dumps({"part": base64.b64encode(network.part).decode(), "profile": config.profile}).encode()


class _Parser:
    num_errors = 0

    def __init__(self, network: Any, logger: Any) -> None:
        self._network = network

    def parse(self, part: bytes) -> bool:
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
        inputs = [SimpleNamespace(name=each.name, shape=_shape(each)) for each in session.get_inputs()]
        self._network.part, self._network.num_inputs = part, len(inputs)
        self._network.get_input = inputs.__getitem__
        return True


class _Runtime:
    def __init__(self, gpu: StandIn, logger: Any) -> None:
        self._gpu, self._logger = gpu, logger

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        self._gpu.need_context()
        return _Engine(self._gpu, self._logger, json.loads(plan))


class _Engine:
    def __init__(self, gpu: StandIn, logger: Any, plan: dict[str, Any]) -> None:
        self.gpu, self.logger, self._profile = gpu, logger, plan["profile"]
        self.session = onnxruntime.InferenceSession(base64.b64decode(plan["part"]), providers=["CPUExecutionProvider"])
        self.inputs = {each.name: _shape(each) for each in self.session.get_inputs()}
        self._tensors = {**self.inputs, **{each.name: _shape(each) for each in self.session.get_outputs()}}
        self.num_io_tensors = len(self._tensors)

    def get_tensor_name(self, at: int) -> str:
        return list(self._tensors)[at]

    def get_tensor_mode(self, name: str) -> int:
        return 1 if name in self.inputs else 2

    def get_tensor_dtype(self, name: str) -> int:
        return 0

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name]

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        return self._profile[name]

    def create_execution_context(self) -> _Context:
        self.gpu.need_context()
        return _Context(self)

    def create_engine_inspector(self) -> Any:
        layers = {"Layers": [{"Name": "conv", "LayerType": "Conv", "Inputs": [{"Datatype": "Half"}], "Outputs": []}]}
        return SimpleNamespace(get_engine_information=lambda kind: json.dumps(layers))


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine, self._addresses, self._shapes = engine, dict[str, int](), dict(engine.inputs)
        self._settled = False

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name], self._settled = shape, False
        return True

    def execute_async_v3(self, handle: int) -> bool:
        gpu, stream = self._engine.gpu, self._engine.gpu.streams[handle]
        gpu.need_context()
        if stream.captured is not None:
            assert self._settled, "captured before a shape's first run"
        if gpu.run_fails or (gpu.capture_fails and stream.captured is not None):
            self._engine.logger.log(1, "operation not permitted when stream is capturing")
            return False
        self._settled = True
        shapes = dict(self._shapes)
        stream.put(lambda: self._compute(shapes))
        return True

    def _compute(self, shapes: dict[str, tuple[int, ...]]) -> None:
        given = {}
        for name, shape in shapes.items():
            pointer = ctypes.cast(self._addresses[name], ctypes.POINTER(ctypes.c_float))
            given[name] = np.ctypeslib.as_array(pointer, shape).copy()
        outputs = [each.name for each in self._engine.session.get_outputs()]
        for name, value in zip(outputs, self._engine.session.run(outputs, given), strict=True):
            value = np.ascontiguousarray(value)
            ctypes.memmove(self._addresses[name], value.ctypes.data, value.nbytes)


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(each if isinstance(each, int) else -1 for each in tensor.shape)
