"""Fusion: two LSTMs, projections, the cross-modal transformer and the heads.

The graph computes the same function as the torch module with fewer products:

- per modality the specific and the invariant projection are one matrix product, and their biases and the learned
  positions one constant;
- the source tokens are never updated, so they are normalised once: gains and biases of `norm_k` and `norm_v` are linear
  and go into the matrices (a bias of `norm_k` shifts all scores of a query alike, which a softmax does not see);
- per attention head, Wq^T Wk and Wv^T Wo^T are one matrix each. Keys and values are then the normalised source itself,
  the same for all heads, so that all heads of all queries are one product without any transposition.

The difference is rounding (about 1e-6 of an output's largest value).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import HEADS
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS
from emer_edge.export.parts.graph import GraphBuilder, array
from emer_edge.model.emert import STANDARDISED_LIMIT, Emert
from emer_edge.model.layers import STATE, TOKENS

_HEADS: Final = 8
_HEAD_WIDTH: Final = 64
_NORM_EPSILON: Final = 1e-5
STREAMS: Final = ("eye_lstm", "gaze_lstm")
"""Names of the two LSTMs; those of their nodes begin so."""
_FIRST_LAYERS: Final = frozenset(
    f"{stream}.{node}" for stream in STREAMS for node in ("time_first", "0", "0.add", "0.limit", "0.stream")
)
"""Names of the nodes, of operators or unrolled, that read columns."""


def fusion(model: Emert) -> onnx.ModelProto:
    """Write the part, its LSTMs as ONNX's operators (`emer_edge.export.parts.unrolled_lstms` has the other form).

    Inputs `embeddings` (N, 8, 128), `eye` (N, 32, 39), `gaze` (N, 32, 2), float32; one float32 output per head under
    its name, logits (N, C) or a value (N, 1).
    """
    graph = GraphBuilder("fusion")
    embeddings = graph.input("embeddings", FACE_SLOTS, STATE)
    eye = graph.input("eye", EYE_SLOTS, EYE_COLUMN_COUNT)
    gaze = graph.input("gaze", EYE_SLOTS, 2)
    if model.standardised:
        given: Any = model
        eye = _standardise(graph, eye, given.eye_mean, given.eye_scale)
        gaze = _standardise(graph, gaze, given.gaze_mean, given.gaze_scale)
    lstms = ((eye, model.subnet.e_lstm), (gaze, model.subnet.v_lstm))
    eye, gaze = (_operators(graph, x, layers, name) for name, (x, layers) in zip(STREAMS, lstms, strict=True))
    source, target = _tokens(graph, model, {"face": embeddings, "eye": eye, "gaze": gaze})
    dim = model.variant.dim
    source = _normalise(graph, source, "source.norm", (np.ones(dim), np.zeros(dim)))
    graph.transpose(source, f"{source}.turned", (0, 2, 1))
    target = graph.reshape(target, "target.rows", (-1, dim))
    layers: Any = model.transformer.CrossTransformerEncoder.layers
    for number, (attention, feed_forward) in enumerate(layers):
        target = _attend(graph, (target, source), attention, f"layer{number}.attention")
        target = _feed_forward(graph, target, feed_forward, f"layer{number}.feed_forward")
    tokens = graph.reshape(target, "tokens.by_window", (-1, TOKENS, dim))
    feature = graph.node("ReduceMean", [tokens], "mean", axes=[1], keepdims=0)
    write_heads(graph, feature, model.head_modules)
    for name in model.head_names:
        graph.output(name, HEADS[name].width)
    return graph.build()


def high_precision_nodes(part: onnx.ModelProto) -> frozenset[str]:
    """Names of the nodes that stay FP32 whatever the precision.

    Standardisation and the first layer of both LSTMs, which read raw columns; the normalisations; the heads.
    """
    return frozenset(
        node.name
        for node in part.graph.node
        if node.name in _FIRST_LAYERS
        or node.name.startswith(("head.", "standardise."))
        or node.op_type == "LayerNormalization"
    ) | {"mean"}


def _operators(graph: GraphBuilder, x: str, layers: nn.LSTM, name: str) -> str:
    """Write a stacked LSTM over (N, T, inputs): all states of its last layer, (N, T, hidden)."""
    # Initial states are left out, which means zeros, so no shape of N is needed. Time goes first because ONNX
    # Runtime refuses the operator's batch-first layout.
    x = graph.transpose(x, f"{name}.time_first", (1, 0, 2))
    for number in range(layers.num_layers):
        layer = f"{name}.{number}"
        w, r, bias_w, bias_r = _lstm_layer(layers, number)
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
    turned = graph.transpose(states, f"{name}.batch_first", (1, 2, 0, 3))
    return graph.node("Squeeze", [turned, graph.constant("turned_axis", [0])], f"{name}.all_states")


def _lstm_layer(layers: nn.LSTM, number: int) -> tuple[NDArray[np.float64], ...]:
    """W (4 hidden, inputs), R (4 hidden, hidden) and both biases of a layer.

    Gates go from torch's order, input, forget, cell, output, to ONNX's, input, output, forget, cell.
    """
    reordered = []
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        i, f, c, o = np.split(array(getattr(layers, f"{kind}_l{number}")), 4)
        reordered.append(np.concatenate([i, o, f, c]))
    return tuple(reordered)


def _standardise(graph: GraphBuilder, x: str, mean: Any, scale: Any) -> str:
    name = f"standardise.{x}"
    centred = graph.node("Sub", [x, graph.constant(f"{name}.mean", array(mean))], f"{name}.centred")
    scaled = graph.node("Div", [centred, graph.constant(f"{name}.scale", array(scale))], f"{name}.scaled")
    limits = [
        graph.constant("standardise.low", -float(STANDARDISED_LIMIT)),
        graph.constant("standardise.high", float(STANDARDISED_LIMIT)),
    ]
    return graph.node("Clip", [scaled, *limits], f"{name}.clipped")


def _tokens(graph: GraphBuilder, model: Emert, streams: dict[str, str]) -> tuple[str, str]:
    """Project and concatenate the streams: specific tokens (source) and invariant ones (target)."""
    own = (model.specific_projection_v, model.specific_projection_a, model.specific_projection_l)
    slots = (FACE_SLOTS, EYE_SLOTS, EYE_SLOTS)
    parts, biases = [], []
    for (stream, x), specific, count in zip(streams.items(), own, slots, strict=True):
        value, bias = _project(graph, x, (specific, model.invariant_projection), f"project.{stream}")
        parts.append(value)
        biases.append(np.repeat(bias[None], count, axis=0))
    positions: Any = model.transformer
    learned = np.concatenate([array(positions.pos_embedding_s), array(positions.pos_embedding_t)], axis=2)
    tokens = graph.node("Concat", parts, "tokens", axis=1)
    constant = graph.constant("positions", np.concatenate(biases)[None] + learned)
    placed = graph.node("Add", [tokens, constant], "tokens.placed")
    graph.node("Split", [placed], "tokens.split", ["source", "target"], axis=2)
    return "source", "target"


def _project(
    graph: GraphBuilder, x: str, layers: tuple[nn.Sequential, nn.Sequential], name: str
) -> tuple[str, NDArray[np.float64]]:
    """Both projections of a stream side by side; returns the value and the bias still to be added to it."""
    pairs: Any = list(zip(*layers, strict=True))
    bias = np.zeros(0)
    for number, (one, other) in enumerate(pairs):
        layer = f"{name}.{number}"
        if isinstance(one, nn.LeakyReLU):
            x = graph.node("Add", [x, graph.constant(f"{layer}.bias", bias)], f"{layer}.add")
            x = graph.node("LeakyRelu", [x], layer, alpha=one.negative_slope)
            continue
        weights = [array(one.weight).T, array(other.weight).T]
        weight = np.concatenate(weights, axis=1) if number == 0 else _diagonal(weights)
        x = graph.node("MatMul", [x, graph.constant(f"{layer}.weight", weight)], layer)
        bias = np.concatenate([array(one.bias), array(other.bias)])
    return x, bias


def _normalise(graph: GraphBuilder, x: str, name: str, affine: tuple[NDArray[np.float64], NDArray[np.float64]]) -> str:
    constants = {"gain": affine[0], "bias": affine[1]}
    return graph.layer("LayerNormalization", x, name, constants, axis=-1, epsilon=_NORM_EPSILON)


def _attend(graph: GraphBuilder, tokens: tuple[str, str], attention: Any, name: str) -> str:
    """Add attention(target, source) to the target, heads folded; `source` is normalised without gain and bias."""
    target, source = tokens
    inner = attention.fn
    dim = inner.to_q.in_features
    q, k, v = (
        array(projection.weight).reshape(_HEADS, _HEAD_WIDTH, dim)
        for projection in (inner.to_q, inner.to_k, inner.to_v)
    )
    out = array(inner.to_out[0].weight).reshape(dim, _HEADS, _HEAD_WIDTH)
    ask = np.einsum("hai,haj->ihj", q, k) * array(attention.norm_k.weight) * _HEAD_WIDTH**-0.5
    ask_bias = np.einsum("i,ihj->hj", array(attention.norm_q.bias), ask)
    ask = array(attention.norm_q.weight)[:, None, None] * ask
    full = np.einsum("hai,oha->hio", v, out)
    answer = array(attention.norm_v.weight)[None, :, None] * full
    answer_bias = np.einsum("i,hio->o", array(attention.norm_v.bias), full) + array(inner.to_out[0].bias)

    x = _normalise(graph, target, f"{name}.norm", (np.ones(dim), np.zeros(dim)))
    x = _affine(graph, x, f"{name}.ask", (ask.reshape(dim, -1), ask_bias.reshape(-1)))
    x = graph.reshape(x, f"{name}.by_head", (-1, TOKENS * _HEADS, dim))
    scores = graph.node("MatMul", [x, f"{source}.turned"], f"{name}.scores")
    weights = graph.node("Softmax", [scores], f"{name}.weights", axis=2)
    x = graph.node("MatMul", [weights, source], f"{name}.mix")
    x = graph.reshape(x, f"{name}.joined", (-1, _HEADS * dim))
    x = _affine(graph, x, f"{name}.answer", (answer.reshape(-1, dim), answer_bias))
    return graph.node("Add", [target, x], f"{name}.sum")


def _feed_forward(graph: GraphBuilder, x: str, layer: Any, name: str) -> str:
    """Add feed-forward(x) to x, the exact GELU written with Erf as opset 17 has no Gelu."""
    net = layer.fn.net
    inner = _normalise(graph, x, f"{name}.norm", (array(layer.norm.weight), array(layer.norm.bias)))
    inner = _affine(graph, inner, f"{name}.0", (array(net[0].weight).T, array(net[0].bias)))
    half = graph.node("Mul", [inner, graph.constant("half", 0.5)], f"{name}.half")
    bent = graph.node("Div", [inner, graph.constant("root_two", math.sqrt(2.0))], f"{name}.scaled")
    bent = graph.node("Add", [graph.node("Erf", [bent], f"{name}.erf"), graph.constant("one", 1.0)], f"{name}.bent")
    bent = graph.node("Mul", [half, bent], f"{name}.gelu")
    inner = _affine(graph, bent, f"{name}.3", (array(net[3].weight).T, array(net[3].bias)))
    return graph.node("Add", [x, inner], f"{name}.sum")


def _affine(graph: GraphBuilder, x: str, name: str, affine: tuple[NDArray[np.float64], NDArray[np.float64]]) -> str:
    """Multiply x (rows, inputs) by a weight (inputs, outputs) plus a bias, in one node."""
    return graph.layer("Gemm", x, name, {"weight": affine[0], "bias": affine[1]})


def write_heads(graph: GraphBuilder, feature: str, heads: Mapping[str, nn.Sequential]) -> None:
    """Write heads on rows (N, inputs), without dropout; each output is named as its head.

    Heads with the same layers except for their widths share one product per layer: the first layers' weights are
    concatenated, the others' are on the diagonal of a matrix of zeros.

    Raises:
        ConfigurationError: a layer that is neither linear nor a leaky rectifier.
    """
    alike: dict[tuple[float | None, ...], dict[str, list[nn.Module]]] = defaultdict(dict)
    for name, layers in heads.items():
        kept = [layer for layer in layers if not isinstance(layer, nn.Dropout)]
        alike[tuple(_kind(layer, name) for layer in kept)][name] = kept
    for group in alike.values():
        _write_group(graph, feature, group)


def _kind(layer: nn.Module, name: str) -> float | None:
    if isinstance(layer, nn.Linear):
        return None
    if isinstance(layer, nn.LeakyReLU):
        return float(layer.negative_slope)
    raise ConfigurationError(f"the head {name} holds a {type(layer).__name__}, which export does not know")


def _write_group(graph: GraphBuilder, x: str, group: Mapping[str, Sequence[nn.Module]]) -> None:
    names = list(group)
    label = f"head.{'+'.join(names)}"
    output = names[0] if len(names) == 1 else label
    depth = len(group[names[0]])
    for number in range(depth):
        layers: list[Any] = [group[name][number] for name in names]
        step, written = f"{label}.{number}", output if number == depth - 1 else ""
        if isinstance(layers[0], nn.LeakyReLU):
            x = graph.layer("LeakyRelu", x, step, {}, output=written, alpha=layers[0].negative_slope)
            continue
        weights = [array(layer.weight).T for layer in layers]
        bias = np.concatenate([array(layer.bias) for layer in layers])
        weight = np.concatenate(weights, axis=1) if number == 0 else _diagonal(weights)
        x = graph.layer("Gemm", x, step, {"weight": weight, "bias": bias}, output=written)
    if len(names) > 1:
        last: list[Any] = [group[name][-1] for name in names]
        widths = graph.constant(f"{label}.widths", [layer.out_features for layer in last])
        graph.node("Split", [output, widths], f"{label}.split", names, axis=1)


def _diagonal(blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    heights, widths = zip(*(block.shape for block in blocks), strict=True)
    whole = np.zeros((sum(heights), sum(widths)))
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole
