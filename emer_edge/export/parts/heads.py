"""The heads: stacks of linear layers on one feature, those of equal depth side by side in one stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from emer_edge.errors import ConfigurationError
from emer_edge.export.parts.graph import GraphBuilder
from emer_edge.export.parts.layers import array

__all__ = ["write_heads"]


def write_heads(graph: GraphBuilder, feature: str, heads: Mapping[str, nn.Sequential]) -> None:
    """Write heads on rows (N, inputs): each gives the tensor of its name. Dropout is left out.

    Heads with the same layers but for their widths share one product a layer: the first layers' weights lie side by
    side, the others' on the diagonal of a matrix of zeros.

    Raises:
        ConfigurationError: a layer that is neither linear nor a leaky rectifier.
    """
    alike: dict[tuple[float | None, ...], dict[str, list[nn.Module]]] = defaultdict(dict)
    for name, layers in heads.items():
        kept = [each for each in layers if not isinstance(each, nn.Dropout)]
        alike[tuple(_kind(each, name) for each in kept)][name] = kept
    for group in alike.values():
        _write(graph, feature, group)


def _kind(layer: nn.Module, name: str) -> float | None:
    if isinstance(layer, nn.Linear):
        return None
    if isinstance(layer, nn.LeakyReLU):
        return float(layer.negative_slope)
    raise ConfigurationError(f"the head {name} holds a {type(layer).__name__}, which export does not know")


def _write(graph: GraphBuilder, x: str, group: Mapping[str, Sequence[nn.Module]]) -> None:
    names = list(group)
    label = f"head.{'+'.join(names)}"
    output = names[0] if len(names) == 1 else label
    depth = len(group[names[0]])
    for number in range(depth):
        layers: list[Any] = [group[name][number] for name in names]
        written = [output] if number == depth - 1 else None
        if isinstance(layers[0], nn.LeakyReLU):
            x = graph.node("LeakyRelu", [x], f"{label}.{number}", written, alpha=layers[0].negative_slope)
            continue
        weights = [array(each.weight).T for each in layers]
        bias = np.concatenate([array(each.bias) for each in layers])
        weight = np.concatenate(weights, axis=1) if number == 0 else _diagonal(weights)
        inputs = [x, graph.constant(f"{label}.{number}.weight", weight), graph.constant(f"{label}.{number}.bias", bias)]
        x = graph.node("Gemm", inputs, f"{label}.{number}", written)
    if len(names) > 1:
        last: list[Any] = [group[name][-1] for name in names]
        widths = graph.constant(f"{label}.widths", [each.out_features for each in last])
        graph.node("Split", [output, widths], f"{label}.split", names, axis=1)


def _diagonal(blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    heights, widths = zip(*(each.shape for each in blocks), strict=True)
    whole = np.zeros((sum(heights), sum(widths)))
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole
