"""TensorRT played by ONNX Runtime, for `gpu_stand_in`: a release's names, arguments and rules of typing."""

from __future__ import annotations

import base64
import ctypes
import json
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from tensorrt_api import FLOAT_STATES, Checked, enums, has

if TYPE_CHECKING:
    from gpu_stand_in import StandIn

__all__ = ["tensorrt_module"]


def tensorrt_module(gpu: StandIn, release: str) -> ModuleType:
    """`tensorrt` of a release: its names and arguments (`tensorrt_api`), and its rules of typing."""
    module = ModuleType("tensorrt")
    module.__spec__ = ModuleSpec("tensorrt", None)

    class Base:
        pass

    class Logger:
        Severity = SimpleNamespace(WARNING=2, ERROR=1, INTERNAL_ERROR=0)

    kinds = {name: SimpleNamespace(**given) for name, given in enums(release).items()}
    trt = _TensorRt(gpu, release, kinds)
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
