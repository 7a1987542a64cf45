"""Fusion with its LSTMs unrolled: plain products and activations instead of ONNX's LSTM operator.

For engines whose loops are slow and can't be captured in a CUDA graph; no command writes it, benchmarks compare it with
the operator. All layers of both streams advance together along the diagonal: layer l of step t - l at the same time, so
that three layers of 32 steps take 34 products one after the other instead of 96 for each stream.
"""

from __future__ import annotations

import numpy as np
from torch import nn

from emer_edge.core.window import EYE_SLOTS
from emer_edge.export.parts.fusion import lstm_layer
from emer_edge.export.parts.graph import GraphBuilder

__all__ = ["unrolled_lstms"]


def unrolled_lstms(graph: GraphBuilder, streams: dict[str, tuple[str, nn.LSTM]]) -> tuple[str, str]:
    """Write both streams as `emer_edge.export.parts.fusion.two_lstms` does, without loops."""
    modules = [stream for _, stream in streams.values()]
    depth, hidden = modules[0].num_layers, modules[0].hidden_size
    inputs = _first_products(graph, streams)
    recurrent = np.zeros((depth, len(modules), hidden, 4 * hidden))
    lower, biases = recurrent[1:].copy(), np.zeros((depth - 1, len(modules), 1, 4 * hidden))
    for number in range(depth):
        for at, module in enumerate(modules):
            w, r, bias_w, bias_r = lstm_layer(module, number)
            recurrent[number, at] = r.T
            if number:
                lower[number - 1, at], biases[number - 1, at, 0] = w.T, bias_w + bias_r
    graph.constant("lstms.R", recurrent)
    graph.constant("lstms.W", lower)
    graph.constant("lstms.B", biases)
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
        gates = graph.node(
            "Add", [given, graph.node("MatMul", [state, "lstms.R"], f"{name}.recurrent")], f"{name}.gates"
        )
        cell, state = _cell(graph, gates, cell, name)
        if wave < depth - 1:
            started = graph.constant(f"{name}.started", (np.arange(depth) <= wave).astype(float).reshape(-1, 1, 1, 1))
            cell, state = (graph.node("Mul", [tensor, started], f"{tensor}.masked") for tensor in (cell, state))
    graph.node("Split", [state, "lstms.below"], "lstms.last", ["lstms.rest", "lstms.top"], axis=0)
    stacked = graph.node("Concat", [*finished, "lstms.top"], "lstms.states", axis=0)
    turned = graph.transpose(stacked, "lstms.batch_first", (1, 2, 0, 3))
    names = [f"{stream}.turned" for stream in streams]
    graph.node("Split", [turned], "lstms.streams", names, axis=0)
    axis = graph.constant("turned_axis", [0])
    eye, gaze = (graph.node("Squeeze", [name, axis], name.replace("turned", "all_states")) for name in names)
    return eye, gaze


def _first_products(graph: GraphBuilder, streams: dict[str, tuple[str, nn.LSTM]]) -> list[str]:
    """What layer 0 makes of the columns: for each step (1, streams, N, 4 hidden)."""
    products = []
    for name, (x, layers) in streams.items():
        w, _, bias_w, bias_r = lstm_layer(layers, 0)
        x = graph.transpose(x, f"{name}.time_first", (1, 0, 2))
        x = graph.node("MatMul", [x, graph.constant(f"{name}.0.W", w.T)], f"{name}.0")
        x = graph.node("Add", [x, graph.constant(f"{name}.0.B", bias_w + bias_r)], f"{name}.0.add")
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
