"""The two LSTMs of fusion, eye and gaze, in the form that an engine likes.

- `op`: ONNX's LSTM operator, which ONNX Runtime has a kernel for and TensorRT imports as loops.
- `unrolled`: plain products and activations, for engines whose loops are slow and can't be captured in a CUDA graph.
  All layers of both streams advance together along the diagonal: layer l of step t - l at the same time, so that three
  layers of 32 steps take 34 products one after the other instead of 96 for each stream.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import nn

from emer_edge.errors import ConfigurationError
from emer_edge.export.parts.graph import GraphBuilder
from emer_edge.export.parts.layers import array
from emer_edge.spec.window import EYE_SLOTS

__all__ = ["FIRST_LAYERS", "LstmForm", "two_lstms"]

LstmForm = Literal["op", "unrolled"]

FIRST_LAYERS: Final = frozenset(
    f"{stream}_lstm.{node}" for stream in ("eye", "gaze") for node in ("time_first", "0", "0.add", "0.stream")
)
"""Names of the nodes, of either form, that read columns."""


def two_lstms(
    graph: GraphBuilder, eye: str, gaze: str, e_lstm: nn.LSTM, v_lstm: nn.LSTM, form: LstmForm
) -> tuple[str, str]:
    """Write both stacked LSTMs over (N, T, inputs): all states of their last layers, each (N, T, hidden).

    Initial states are zeros.

    Raises:
        ConfigurationError: an unknown form.
    """
    if form not in get_args(LstmForm):
        raise ConfigurationError(f"an LSTM is written as {' or '.join(get_args(LstmForm))}, not {form!r}")
    if form == "op":
        return _operators(graph, eye, e_lstm, "eye_lstm"), _operators(graph, gaze, v_lstm, "gaze_lstm")
    return _unrolled(graph, {"eye_lstm": (eye, e_lstm), "gaze_lstm": (gaze, v_lstm)})


def _operators(graph: GraphBuilder, x: str, layers: nn.LSTM, name: str) -> str:
    # Initial states are left out, which means zeros, so no shape of N is ever asked for. Time goes first because ONNX
    # Runtime refuses the operator's batch-first layout.
    x = graph.transpose(x, f"{name}.time_first", 1, 0, 2)
    for number in range(layers.num_layers):
        layer = f"{name}.{number}"
        w, r, bias_w, bias_r = _layer(layers, number)
        inputs = [
            x,
            graph.constant(f"{layer}.W", w[None]),
            graph.constant(f"{layer}.R", r[None]),
            graph.constant(f"{layer}.B", np.concatenate([bias_w, bias_r])[None]),
        ]
        states = graph.node("LSTM", inputs, layer, [f"{layer}.states"], hidden_size=layers.hidden_size)
        if number < layers.num_layers - 1:
            x = graph.node("Squeeze", [states, graph.constant("direction_axis", [1])], f"{layer}.squeeze")
    # (T, 1, N, hidden): the direction's axis leaves with the turn.
    turned = graph.transpose(states, f"{name}.batch_first", 1, 2, 0, 3)
    return graph.node("Squeeze", [turned, graph.constant("turned_axis", [0])], f"{name}.all_states")


def _unrolled(graph: GraphBuilder, streams: dict[str, tuple[str, nn.LSTM]]) -> tuple[str, str]:
    modules = [each for _, each in streams.values()]
    depth, hidden = modules[0].num_layers, modules[0].hidden_size
    inputs = _first_products(graph, streams)
    recurrent = np.zeros((depth, len(modules), hidden, 4 * hidden))
    lower, biases = recurrent[1:].copy(), np.zeros((depth - 1, len(modules), 1, 4 * hidden))
    for number in range(depth):
        for at, each in enumerate(modules):
            w, r, bias_w, bias_r = _layer(each, number)
            recurrent[number, at] = r.T
            if number:
                lower[number - 1, at], biases[number - 1, at, 0] = w.T, bias_w + bias_r
    graph.constant("lstms.R", recurrent)
    graph.constant("lstms.W", lower)
    graph.constant("lstms.B", biases)
    # h and c hold (layers, streams, N, hidden). At first there is layer 0 only, and zeros above it.
    cell, state = _cell(graph, inputs[0], None, "lstms.wave0", hidden)
    nothing = graph.node("Mul", [state, graph.constant("zero", 0.0)], "lstms.nothing")
    cell = graph.node("Concat", [cell, *[nothing] * (depth - 1)], "lstms.wave0.c", axis=0)
    state = graph.node("Concat", [state, *[nothing] * (depth - 1)], "lstms.wave0.h", axis=0)
    finished = []
    for wave in range(1, EYE_SLOTS + depth - 1):
        name = f"lstms.wave{wave}"
        graph.node(
            "Split",
            [state, graph.constant("lstms.below", [depth - 1, 1])],
            f"{name}.split",
            [f"{name}.below", f"{name}.top"],
            axis=0,
        )
        if wave >= depth:
            finished.append(f"{name}.top")
        # When the columns have run out, layer 0 keeps busy with the last one: nobody reads what it makes of it.
        low = graph.node("MatMul", [f"{name}.below", "lstms.W"], f"{name}.low")
        low = graph.node("Add", [low, "lstms.B"], f"{name}.low.add")
        given = graph.node("Concat", [inputs[min(wave, EYE_SLOTS - 1)], low], f"{name}.given", axis=0)
        gates = graph.node(
            "Add", [given, graph.node("MatMul", [state, "lstms.R"], f"{name}.recurrent")], f"{name}.gates"
        )
        cell, state = _cell(graph, gates, cell, name, hidden)
        if wave < depth - 1:
            started = graph.constant(f"{name}.started", (np.arange(depth) <= wave).astype(float).reshape(-1, 1, 1, 1))
            cell, state = (graph.node("Mul", [each, started], f"{each}.masked") for each in (cell, state))
    graph.node(
        "Split",
        [state, graph.constant("lstms.below", [depth - 1, 1])],
        "lstms.last",
        ["lstms.rest", "lstms.top"],
        axis=0,
    )
    stacked = graph.node("Concat", [*finished, "lstms.top"], "lstms.states", axis=0)
    turned = graph.transpose(stacked, "lstms.batch_first", 1, 2, 0, 3)
    names = [f"{each}.turned" for each in streams]
    graph.node("Split", [turned], "lstms.streams", names, axis=0)
    axis = graph.constant("turned_axis", [0])
    eye, gaze = (graph.node("Squeeze", [each, axis], each.replace("turned", "all_states")) for each in names)
    return eye, gaze


def _first_products(graph: GraphBuilder, streams: dict[str, tuple[str, nn.LSTM]]) -> list[str]:
    """What layer 0 makes of the columns: for each step (1, streams, N, 4 hidden)."""
    products = []
    for name, (x, layers) in streams.items():
        w, _, bias_w, bias_r = _layer(layers, 0)
        x = graph.transpose(x, f"{name}.time_first", 1, 0, 2)
        x = graph.node("MatMul", [x, graph.constant(f"{name}.0.W", w.T)], f"{name}.0")
        x = graph.node("Add", [x, graph.constant(f"{name}.0.B", bias_w + bias_r)], f"{name}.0.add")
        products.append(graph.node("Unsqueeze", [x, graph.constant("stream_axis", [1])], f"{name}.0.stream"))
    both = graph.node("Concat", products, "lstms.given", axis=1)
    steps = [f"lstms.given.{step}" for step in range(EYE_SLOTS)]
    graph.node("Split", [both], "lstms.steps", steps, axis=0)
    return steps


def _cell(graph: GraphBuilder, gates: str, cell: str | None, name: str, hidden: int) -> tuple[str, str]:
    """Cell state and hidden state after gates (..., 4 hidden) in ONNX's order: input, output, forget, cell."""
    sizes = graph.constant("lstms.sizes", [3 * hidden, hidden])
    graph.node("Split", [gates, sizes], f"{name}.apart", [f"{name}.bounded", f"{name}.signed"], axis=3)
    bounded = graph.node("Sigmoid", [f"{name}.bounded"], f"{name}.sigmoid")
    doors = [f"{name}.{each}" for each in ("i", "o", "f")]
    graph.node("Split", [bounded], f"{name}.doors", doors, axis=3)
    new = graph.node("Mul", [doors[0], graph.node("Tanh", [f"{name}.signed"], f"{name}.tanh")], f"{name}.new")
    if cell is not None:
        kept = graph.node("Mul", [doors[2], cell], f"{name}.kept")
        new = graph.node("Add", [kept, new], f"{name}.cell")
    return new, graph.node("Mul", [doors[1], graph.node("Tanh", [new], f"{name}.bent")], f"{name}.state")


def _layer(layers: nn.LSTM, number: int) -> tuple[NDArray[np.float64], ...]:
    """W (4 hidden, inputs), R (4 hidden, hidden) and both biases of a layer.

    Gates go from torch's order, input, forget, cell, output, to ONNX's, input, output, forget, cell.
    """
    found = []
    for each in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        i, f, c, o = np.split(array(getattr(layers, f"{each}_l{number}")), 4)
        found.append(np.concatenate([i, o, f, c]))
    return tuple(found)
