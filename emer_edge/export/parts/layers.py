"""Layers that both parts are written with."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from emer_edge.errors import ConfigurationError
from emer_edge.export.graph import GraphBuilder

__all__ = ["array", "linear", "stack"]


def array(tensor: Tensor | None) -> NDArray[np.float64]:
    """A parameter as float64, in which everything is folded."""
    if tensor is None:
        raise ConfigurationError("a layer to export lacks a parameter")
    values: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return values


def linear(graph: GraphBuilder, x: str, layer: nn.Linear, name: str, output: str | None = None) -> str:
    """Write a linear layer on rows (N, inputs)."""
    inputs = [
        x,
        graph.constant(f"{name}.weight", array(layer.weight)),
        graph.constant(f"{name}.bias", array(layer.bias)),
    ]
    return graph.node("Gemm", inputs, name, [output or name], transB=1)


def stack(graph: GraphBuilder, x: str, layers: Iterable[nn.Module], name: str, output: str) -> str:
    """Write linear layers and leaky rectifiers on rows (N, inputs), dropout left out; the last one gives `output`."""
    kept = [each for each in layers if not isinstance(each, nn.Dropout)]
    for number, layer in enumerate(kept):
        last = output if number == len(kept) - 1 else None
        if isinstance(layer, nn.Linear):
            x = linear(graph, x, layer, f"{name}.{number}", last)
        elif isinstance(layer, nn.LeakyReLU):
            x = graph.node("LeakyRelu", [x], f"{name}.{number}", [last] if last else None, alpha=layer.negative_slope)
        else:
            raise ConfigurationError(f"{name} holds a {type(layer).__name__}, which export does not know")
    return x
