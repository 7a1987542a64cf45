"""The loss: every head on the clips that have its label, and the game over modalities."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from emer_edge.model.decoupling import MODALITIES
from emer_edge.spec.heads import HEADS

__all__ = ["modality_loss", "task_loss"]


def task_loss(outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> Tensor:
    """Sum the heads' losses: cross entropy for classes, SmoothL1 for values.

    Args:
        outputs: head -> (b, C) logits or (b, 1) values.
        labels: head -> (b,) class indices or values as float32, NaN where there is none.

    Returns:
        () the sum over heads of the mean over labelled clips; a head without any label in the batch adds 0.
    """
    total = next(iter(outputs.values())).new_zeros(())
    for name, predicted in outputs.items():
        label = labels[name]
        known = torch.isfinite(label)
        count = known.sum().clamp(min=1)
        filled = torch.where(known, label, torch.zeros_like(label))
        if HEADS[name].kind == "class":
            losses = functional.cross_entropy(predicted, filled.long(), reduction="none")
        else:
            losses = functional.smooth_l1_loss(predicted.squeeze(1), filled, reduction="none")
        total = total + (losses * known).sum() / count
    return total


def modality_loss(logits: Mapping[str, Tensor]) -> Tensor:
    """Cross entropy of the modality classifier: modality -> (b, 3) logits, each row's truth being its modality."""
    stacked = torch.cat([logits[name] for name in MODALITIES])
    truth = torch.arange(len(MODALITIES), device=stacked.device).repeat_interleave(len(logits[MODALITIES[0]]))
    return functional.cross_entropy(stacked, truth)
