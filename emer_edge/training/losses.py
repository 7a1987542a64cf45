"""The losses of training, and the figure on the selection slice that chooses the epoch.

The loss is that of every head on the clips that have its label, the modality losses, and the eye-behaviour task. That
task is this project's own: the authors' code trains no eye behaviour. Random rows are hidden from the network, and its
transformed eye tokens must predict their movement type, pupils and gaze. The task has its own head, which no checkpoint
keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from emer_edge.core.columns import GAZE_POINT, MOVEMENT_TYPE, POSITION, PUPILS, VALIDITY, MovementType, column_indices
from emer_edge.core.heads import HEADS, ValueHead
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS
from emer_edge.metrics.prediction_metrics import mae, uar, war
from emer_edge.model.emert import Emert
from emer_edge.model.layers import MODALITIES, STATE
from emer_edge.training.examples import Batch

_SHARE: Final = 0.15
_VALUES: Final = column_indices(GAZE_POINT, PUPILS)
# Gaze points and gaze directions determine each other, and the event columns determine the type.
_HIDDEN: Final = tuple(sorted({*range(EYE_COLUMN_COUNT)} - {*column_indices(VALIDITY, *POSITION)}))


def task_loss(outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> Tensor:
    """Sum the heads' losses: cross entropy for classes, SmoothL1 for values.

    Args:
        outputs: head -> (b, C) logits or (b, 1) values.
        labels: head -> (b,) class indices or values, or (b, C) shares of the classes, as float32, NaN where there is
            none.

    Returns:
        () the sum over heads of the mean over labelled clips; a head without any label in the batch adds 0.
    """
    total = next(iter(outputs.values())).new_zeros(())
    for name, predicted in outputs.items():
        label = labels[name]
        known = torch.isfinite(label if label.dim() == 1 else label.sum(dim=1))
        count = known.sum().clamp(min=1)
        filled = torch.nan_to_num(label)
        if HEADS[name].kind == "class":
            truth = filled if label.dim() == 2 else filled.long()
            losses = functional.cross_entropy(predicted, truth, reduction="none")
        else:
            losses = functional.smooth_l1_loss(predicted.squeeze(1), filled, reduction="none")
        total = total + (losses * known).sum() / count
    return total


def agreement_loss(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
    """How far some heads' outputs are from their targets, through which no gradient flows.

    Args:
        outputs: head -> (b, C) logits or (b, 1) values.
        targets: likewise.
        names: the heads to compare; may be none.

    Returns:
        () the sum over these heads of the mean Kullback-Leibler divergence of classes, or SmoothL1 of values.
    """
    total = next(iter(outputs.values())).new_zeros(())
    for name in names:
        target = targets[name].detach()
        if HEADS[name].kind == "class":
            said, meant = (functional.log_softmax(logits, dim=1) for logits in (outputs[name], target))
            total = total + functional.kl_div(said, meant, reduction="batchmean", log_target=True)
        else:
            total = total + functional.smooth_l1_loss(outputs[name], target)
    return total


def modality_loss(logits: Mapping[str, Tensor], *, summed: bool = False) -> Tensor:
    """Cross entropy of the modality classifier.

    Args:
        logits: modality -> (b, 3), each row's truth being its modality.
        summed: over the modalities, as the authors' code has it; else their mean.
    """
    stacked = torch.cat([logits[name] for name in MODALITIES])
    truth = torch.arange(len(MODALITIES), device=stacked.device).repeat_interleave(len(logits[MODALITIES[0]]))
    return functional.cross_entropy(stacked, truth) * (len(MODALITIES) if summed else 1)


@dataclass(frozen=True)
class Hidden:
    """Windows with hidden rows.

    Attributes:
        eye, gaze: (b, 32, 39) and (b, 32, 2) standardised, hidden cells 0.
        rows: (b, 32) bool, the rows that are hidden.
    """

    eye: Tensor
    gaze: Tensor
    rows: Tensor


class EyeTask(nn.Module):
    """Hides rows and scores their predictions; `dim` is the width of the network's tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, len(MovementType) + len(_VALUES))
        columns = torch.zeros(EYE_COLUMN_COUNT, dtype=torch.bool)
        columns[list(_HIDDEN)] = True
        self.register_buffer("columns", columns, persistent=False)
        self.columns: Tensor

    def hide(self, eye: Tensor, gaze: Tensor) -> Hidden:
        """Hide a random seventh or so of the rows of standardised streams."""
        rows = torch.rand(eye.shape[:2], device=eye.device) < _SHARE
        hidden = rows[..., None]
        return Hidden(eye.masked_fill(hidden & self.columns, 0.0), gaze.masked_fill(hidden, 0.0), rows)

    def loss(self, tokens: Tensor, hidden: Hidden, raw: Tensor, standardised: Tensor) -> Tensor:
        """Score the predictions for hidden rows.

        Args:
            tokens: (b, 72, dim) after the transformer.
            hidden: the network's input.
            raw: (b, 32, 39) eye rows as read.
            standardised: (b, 32, 39) eye rows before hiding.

        Returns:
            () cross entropy of the type plus SmoothL1 of the values of rows in which both eyes were seen.
        """
        answers = self.head(tokens[:, FACE_SLOTS : FACE_SLOTS + EYE_SLOTS])
        kinds = len(MovementType)
        weight = hidden.rows.float()
        kind = raw[..., MOVEMENT_TYPE].long().clamp(0, kinds - 1)
        losses = functional.cross_entropy(answers[..., :kinds].transpose(1, 2), kind, reduction="none")
        type_loss = (losses * weight).sum() / weight.sum().clamp(min=1)
        seen = weight * (raw[..., VALIDITY] != 0).all(dim=-1)
        errors = functional.smooth_l1_loss(answers[..., kinds:], standardised[..., list(_VALUES)], reduction="none")
        value_loss = (errors.mean(dim=-1) * seen).sum() / seen.sum().clamp(min=1)
        return type_loss + value_loss


def embed(model: Emert, batch: Batch) -> torch.Tensor:
    """Map a batch's crops or features to embeddings (b, 8, 128)."""
    if batch.face.dim() == 3:
        return model.project(batch.face)
    return model.encode(batch.face.flatten(0, 1)).reshape(*batch.face.shape[:2], STATE)


def predict(model: Emert, batches: Iterable[Batch]) -> dict[str, NDArray[np.float32]]:
    """Run a network over batches in evaluation mode; return head -> (n, C) logits or (n, 1) values."""
    model.eval()
    outputs: dict[str, list[NDArray[np.float32]]] = {name: [] for name in model.head_names}
    with torch.inference_mode():
        for batch in batches:
            for name, values in model.fuse(embed(model, batch), batch.eye, batch.gaze).items():
                outputs[name].append(values.cpu().numpy())
    return {name: np.concatenate(arrays) for name, arrays in outputs.items()}


def scores(outputs: Mapping[str, NDArray[np.float32]], labels: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Score outputs against labels, NaN for none: `<head>/war` and `<head>/uar`, or `<head>/mae`."""
    figures: dict[str, float] = {}
    for name, output in outputs.items():
        known = np.isfinite(labels[name])
        if not known.any():
            continue
        truth = labels[name][known]
        if HEADS[name].kind == "class":
            predicted = output[known].argmax(axis=1)
            figures[f"{name}/war"] = war(truth.astype(np.int64), predicted)
            figures[f"{name}/uar"] = uar(truth.astype(np.int64), predicted)
        else:
            figures[f"{name}/mae"] = mae(truth, output[known, 0])
    return figures


def overall(figures: Mapping[str, float]) -> float:
    """Fold the figures into one to choose by: the mean over heads of UAR, and of 1 - MAE / range of the label."""
    parts = []
    for key, value in figures.items():
        name, _, metric = key.partition("/")
        head = HEADS[name]
        if metric == "uar":
            parts.append(value)
        elif metric == "mae" and isinstance(head, ValueHead):
            parts.append(1.0 - value / (head.high - head.low))
    return float(np.mean(parts)) if parts else 0.0
