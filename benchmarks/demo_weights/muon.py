"""Muon: gradient steps whose matrices are made orthogonal, for kernels; AdamW for everything else.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the size of a step as in
Liu et al., "Muon is scalable for LLM training" (2025), so that both parts take one learning rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn

_QUINTIC: Final = (3.4445, -4.7750, 2.0315)
_ITERATIONS: Final = 5
_RMS: Final = 0.2  # of an AdamW step, which an orthogonal matrix is scaled to


class Muon(torch.optim.Optimizer):
    """Momentum and orthogonal steps for kernels, each seen as a matrix (outputs, the rest).

    Args:
        kernels: parameters of two or more dimensions.
        lr: learning rate, as for AdamW.
        momentum: Nesterov's.
        weight_decay: decoupled.
    """

    def __init__(
        self, kernels: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(kernels, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Take one step."""
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is None:
                    continue
                state = self.state[kernel]
                if not state:
                    state["momentum"] = torch.zeros_like(kernel)
                moving = state["momentum"]
                moving.lerp_(kernel.grad, 1 - group["momentum"])
                ahead = kernel.grad.lerp(moving, group["momentum"])
                turned = orthogonal(ahead.reshape(len(ahead), -1))
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                size = _RMS * max(turned.shape) ** 0.5
                kernel.add_(turned.reshape(kernel.shape), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """The orthogonal matrix nearest to (m, n), roughly: singular values between 0.7 and 1.2."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T
