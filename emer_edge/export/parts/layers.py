"""Layers that both parts are written with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from emer_edge.errors import ConfigurationError
from emer_edge.export.parts.graph import GraphBuilder

__all__ = ["array", "linear"]


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
