"""Fusion with its LSTMs unrolled, for TensorRT: plain products and activations instead of ONNX's LSTM operator.

TensorRT imports the operator as loops, which can't be captured in a CUDA graph, and its versions differ in the type of
the zeros that they begin with. All layers of both streams advance together along the diagonal: layer l of step t - l at
the same time, so that three layers of 32 steps take 34 products one after the other instead of 96 for each stream.

The first layer's products of columns are limited to +-32,768 in FP32 before they may become FP16: no gate tells such a
number from a larger one, and FP16 ends at 65,504.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from emer_edge.core.window import EYE_SLOTS
from emer_edge.export.parts.fusion import STREAMS
from emer_edge.export.parts.graph import GraphBuilder, GraphIndex, rewritten, still_used

_LIMIT: Final = 32_768.0

_Layer = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""W (inputs, 4 hidden), R (hidden, 4 hidden) and the sum of both biases (4 hidden), gates in ONNX's order."""


def unroll_lstms(part: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a fusion (`emer_edge.export.parts.fusion`) in which no operator is recurrent."""
    index, graph = GraphIndex(part), GraphBuilder(part.graph.name)
    layers: dict[str, list[_Layer]] = {stream: [] for stream in STREAMS}
    for node in part.graph.node:
        if node.op_type == "LSTM":
            w, r, bias = (index.array(name)[0].astype(np.float64) for name in node.input[1:4])
            layers[node.name.rpartition(".")[0]].append((w.T, r.T, bias.reshape(2, -1).sum(axis=0)))
    _write(graph, list(layers.values()))
    read = [f"{stream}.time_first" for stream in STREAMS]
    kept = [node for node in part.graph.node if node.name in read or not node.name.startswith(STREAMS)]
    start = 1 + max(at for at, node in enumerate(kept) if node.name in read)
    others = [constant for constant in still_used(part, kept) if constant.name not in graph.constants]
    return rewritten(part, [*kept[:start], *graph.nodes, *kept[start:]], [*others, *graph.constants.values()])


def _write(graph: GraphBuilder, streams: Sequence[Sequence[_Layer]]) -> None:
    """Write both streams, from `eye_lstm.time_first` (T, N, inputs) to `eye_lstm.all_states` (N, T, hidden)."""
    depth, hidden = len(streams[0]), len(streams[0][0][1])
    inputs = _first_products(graph, streams)
    graph.constant("lstms.R", np.array([[r for _, r, _ in each] for each in zip(*streams, strict=True)]))
    above = list(zip(*streams, strict=True))[1:]
    graph.constant("lstms.W", np.array([[w for w, _, _ in each] for each in above]))
    graph.constant("lstms.B", np.array([[bias[None] for _, _, bias in each] for each in above]))
    graph.constant("lstms.sizes", [3 * hidden, hidden])
    graph.constant("lstms.below", [depth - 1, 1])
    # h and c hold (layers, streams, N, hidden). At first there is layer 0 only, and zeros above it.
    cell, state = _cell(graph, inputs[0], None, "lstms.wave0")
    nothing = graph.node("Mul", [state, graph.constant("zero", 0.0)], "lstms.nothing")
    cell = graph.node("Concat", [cell, *[nothing] * (depth - 1)], "lstms.wave0.c", axis=0)
    state = graph.node("Concat", [state, *[nothing] * (depth - 1)], "lstms.wave0.h", axis=0)
    finished = []
    for wave in range(1, EYE_SLOTS + depth - 1):
        name = f"lstms.wave{wave}"
        graph.node("Split", [state, "lstms.below"], f"{name}.split", [f"{name}.below", f"{name}.top"], axis=0)
        if wave >= depth:
            finished.append(f"{name}.top")
        # When the columns have run out, layer 0 keeps busy with the last one: nobody reads what it makes of it.
        low = graph.node("MatMul", [f"{name}.below", "lstms.W"], f"{name}.low")
        low = graph.node("Add", [low, "lstms.B"], f"{name}.low.add")
        given = graph.node("Concat", [inputs[min(wave, EYE_SLOTS - 1)], low], f"{name}.given", axis=0)
        recurrent = graph.node("MatMul", [state, "lstms.R"], f"{name}.recurrent")
        cell, state = _cell(graph, graph.node("Add", [given, recurrent], f"{name}.gates"), cell, name)
        if wave < depth - 1:
            started = graph.constant(f"{name}.started", (np.arange(depth) <= wave).astype(float).reshape(-1, 1, 1, 1))
            cell, state = (graph.node("Mul", [tensor, started], f"{tensor}.masked") for tensor in (cell, state))
    graph.node("Split", [state, "lstms.below"], "lstms.last", ["lstms.rest", "lstms.top"], axis=0)
    stacked = graph.node("Concat", [*finished, "lstms.top"], "lstms.states", axis=0)
    turned = graph.transpose(stacked, "lstms.batch_first", (1, 2, 0, 3))
    graph.node("Split", [turned], "lstms.streams", [f"{stream}.turned" for stream in STREAMS], axis=0)
    for stream in STREAMS:
        graph.node("Squeeze", [f"{stream}.turned", graph.constant("turned_axis", [0])], f"{stream}.all_states")


def _first_products(graph: GraphBuilder, streams: Sequence[Sequence[_Layer]]) -> list[str]:
    """What layer 0 makes of the columns: for each step (1, streams, N, 4 hidden)."""
    limits = [graph.constant("lstms.least", -_LIMIT), graph.constant("lstms.most", _LIMIT)]
    products = []
    for name, ((w, _, bias), *_above) in zip(STREAMS, streams, strict=True):
        x = graph.node("MatMul", [f"{name}.time_first", graph.constant(f"{name}.0.W", w)], f"{name}.0")
        x = graph.node("Add", [x, graph.constant(f"{name}.0.B", bias)], f"{name}.0.add")
        x = graph.node("Clip", [x, *limits], f"{name}.0.limit")
        products.append(graph.node("Unsqueeze", [x, graph.constant("stream_axis", [1])], f"{name}.0.stream"))
    both = graph.node("Concat", products, "lstms.given", axis=1)
    steps = [f"lstms.given.{step}" for step in range(EYE_SLOTS)]
    graph.node("Split", [both], "lstms.steps", steps, axis=0)
    return steps


def _cell(graph: GraphBuilder, gates: str, cell: str | None, name: str) -> tuple[str, str]:
    """Cell state and hidden state after gates (..., 4 hidden) in ONNX's order: input, output, forget, cell."""
    graph.node("Split", [gates, "lstms.sizes"], f"{name}.apart", [f"{name}.bounded", f"{name}.signed"], axis=3)
    bounded = graph.node("Sigmoid", [f"{name}.bounded"], f"{name}.sigmoid")
    doors = [f"{name}.{gate}" for gate in ("i", "o", "f")]
    graph.node("Split", [bounded], f"{name}.doors", doors, axis=3)
    new = graph.node("Mul", [doors[0], graph.node("Tanh", [f"{name}.signed"], f"{name}.tanh")], f"{name}.new")
    if cell is not None:
        kept = graph.node("Mul", [doors[2], cell], f"{name}.kept")
        new = graph.node("Add", [kept, new], f"{name}.cell")
    return new, graph.node("Mul", [doors[1], graph.node("Tanh", [new], f"{name}.bent")], f"{name}.state")
