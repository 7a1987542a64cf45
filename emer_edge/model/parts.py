"""EMERT cut after `proj_v1` into the two parts that are exported: nearly all the arithmetic, and all the rest."""

from __future__ import annotations

from torch import Tensor, nn

from emer_edge.model.emert import Emert

__all__ = ["FaceEncoderPart", "FusionPart"]


class FaceEncoderPart(nn.Module):
    """The face encoder: input `face` (B, 3, 112, 112), output `embedding` (B, 128)."""

    def __init__(self, model: Emert) -> None:
        super().__init__()
        self.backbone = model.subnet.f_extractor
        self.projection = model.proj_v1

    def forward(self, face: Tensor) -> Tensor:
        """Map faces, BGR in [0, 1], to embeddings."""
        embedding: Tensor = self.projection(self.backbone(face))
        return embedding


class FusionPart(nn.Module):
    """Fusion: inputs `embeddings` (B, 8, 128), `eye` (B, 32, 39), `gaze` (B, 32, 2), one output per head.

    Attributes:
        output_names: names of the outputs, in order.
    """

    def __init__(self, model: Emert) -> None:
        super().__init__()
        self.model = model
        self.output_names = model.head_names

    def forward(self, embeddings: Tensor, eye: Tensor, gaze: Tensor) -> tuple[Tensor, ...]:
        """Map one window's embeddings and raw columns to logits (B, C) and values (B, 1)."""
        outputs = self.model.fuse(embeddings, eye, gaze)
        return tuple(outputs[name] for name in self.output_names)
