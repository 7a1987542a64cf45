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
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from emer_edge.export.parts.graph import GraphBuilder
from emer_edge.export.parts.heads import write_heads
from emer_edge.export.parts.layers import array
from emer_edge.export.parts.recurrent import FIRST_LAYERS, LstmForm, two_lstms
from emer_edge.model.emert import STANDARDISED_LIMIT, Emert
from emer_edge.spec.heads import HEADS
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS

__all__ = ["fusion", "high_precision_nodes"]

_STATE: Final = 128
_TOKENS: Final = FACE_SLOTS + 2 * EYE_SLOTS
_HEADS: Final = 8
_HEAD_WIDTH: Final = 64
_NORM_EPSILON: Final = 1e-5


def fusion(model: Emert, lstm: LstmForm = "op") -> onnx.ModelProto:
    """Write the part.

    Inputs `embeddings` (N, 8, 128), `eye` (N, 32, 39), `gaze` (N, 32, 2), float32; one float32 output per head under
    its name, logits (N, C) or a value (N, 1).
    """
    graph = GraphBuilder("fusion")
    embeddings = graph.input("embeddings", FACE_SLOTS, _STATE)
    eye = graph.input("eye", EYE_SLOTS, EYE_COLUMN_COUNT)
    gaze = graph.input("gaze", EYE_SLOTS, 2)
    if model.standardised:
        given: Any = model
        eye = _standardise(graph, eye, given.eye_mean, given.eye_scale)
        gaze = _standardise(graph, gaze, given.gaze_mean, given.gaze_scale)
    eye, gaze = two_lstms(graph, eye, gaze, model.subnet.e_lstm, model.subnet.v_lstm, lstm)
    source, target = _tokens(graph, model, {"face": embeddings, "eye": eye, "gaze": gaze})
    dim = model.variant.dim
    source = _normalise(graph, source, "source.norm", np.ones(dim), np.zeros(dim))
    graph.transpose(source, f"{source}.turned", 0, 2, 1)
    target = graph.reshape(target, "target.rows", -1, dim)
    layers: Any = model.transformer.CrossTransformerEncoder.layers
    for number, (attention, feed_forward) in enumerate(layers):
        target = _attend(graph, target, source, attention, f"layer{number}.attention")
        target = _feed_forward(graph, target, feed_forward, f"layer{number}.feed_forward")
    tokens = graph.reshape(target, "tokens.by_window", -1, _TOKENS, dim)
    feature = graph.node("ReduceMean", [tokens], "mean", axes=[1], keepdims=0)
    write_heads(graph, feature, _heads(model))
    for name in _heads(model):
        graph.output(name, HEADS[name].width)
    return graph.build()


def high_precision_nodes(part: onnx.ModelProto) -> frozenset[str]:
    """Names of the nodes that stay FP32 whatever the precision.

    Standardisation and the first layer of both LSTMs, which read raw columns; the normalisations; the heads.
    """
    kept = {"mean"}
    for node in part.graph.node:
        if (
            node.name in FIRST_LAYERS
            or node.name.startswith(("head.", "standardise."))
            or node.op_type == "LayerNormalization"
        ):
            kept.add(node.name)
    return frozenset(kept)


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
    """Project the streams and lay them side by side: specific tokens (source) and invariant ones (target)."""
    own = (model.specific_projection_v, model.specific_projection_a, model.specific_projection_l)
    slots = (FACE_SLOTS, EYE_SLOTS, EYE_SLOTS)
    parts, biases = [], []
    for (stream, x), specific, count in zip(streams.items(), own, slots, strict=True):
        value, bias = _project(graph, x, specific, model.invariant_projection, f"project.{stream}")
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
    graph: GraphBuilder, x: str, specific: nn.Sequential, invariant: nn.Sequential, name: str
) -> tuple[str, NDArray[np.float64]]:
    """Both projections of a stream side by side; returns the value and the bias still to be added to it."""
    pairs: Any = list(zip(specific, invariant, strict=True))
    bias = np.zeros(0)
    merged = False
    for number, (one, other) in enumerate(pairs):
        layer = f"{name}.{number}"
        if isinstance(one, nn.LeakyReLU):
            x = graph.node("Add", [x, graph.constant(f"{layer}.bias", bias)], f"{layer}.add")
            x = graph.node("LeakyRelu", [x], layer, alpha=one.negative_slope)
            continue
        w_one, w_other = array(one.weight).T, array(other.weight).T
        if merged:
            zeros = np.zeros((len(w_one), w_other.shape[1])), np.zeros((len(w_other), w_one.shape[1]))
            weight = np.block([[w_one, zeros[0]], [zeros[1], w_other]])
        else:
            weight = np.concatenate([w_one, w_other], axis=1)
        x = graph.node("MatMul", [x, graph.constant(f"{layer}.weight", weight)], layer)
        bias = np.concatenate([array(one.bias), array(other.bias)])
        merged = True
    return x, bias


def _normalise(graph: GraphBuilder, x: str, name: str, gain: NDArray[np.float64], bias: NDArray[np.float64]) -> str:
    inputs = [x, graph.constant(f"{name}.gain", gain), graph.constant(f"{name}.bias", bias)]
    return graph.node("LayerNormalization", inputs, name, axis=-1, epsilon=_NORM_EPSILON)


def _attend(graph: GraphBuilder, target: str, source: str, attention: Any, name: str) -> str:
    """Add attention(target, source) to the target, heads folded; `source` is normalised without gain and bias."""
    inner = attention.fn
    dim = inner.to_q.in_features
    q, k, v = (array(each.weight).reshape(_HEADS, _HEAD_WIDTH, dim) for each in (inner.to_q, inner.to_k, inner.to_v))
    out = array(inner.to_out[0].weight).reshape(dim, _HEADS, _HEAD_WIDTH)
    ask = np.einsum("hai,haj->ihj", q, k) * array(attention.norm_k.weight) * _HEAD_WIDTH**-0.5
    ask_bias = np.einsum("i,ihj->hj", array(attention.norm_q.bias), ask)
    ask = array(attention.norm_q.weight)[:, None, None] * ask
    full = np.einsum("hai,oha->hio", v, out)
    answer = array(attention.norm_v.weight)[None, :, None] * full
    answer_bias = np.einsum("i,hio->o", array(attention.norm_v.bias), full) + array(inner.to_out[0].bias)

    x = _normalise(graph, target, f"{name}.norm", np.ones(dim), np.zeros(dim))
    x = _affine(graph, x, ask.reshape(dim, -1), ask_bias.reshape(-1), f"{name}.ask")
    x = graph.reshape(x, f"{name}.by_head", -1, _TOKENS * _HEADS, dim)
    scores = graph.node("MatMul", [x, f"{source}.turned"], f"{name}.scores")
    weights = graph.node("Softmax", [scores], f"{name}.weights", axis=2)
    x = graph.node("MatMul", [weights, source], f"{name}.mix")
    x = graph.reshape(x, f"{name}.joined", -1, _HEADS * dim)
    x = _affine(graph, x, answer.reshape(-1, dim), answer_bias, f"{name}.answer")
    return graph.node("Add", [target, x], f"{name}.sum")


def _feed_forward(graph: GraphBuilder, x: str, layer: Any, name: str) -> str:
    """Add feed-forward(x) to x, the exact GELU written with Erf as opset 17 has no Gelu."""
    net = layer.fn.net
    inner = _normalise(graph, x, f"{name}.norm", array(layer.norm.weight), array(layer.norm.bias))
    inner = _affine(graph, inner, array(net[0].weight).T, array(net[0].bias), f"{name}.0")
    half = graph.node("Mul", [inner, graph.constant("half", 0.5)], f"{name}.half")
    bent = graph.node("Div", [inner, graph.constant("root_two", math.sqrt(2.0))], f"{name}.scaled")
    bent = graph.node("Add", [graph.node("Erf", [bent], f"{name}.erf"), graph.constant("one", 1.0)], f"{name}.bent")
    bent = graph.node("Mul", [half, bent], f"{name}.gelu")
    inner = _affine(graph, bent, array(net[3].weight).T, array(net[3].bias), f"{name}.3")
    return graph.node("Add", [x, inner], f"{name}.sum")


def _affine(graph: GraphBuilder, x: str, weight: NDArray[np.float64], bias: NDArray[np.float64], name: str) -> str:
    """Multiply x (rows, inputs) by weight (inputs, outputs) plus bias, in one node."""
    inputs = [x, graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias)]
    return graph.node("Gemm", inputs, name)


def _heads(model: Emert) -> dict[str, nn.Sequential]:
    given: Any = model
    if model.variant.name == "nine":
        return {name: given.heads[name] for name in model.head_names}
    if model.variant.name == "intensity":
        return {"fer-7": given.cls_head_e, "fer-intensity": given.cls_head_in}
    return {model.head_names[0]: given.cls_head}
