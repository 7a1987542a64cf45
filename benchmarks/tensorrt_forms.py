"""What NVIDIA's builder makes of the forms that a TensorRT part could have, without a GPU.

Fusion: LSTM operators as version 0.1.0 wrote them, operators with zero states of their own type, and unrolled. The INT8
encoder: how 0.1.0 wrote it, and the attempts to have its convolutions hand INT8 or FP16 on instead of FP32. Types are
those that the builder's verbose log names; its list of the encoder's layers is kept beside the figures. These are
counts, sizes and CPU time only, so it may run beside other programs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.common import RESULTS, console
from emer_edge.calibration.measurement import collect_histograms, ranges_of
from emer_edge.export.parts.face_parts import face_encoder
from emer_edge.export.parts.fusion import fusion, high_precision_nodes
from emer_edge.export.parts.unrolled_lstms import unroll_lstms
from emer_edge.export.precision.fp16 import to_fp16
from emer_edge.export.precision.int8 import activations_to_quantise, quantise
from emer_edge.export.verification import seeded_windows
from emer_edge.model.emert import Emert
from emer_edge.runtime.engines.tensorrt.plan_tensors import LayerInfo, layers_in_log
from emer_edge.runtime.engines.tensorrt.toolkit import find_tensorrt, load_toolkit

__all__ = ["build_as_given", "fusion_forms", "int8_forms", "with_zero_states"]


def main() -> int:
    """Run it; return the exit code."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if find_tensorrt() is None:
        console.print("tensorrt_forms: neither tensorrt nor tensorrt_rtx is here: pip install '.[rtx]'")
        return 2
    model = Emert("nine").eval()
    rows: list[dict[str, Any]] = []
    log: list[str] = []
    for part, forms in (("fusion", fusion_forms(fusion(model))), ("face_encoder", int8_forms(face_encoder(model)))):
        for form, precision, network in forms:
            figures, layers = build_as_given(network)
            row = {"part": part, "form": form, "precision": precision, "nodes": len(network.graph.node), **figures}
            console.print(", ".join(f"{name} {value}" for name, value in row.items()), highlight=False, soft_wrap=True)
            rows.append(row)
            if part == "face_encoder":
                log.append(form)
                log += [f"  {one.kind} {one.name}: {' '.join(one.inputs)} -> {' '.join(one.outputs)}" for one in layers]
    (RESULTS / "tensorrt_forms.log").write_text("\n".join(log) + "\n")
    document = {"benchmark": "tensorrt_forms", "package": load_toolkit().can.label, "rows": rows}
    (RESULTS / "tensorrt_forms.json").write_text(json.dumps(document, indent=2) + "\n")
    return int(any("error" in row for row in rows))


def build_as_given(model: onnx.ModelProto) -> tuple[dict[str, Any], tuple[LayerInfo, ...]]:
    """Parse and build a network, whatever rule it breaks, and return figures and the plan's layers."""
    toolkit = load_toolkit()
    trt = toolkit.trt
    toolkit.forget()
    began_s = time.process_time()
    builder = trt.Builder(toolkit.logger)
    network = builder.create_network(toolkit.can.network_flags)
    parser = trt.OnnxParser(network, toolkit.logger)
    if not parser.parse(model.SerializeToString()):
        return {"error": parser.get_error(0).desc()}, ()
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for number in range(network.num_inputs):
        tensor = network.get_input(number)
        profile.set_shape(tensor.name, *([size, *tuple(tensor.shape)[1:]] for size in (1, 1, 16)))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return {"error": toolkit.last}, ()
    kinds = Counter(network.get_layer(at).type.name for at in range(network.num_layers))
    layers = layers_in_log(toolkit.logger.layers)
    convolutions = Counter(f"{one.inputs[0]} to {one.outputs[0]}" for one in layers if one.convolves)
    return {
        "layers": len(layers),
        "loops": kinds["TRIP_LIMIT"],
        "convolutions": ", ".join(f"{count} {types}" for types, count in convolutions.items()),
        "requantising": sum(one.requantises for one in layers),
        "cpu_seconds": round(time.process_time() - began_s, 1),
        "plan_mb": round(plan.nbytes / 1e6, 2),
    }, layers


def fusion_forms(operators: onnx.ModelProto) -> Iterator[tuple[str, str, onnx.ModelProto]]:
    """Form, precision and network of every way to write the LSTMs."""
    unrolled = unroll_lstms(operators)
    yield "operators", "fp32", operators
    yield "operators with zero states", "fp32", with_zero_states(operators)
    yield "unrolled", "fp32", unrolled
    half = to_fp16(operators, high_precision_nodes(operators))
    yield "operators", "fp16", half
    yield "operators with zero states", "fp16", with_zero_states(half)
    yield "unrolled", "fp16", to_fp16(unrolled, high_precision_nodes(unrolled))


def with_zero_states(model: onnx.ModelProto, other_type: bool = False) -> onnx.ModelProto:
    """A copy whose LSTM operators begin with zeros (1, N, hidden) of their own type, or of the `other_type`."""
    copy = deepcopy(model)
    constants = {constant.name: constant for constant in copy.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        if node.op_type == "LSTM":
            kind, weight = constants[node.input[2]].data_type, constants[node.input[2]]
            if other_type:
                kind = TensorProto.FLOAT16 if kind == TensorProto.FLOAT else TensorProto.FLOAT
            x, name = node.input[0], node.name
            for key, values in (("one", [1]), ("hidden", [weight.dims[2]])):
                copy.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), f"{name}.{key}"))
            nodes += [
                helper.make_node("Shape", [x], [f"{name}.shape"], name=f"{name}.shape"),
                helper.make_node("Gather", [f"{name}.shape", f"{name}.one"], [f"{name}.n"], name=f"{name}.n"),
                helper.make_node(
                    "Concat", [f"{name}.{key}" for key in ("one", "n", "hidden")], [f"{name}.size"], axis=0
                ),
                helper.make_node(
                    "ConstantOfShape",
                    [f"{name}.size"],
                    [f"{name}.zeros"],
                    name=f"{name}.zeros",
                    value=helper.make_tensor("value", kind, [1], [0.0]),
                ),
            ]
            node.input.extend(["", f"{name}.zeros", f"{name}.zeros"])
        nodes.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def int8_forms(
    encoder: onnx.ModelProto, shipped: onnx.ModelProto | None = None
) -> Iterator[tuple[str, str, onnx.ModelProto]]:
    """Name, precision and network of every way to place Q/DQ, steps and Casts.

    `shipped` is the quantised encoder before its Casts; by default one with ranges of seeded crops.
    """
    if shipped is None:
        crops = seeded_windows(2)[0].reshape(-1, 3, 112, 112)
        tensors = sorted(activations_to_quantise(encoder, "tensorrt"))
        ranges = ranges_of(collect_histograms(encoder, tensors, [{"face": crops}]), "minmax")
        shipped = quantise(encoder, ranges, "tensorrt")
    by_channel, one = _folded(shipped, per_channel=True), _folded(shipped, per_channel=False)
    yield "0.1.0: a step per channel, FP32 between", "int8", by_channel
    yield "attempt 1: a step per channel, FP16 between", "int8", to_fp16(by_channel, {"projection"})
    yield "attempt 2: one step a tensor, FP32 between", "int8", one
    yield "attempt 3: one step a tensor, FP16 between", "int8", to_fp16(one, {"projection"})
    yield "one step and a gain per channel, FP32 between", "int8", shipped
    yield "kept: one step and a gain per channel, FP16 between", "int8", to_fp16(shipped, {"projection"})


def _folded(model: onnx.ModelProto, per_channel: bool) -> onnx.ModelProto:
    """Put gains back into the weights' steps (or drop them: the types are right then, not the numbers)."""
    copy = deepcopy(model)
    constants = {constant.name: constant for constant in copy.graph.initializer}

    def value(name: str) -> Any:
        return numpy_helper.to_array(constants[name])

    def put(name: str, values: Any) -> None:
        constants[name].CopyFrom(numpy_helper.from_array(values, name))

    after: dict[str, list[onnx.NodeProto]] = {}
    for node in copy.graph.node:
        for end in (".scaled", ".shifted"):
            if node.name.endswith(end):
                after.setdefault(node.name.removesuffix(end), []).append(node)
    kept = [node for node in copy.graph.node if not node.name.endswith((".scaled", ".shifted"))]
    for node in kept:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            layer = node.name.removesuffix(".weight.dequantize")
            step = value(node.input[1])
            if per_channel:
                step = step * value(f"{layer}.gain").reshape(-1)
            put(node.input[1], step)
            put(node.input[2], np.zeros(step.shape, np.int8))
            del node.attribute[:]
            if step.ndim:
                node.attribute.append(helper.make_attribute("axis", 0))
        elif node.op_type == "Conv" and node.name in after:
            node.output[0] = after[node.name][-1].output[0]
            shift = after[node.name][-1].input[1]
            put(shift, value(shift).reshape(-1))
            node.input.append(shift)
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    rest = [constant for constant in copy.graph.initializer if constant.name in used]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(rest)
    return copy


if __name__ == "__main__":
    sys.exit(main())
