"""ONNX graphs: a builder that writes them node by node, and an index of one that exists.

The parts are written, not traced: every shape is static but N, so no shape arithmetic is ever needed, batch norm is
folded on the way, and each node carries the name of the layer that it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from emer_edge.core.errors import ConfigurationError

OPSET: Final = 17
IR_VERSION: Final = 8
"""The IR version that belongs to opset 17: what TensorRT 8.6 and every ONNX Runtime since 1.12 read."""
_BATCH_AXIS: Final = "N"


class GraphBuilder:
    """Collects `nodes` and `constants` of one graph. Names of nodes are also the names of their single outputs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, *shape: int) -> str:
        """Declare a float32 input of shape (N, *shape)."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [_BATCH_AXIS, *shape]))
        return name

    def output(self, name: str, *shape: int) -> None:
        """Declare a tensor an output, float32 of shape (N, *shape)."""
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [_BATCH_AXIS, *shape]))

    def constant(self, name: str, value: NDArray[Any] | Sequence[int] | float) -> str:
        """Store a constant once: floats as float32, whole numbers as int64."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(
        self, op: str, inputs: Sequence[str], name: str, outputs: Sequence[str] | None = None, **given: Any
    ) -> str:
        """Append a node; returns its first output's name (`name` unless `outputs` says otherwise)."""
        produced = list(outputs) if outputs is not None else [name]
        self.nodes.append(helper.make_node(op, list(inputs), produced, name=name, **given))
        return next(output for output in produced if output)

    def layer(
        self, op: str, x: str, name: str, constants: Mapping[str, NDArray[Any]], *, output: str = "", **given: Any
    ) -> str:
        """Append a node on `x` and constants, such as `weight` and `bias`, which are stored as `NAME.weight`."""
        inputs = [x, *(self.constant(f"{name}.{key}", value) for key, value in constants.items())]
        return self.node(op, inputs, name, [output or name], **given)

    def reshape(self, value: str, name: str, shape: Sequence[int]) -> str:
        """Reshape to constant dimensions: 0 keeps an axis, -1 takes what is left."""
        return self.node("Reshape", [value, self.constant(f"{name}.shape", list(shape))], name)

    def transpose(self, value: str, name: str, axes: Sequence[int]) -> str:
        """Permute axes."""
        return self.node("Transpose", [value], name, perm=list(axes))

    def build(self) -> onnx.ModelProto:
        """Return the checked model.

        Raises:
            onnx.checker.ValidationError: the graph is not valid ONNX.
        """
        graph = helper.make_graph(self.nodes, self.name, self._inputs, self._outputs, list(self.constants.values()))
        model = helper.make_model(graph, producer_name="emer-edge", opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model


class GraphIndex:
    """Constants, inputs and outputs of a graph, and who makes each tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.constants: dict[str, onnx.TensorProto] = {constant.name: constant for constant in graph.initializer}
        self.inputs = {value.name for value in graph.input} - set(self.constants)
        self.outputs = {output.name for output in graph.output}
        self.producer: dict[str, onnx.NodeProto] = {name: node for node in graph.node for name in node.output}

    def made_by(self, tensor: str, *ops: str) -> bool:
        """Whether a node of one of these types produces the tensor."""
        return tensor in self.producer and self.producer[tensor].op_type in ops

    def dequantised(self, tensor: str) -> bool:
        """Whether a DequantizeLinear produces the tensor, by itself or through a Cast."""
        if self.made_by(tensor, "Cast"):
            tensor = self.producer[tensor].input[0]
        return self.made_by(tensor, "DequantizeLinear")

    def array(self, name: str) -> NDArray[Any]:
        """Value of a constant."""
        return numpy_helper.to_array(self.constants[name])


def array(tensor: Tensor | None) -> NDArray[np.float64]:
    """A parameter as float64, in which everything is folded."""
    if tensor is None:
        raise ConfigurationError("a layer to export lacks a parameter")
    return cast("NDArray[np.float64]", tensor.detach().cpu().double().numpy())


def rewritten(
    model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], constants: Iterable[onnx.TensorProto]
) -> onnx.ModelProto:
    """A copy with other nodes and constants."""
    copy = deepcopy(model)
    del copy.graph.node[:], copy.graph.initializer[:]
    copy.graph.node.extend(nodes)
    copy.graph.initializer.extend(constants)
    return copy


def still_used(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> list[onnx.TensorProto]:
    """The model's constants that some nodes read."""
    used = {name for node in nodes for name in node.input}
    return [constant for constant in model.graph.initializer if constant.name in used]
