"""Modality-specific and modality-invariant features, and the game that tells them apart.

A classifier learns to name the modality of a feature. Specific features help it; invariant features pass a gradient
reversal, so their projection learns to leave it guessing. Source of the reversal: Ganin and Lempitsky, "Unsupervised
Domain Adaptation by Backpropagation" (2015).
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from emer_edge.model.encoders import STATE

__all__ = ["MODALITIES", "projection", "reverse_gradient"]

MODALITIES: Final = ("face", "eye", "gaze")
"""In the order of the modality classifier's outputs and of the tokens."""

_SLOPE: Final = 0.1


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse_gradient(x: Tensor, factor: float = 1.0) -> Tensor:
    """Return `x` unchanged; its gradient comes back times -`factor`."""
    reversed_: Tensor = _Reversal.apply(x, factor)  # type: ignore[no-untyped-call]
    return reversed_


def projection(dim: int, layers: int) -> nn.Sequential:
    """Build a projection 128 -> `dim` of one layer, or of two with 64 between (the discrete variant)."""
    if layers == 1:
        return nn.Sequential(nn.Linear(STATE, dim))
    return nn.Sequential(nn.Linear(STATE, 64), nn.LeakyReLU(_SLOPE), nn.Linear(64, dim))
