"""The LSTM importer of TensorRT's ONNX parser, replayed layer by layer on a strongly typed network.

Parsers of 10.1 to 10.6 give a missing initial state FLOAT zeros, whatever the type of the operator; from 10.15 on they
take the operator's type. tensorrt_rtx has the newer parser, but the same strongly typed network underneath: what it
refuses here, it refused there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from emer_edge.runtime.engines.tensorrt.toolkit import load_toolkit

__all__ = ["replay_lstm"]


def replay_lstm(model: onnx.ModelProto, steps: int, missing: Any = np.float32) -> str | None:
    """Import the model's first LSTM operator as those parsers do, and build it; None, or TensorRT's refusal.

    Args:
        model: a part.
        steps: rows that the LSTM reads.
        missing: type of the zeros for a state that is not given; given ones have the weights' type here.
    """
    node = next(node for node in model.graph.node if node.op_type == "LSTM")
    constants = {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}
    weight, recurrence = constants[node.input[1]], constants[node.input[2]]
    hidden, inputs = recurrence.shape[2], weight.shape[2]
    toolkit = load_toolkit()
    trt = toolkit.trt
    toolkit.forget()
    builder = trt.Builder(toolkit.logger)
    network = builder.create_network(toolkit.can.network_flags)

    def constant(values: Any) -> Any:
        return network.add_constant(values.shape, np.ascontiguousarray(values)).get_output(0)

    def state(at: int) -> Any:
        given = len(node.input) > at and bool(node.input[at])
        return constant(np.zeros((1, 1, hidden), weight.dtype if given else missing))

    half = weight.dtype == np.float16
    x = network.add_input("x", trt.DataType.HALF if half else trt.DataType.FLOAT, (steps, 1, inputs))
    loop = network.add_loop()
    loop.add_trip_limit(constant(np.array(steps, np.int32)), trt.TripLimit.COUNT)
    row = network.add_shuffle(loop.add_iterator(x).get_output(0))
    row.reshape_dims = (1, 1, inputs)
    last, cell = loop.add_recurrence(state(5)), loop.add_recurrence(state(6))
    plain, turned = trt.MatrixOperation.NONE, trt.MatrixOperation.TRANSPOSE
    given = network.add_matrix_multiply(row.get_output(0), plain, constant(weight), turned)
    kept = network.add_matrix_multiply(last.get_output(0), plain, constant(recurrence), turned)
    if given is None or kept is None:
        return toolkit.last
    each, kinds = trt.ElementWiseOperation, trt.ActivationType

    def join(one: Any, other: Any, how: Any) -> Any:
        return network.add_elementwise(one, other, how).get_output(0)

    def bent(value: Any, how: Any) -> Any:
        return network.add_activation(value, how).get_output(0)

    gates = join(given.get_output(0), kept.get_output(0), each.SUM)
    parts = [network.add_slice(gates, (0, 0, at * hidden), (1, 1, hidden), (1, 1, 1)).get_output(0) for at in range(4)]
    into, out, keep = (bent(part, kinds.SIGMOID) for part in parts[:3])
    fresh = join(into, bent(parts[3], kinds.TANH), each.PROD)
    new = join(join(keep, cell.get_output(0), each.PROD), fresh, each.SUM)
    result = join(out, bent(new, kinds.TANH), each.PROD)
    cell.set_input(1, new)
    last.set_input(1, result)
    output = loop.add_loop_output(result, trt.LoopOutput.CONCATENATE, 0)
    output.set_input(1, constant(np.array(steps, np.int32)))
    network.mark_output(output.get_output(0))
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    return toolkit.last if plan is None else None
