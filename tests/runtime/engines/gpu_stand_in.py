"""A GPU played by the CPU: libcuda, pycuda and tensorrt with the calls that the executor makes.

Device memory is host memory, streams are queues that run when they are waited for, and a plan is its ONNX part run by
ONNX Runtime. It shows what the executor itself does: what it allocates, frees, pushes, pops, captures and says. It
shows nothing of CUDA or TensorRT; that is what benchmarks/gpu_check.py is for.
"""

from __future__ import annotations

import base64
import ctypes
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf.message import DecodeError
from tensorrt_api import FLOAT_STATES, Checked, enums, has

from emer_edge.runtime.engines.tensorrt import cuda, toolkit
from emer_edge.runtime.engines.tensorrt.cuda import PROTOTYPES

__all__ = ["Library", "StandIn", "played"]


class Library:
    """Functions with libcuda's names and signatures, in C's calling convention; keeps what was called.

    Args:
        streams: handle -> stream, for capture.
        integrated: what the device says of itself.
        codes: function -> the CUresult that it gives instead of success.
    """

    def __init__(self, streams: dict[int, Stream] | None = None, integrated: bool = True, **codes: int) -> None:
        self.called: list[str] = []
        self.attributes = {75: 8, 76: 7, 18: int(integrated), 16: 16}
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


@contextmanager
def played(gpu: StandIn, patch: pytest.MonkeyPatch, cache: Path, release: str = "10.3.0") -> Iterator[StandIn]:
    """This machine has that GPU, a release of TensorRT, and a cache of its own for a while."""
    load = ctypes.CDLL
    package, module = ModuleType("pycuda"), gpu.pycuda()
    package.driver = module  # type: ignore[attr-defined]
    package.__spec__ = toolkit.find_spec("json")
    patch.setitem(sys.modules, "pycuda", package)
    patch.setitem(sys.modules, "pycuda.driver", module)
    patch.setitem(sys.modules, "tensorrt", gpu.tensorrt(release))
    patch.setattr(cuda.ctypes, "CDLL", lambda name, *more: gpu.library if name == "libcuda.so.1" else load(name, *more))
    patch.setenv("XDG_CACHE_HOME", str(cache))
    cuda.load_driver.cache_clear()
    toolkit._toolkit.cache_clear()
    yield gpu
    cuda.load_driver.cache_clear()
    toolkit._toolkit.cache_clear()


class StandIn:
    """The machine.

    Attributes:
        live: allocations that were not freed.
        retained: contexts that were not released.
        capture_fails, run_fails: what TensorRT refuses.
        warns: what TensorRT warns of when it loads a plan.
    """

    def __init__(self, integrated: bool) -> None:
        self.streams: dict[int, Stream] = {}
        self.live: list[Allocation] = []
        self.retained = 0
        self.capture_fails = self.run_fails = False
        self.warns: list[str] = []
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

    def tensorrt(self, release: str = "10.3.0") -> ModuleType:
        """`tensorrt` of a release: its names and arguments (`tensorrt_api`), and its rules of typing."""
        module = ModuleType("tensorrt")
        module.__spec__ = ModuleSpec("tensorrt", None)

        class Base:
            pass

        class Logger:
            Severity = SimpleNamespace(WARNING=2, ERROR=1, INTERNAL_ERROR=0)

        kinds = {name: SimpleNamespace(**given) for name, given in enums(release).items()}
        trt = _TensorRt(self, release, kinds)
        module.__dict__.update(
            __version__=release,
            ILogger=Logger,
            ITimingCache=Base,
            **({"IProgressMonitor": Base} if has(release, "IProgressMonitor") else {}),
            **kinds,
            Builder=trt.builder,
            OnnxParser=trt.parser,
            Runtime=trt.runtime,
        )
        return module


class _TensorRt:
    """The classes of a release: every object is `Checked` against its data."""

    def __init__(self, gpu: StandIn, release: str, kinds: dict[str, Any]) -> None:
        self._gpu, self._release, self._kinds = gpu, release, kinds
        self._strong = getattr(kinds["NetworkDefinitionCreationFlag"], "STRONGLY_TYPED", None)
        self._parts: dict[int, bytes] = {}

    def _object(self, kind: str, **behaviour: Any) -> Any:
        return Checked(self._release, kind, **behaviour)

    def builder(self, logger: Any) -> Any:
        return self._object(
            "Builder",
            create_network=self._network,
            create_builder_config=self._config,
            create_optimization_profile=self._profile,
            build_serialized_network=self._build,
        )

    def _network(self, flags: int = 0) -> Any:
        assert flags == 1 << (self._strong or 0), "types are strong where they can be, and the batch is explicit"
        content: dict[str, Any] = {"num_inputs": 0, "num_layers": 0}
        return self._object("INetworkDefinition", **content)

    def _config(self) -> Any:
        cache = self._object("ITimingCache", serialize=lambda: b"kernel timings")
        shapes: dict[str, Any] = {}
        config = self._object(
            "IBuilderConfig",
            add_optimization_profile=lambda profile: shapes.update(profile._does["shapes"]),
            create_timing_cache=lambda known: cache,
            set_timing_cache=lambda given, ignore: True,
            set_flag=lambda flag: None,
        )
        config._does["shapes"] = shapes
        return config

    def _profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return self._object(
            "IOptimizationProfile",
            set_shape=lambda name, *given: shapes.update({name: [list(shape) for shape in given]}),
            shapes=shapes,
        )

    def _build(self, network: Any, config: Any) -> bytes:
        monitor = config._does.get("progress_monitor")
        if monitor is not None:
            monitor.phase_start("build", None, 1)
            monitor.step_complete("build", 0)
            monitor.phase_finish("build")
        part = base64.b64encode(network._does["part"]).decode()
        return json.dumps({"part": part, "profile": config._does["shapes"]}).encode()

    def parser(self, network: Any, logger: Any) -> Any:
        errors: list[str] = []

        def parse(content: bytes, path: str | None = None) -> bool:
            try:
                model = onnx.load_from_string(bytes(content))
            except DecodeError:
                errors.append("no network")
                does["num_errors"] = 1
                return False
            errors.extend(self._type_errors(model))
            does["num_errors"] = len(errors)
            if errors:
                return False
            try:
                session = onnxruntime.InferenceSession(bytes(content), providers=["CPUExecutionProvider"])
            except Exception:  # its exceptions share no public base
                errors.append("no importer for it")
                does["num_errors"] = 1
                return False
            inputs = [
                self._object("ITensor", name=each.name, shape=_shape(each), dtype=0) for each in session.get_inputs()
            ]
            layers = self._layers(model)
            network._does.update(
                part=bytes(content),
                num_inputs=len(inputs),
                get_input=inputs.__getitem__,
                num_layers=len(layers),
                get_layer=layers.__getitem__,
            )
            return True

        def error(index: int) -> Any:
            return self._object("ParserError", desc=lambda: errors[index], node=lambda: 0, node_name=lambda: "node",
                                node_operator=lambda: "LSTM")  # fmt: skip

        parser = self._object("OnnxParser", parse=parse, get_error=error, num_errors=0)
        does = parser._does
        return parser

    def _type_errors(self, model: onnx.ModelProto) -> list[str]:
        """What a strongly typed network refuses; a weakly typed one casts by itself."""
        if self._strong is None:
            return []
        kinds = {constant.name: constant.data_type for constant in model.graph.initializer}
        if self._release in FLOAT_STATES:
            for node in model.graph.node:
                missing = node.op_type == "LSTM" and not (len(node.input) > 6 and node.input[5] and node.input[6])
                if missing and kinds[node.input[2]] != onnx.TensorProto.FLOAT:
                    return ["IMatrixMultiplyLayer must have same input types"]
        try:
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        except onnx.shape_inference.InferenceError as refusal:
            return [str(refusal)]
        return []

    def _layers(self, model: onnx.ModelProto) -> list[Any]:
        inferred = onnx.shape_inference.infer_shapes(model).graph
        named = [*inferred.value_info, *inferred.output, *inferred.input]
        types = {value.name: value.type.tensor_type.elem_type for value in named}
        data, kinds = self._kinds["DataType"], self._kinds["LayerType"]
        known = {onnx.TensorProto.FLOAT: data.FLOAT, onnx.TensorProto.FLOAT16: data.HALF}
        spelt = {
            "Conv": kinds.CONVOLUTION,
            "Cast": kinds.CAST,
            "QuantizeLinear": kinds.QUANTIZE,
            "DequantizeLinear": kinds.DEQUANTIZE,
        }
        layers = []
        for node in model.graph.node:
            tensors = {
                side: [
                    self._object("ITensor", name=each, dtype=known.get(types.get(each), data.INT8)) for each in names
                ]
                for side, names in (("input", node.input), ("output", node.output))
            }
            layer = self._object(
                "ILayer",
                name=node.name,
                type=spelt.get(node.op_type, kinds.SHUFFLE),
                num_inputs=len(node.input),
                num_outputs=len(node.output),
                get_input=tensors["input"].__getitem__,
                get_output=tensors["output"].__getitem__,
                set_output_type=lambda index, dtype: None,
            )
            layers.append(layer)
        return layers

    def runtime(self, logger: Any) -> Any:
        def load(plan: bytes) -> Any:
            self._gpu.need_context()
            for warning in self._gpu.warns:
                logger.log(2, warning)
            engine = _Engine(self._gpu, logger, json.loads(plan))
            return self._object("ICudaEngine", num_io_tensors=engine.num_io_tensors, **self._behaviour(engine))

        return self._object("Runtime", deserialize_cuda_engine=load)

    def _behaviour(self, engine: _Engine) -> dict[str, Any]:
        def context() -> Any:
            made = engine.create_execution_context()
            names = ("set_tensor_address", "set_input_shape", "execute_async_v3")
            return self._object("IExecutionContext", **{name: getattr(made, name) for name in names})

        def inspector() -> Any:
            layers = {
                "Layers": [{"Name": "conv", "LayerType": "Conv", "Inputs": [{"Datatype": "Half"}], "Outputs": []}]
            }
            return self._object("EngineInspector", get_engine_information=lambda kind: json.dumps(layers))

        mode = self._kinds["TensorIOMode"]
        return {
            "get_tensor_name": engine.get_tensor_name,
            "get_tensor_mode": lambda name: mode.INPUT if name in engine.inputs else mode.OUTPUT,
            "get_tensor_dtype": lambda name: self._kinds["DataType"].FLOAT,
            "get_tensor_shape": engine.get_tensor_shape,
            "get_tensor_profile_shape": engine.get_tensor_profile_shape,
            "create_execution_context": context,
            "create_engine_inspector": inspector,
        }


class _Engine:
    def __init__(self, gpu: StandIn, logger: Any, plan: dict[str, Any]) -> None:
        self.gpu, self.logger, self._profile = gpu, logger, plan["profile"]
        self.session = onnxruntime.InferenceSession(base64.b64decode(plan["part"]), providers=["CPUExecutionProvider"])
        self.inputs = {each.name: _shape(each) for each in self.session.get_inputs()}
        self._tensors = {**self.inputs, **{each.name: _shape(each) for each in self.session.get_outputs()}}
        self.num_io_tensors = len(self._tensors)

    def get_tensor_name(self, at: int) -> str:
        return list(self._tensors)[at]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name]

    def get_tensor_profile_shape(self, name: str, profile: int) -> Any:
        return self._profile[name]

    def create_execution_context(self) -> _Context:
        self.gpu.need_context()
        return _Context(self)


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
