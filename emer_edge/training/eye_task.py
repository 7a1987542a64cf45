"""The eye-behaviour task: from eye rows that are partly hidden, predict the movement type and what was hidden.

EMERT's authors train eye behaviour beside emotion in one transformer (arXiv 2512.16485). Here rows are hidden at random
from the network, and its transformed eye tokens must tell the movement type of those rows, their pupils and where
they looked. Only while training: the task has its own head, which no checkpoint keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from emer_edge.spec.columns import GAZE_POINT, MOVEMENT_TYPE, PUPILS, VALIDITY, MovementType
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS

__all__ = ["EyeTask", "Hidden"]

_SHARE: Final = 0.15
_VALUES: Final = (*range(EYE_COLUMN_COUNT)[GAZE_POINT], *range(EYE_COLUMN_COUNT)[PUPILS])
# Gaze points in every frame of reference and gaze directions tell each other, and the event columns tell the type.
_HIDDEN: Final = (*range(14), *range(22, EYE_COLUMN_COUNT))


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
    """Hides rows and scores what is said about them.

    Args:
        dim: width of the network's tokens.
    """

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
        return Hidden(
            eye.masked_fill(rows[..., None] & self.columns, 0.0), gaze.masked_fill(rows[..., None], 0.0), rows
        )

    def loss(self, tokens: Tensor, hidden: Hidden, raw: Tensor, standardised: Tensor) -> Tensor:
        """Score the predictions for hidden rows.

        Args:
            tokens: (b, 72, dim) after the transformer.
            hidden: what the network saw.
            raw: (b, 32, 39) eye rows as read.
            standardised: (b, 32, 39) eye rows before hiding.

        Returns:
            () cross entropy of the type plus SmoothL1 of the values of rows in which both eyes were seen.
        """
        said = self.head(tokens[:, FACE_SLOTS : FACE_SLOTS + EYE_SLOTS])
        kinds = len(MovementType)
        weight = hidden.rows.float()
        kind = raw[..., MOVEMENT_TYPE].long().clamp(0, kinds - 1)
        losses = functional.cross_entropy(said[..., :kinds].transpose(1, 2), kind, reduction="none")
        type_loss = (losses * weight).sum() / weight.sum().clamp(min=1)
        seen = weight * (raw[..., VALIDITY] != 0).all(dim=-1)
        errors = functional.smooth_l1_loss(said[..., kinds:], standardised[..., list(_VALUES)], reduction="none")
        value_loss = (errors.mean(dim=-1) * seen).sum() / seen.sum().clamp(min=1)
        total: Tensor = type_loss + value_loss
        return total
