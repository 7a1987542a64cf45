"""EMERT assembled: three streams in, one tensor per head out.

The network is that of "Smile on the Face, Sadness in the Eyes" (arXiv 2512.16485), re-implemented from a description
of its layers; its three published variants keep the published parameter names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, cast

import torch
from torch import Tensor, nn

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.core.window import EYE_COLUMN_COUNT, FACE_SIZE_PX, FACE_SLOTS
from emer_edge.model.layers import MODALITIES, STATE, CrossTransformer, Encoders, projection, reverse_gradient
from emer_edge.model.metadata import VARIANTS, FaceNetwork, VariantName, check_heads

STANDARDISED_LIMIT: Final = 5.0
"""Standardised columns are clipped to plus and minus this: a lost eye or a wild cell can't drown the rest."""

_STREAM_DROPOUT: Final = 0.5


@dataclass(frozen=True)
class Fused:
    """The outputs of fusion and the features before them.

    Attributes:
        heads: head name -> logits (N, C) or value (N, 1).
        specific, invariant: per modality (face, eye, gaze) projected features (N, 8 or 32, dim).
        tokens: (N, 72, dim) after the transformer: 8 face, 32 eye, 32 gaze.
    """

    heads: dict[str, Tensor]
    specific: tuple[Tensor, Tensor, Tensor]
    invariant: tuple[Tensor, Tensor, Tensor]
    tokens: Tensor


class Emert(nn.Module):
    """EMERT in one of its variants.

    Args:
        variant: `discrete`, `va`, `intensity` (published) or `nine`.
        heads: the heads it predicts, checked by `check_heads`.
        classes: class names of class heads in output order, where they differ from the project's own order.
        face_network: what sees a face; published variants have a ResNet-18.

    Raises:
        ConfigurationError: heads that the variant has not, or classes that are not a permutation of the head's.
    """

    eye_mean: Tensor
    eye_scale: Tensor
    gaze_mean: Tensor
    gaze_scale: Tensor

    def __init__(
        self,
        variant: VariantName = "nine",
        heads: Sequence[str] | None = None,
        classes: Mapping[str, Sequence[str]] | None = None,
        face_network: FaceNetwork = "resnet18",
    ) -> None:
        super().__init__()
        self.variant = VARIANTS[variant]
        self.head_names = check_heads(variant, heads)
        self.classes = _classes(self.head_names, classes or {})
        dim = self.variant.dim
        self.subnet = Encoders(self.variant.published, face_network)
        self.proj_v1 = nn.Linear(self.subnet.f_extractor.width, STATE)
        self.stream_dropout = nn.Dropout(_STREAM_DROPOUT)
        self.specific_projection_v = projection(dim, self.variant.projection_layers)
        self.specific_projection_a = projection(dim, self.variant.projection_layers)
        self.specific_projection_l = projection(dim, self.variant.projection_layers)
        self.invariant_projection = projection(dim, self.variant.projection_layers)
        self.distriminator = nn.Sequential(nn.Linear(dim, len(MODALITIES)))  # spelt as published
        self.transformer = CrossTransformer(dim)
        built = {name: _build_head(name, dim) for name in self.head_names}
        if not self.variant.published:
            self.heads = nn.ModuleDict(built)
            for stream, columns in (("eye", EYE_COLUMN_COUNT), ("gaze", 2)):
                self.register_buffer(f"{stream}_mean", torch.zeros(columns))
                self.register_buffer(f"{stream}_scale", torch.ones(columns))
        for module, layers in zip(self.variant.modules, built.values(), strict=self.variant.published):
            self.add_module(module, layers)

    @property
    def head_modules(self) -> dict[str, nn.Sequential]:
        """Head -> its layers, whatever they are called in the checkpoint."""
        if not self.variant.published:
            return {name: cast("nn.Sequential", self.heads[name]) for name in self.head_names}
        return {name: getattr(self, module) for name, module in zip(self.head_names, self.variant.modules, strict=True)}

    @property
    def standardised(self) -> bool:
        """Whether columns are standardised inside the network."""
        return not self.variant.published

    def encode(self, face: Tensor) -> Tensor:
        """Map faces (B, 3, 112, 112), BGR in [0, 1], to embeddings (B, 128)."""
        return self.project(self.subnet.face(face))

    def project(self, features: Tensor) -> Tensor:
        """Map features of the face network (..., 512 or 256) to embeddings (..., 128)."""
        return cast("Tensor", self.proj_v1(features))

    def standardise(self, eye: Tensor, gaze: Tensor) -> tuple[Tensor, Tensor]:
        """Bring eye rows (N, 32, 39) and gaze points (N, 32, 2) to the scale the LSTMs read; raw in published variants.

        A missing cell stays 0 before standardisation, so it becomes the value of 0 on the column's scale.
        """
        if not self.standardised:
            return eye, gaze
        limit = STANDARDISED_LIMIT
        eye = ((eye - self.eye_mean) / self.eye_scale).clamp(-limit, limit)
        gaze = ((gaze - self.gaze_mean) / self.gaze_scale).clamp(-limit, limit)
        return eye, gaze

    def fuse(self, embeddings: Tensor, eye: Tensor, gaze: Tensor) -> dict[str, Tensor]:
        """Map face embeddings (N, 8, 128), eye rows (N, 32, 39) and gaze (N, 32, 2), raw, to head -> (N, C)."""
        return self.fuse_standardised(embeddings, *self.standardise(eye, gaze)).heads

    def fuse_standardised(self, embeddings: Tensor, eye: Tensor, gaze: Tensor) -> Fused:
        """Do as `fuse` on columns that `standardise` has seen; return the features on the way too."""
        streams = [self.stream_dropout(stream) for stream in (embeddings, self.subnet.eye(eye), self.subnet.gaze(gaze))]
        own = (self.specific_projection_v, self.specific_projection_a, self.specific_projection_l)
        face_s, eye_s, gaze_s = (project(stream) for project, stream in zip(own, streams, strict=True))
        face_i, eye_i, gaze_i = (self.invariant_projection(stream) for stream in streams)
        specific, invariant = (face_s, eye_s, gaze_s), (face_i, eye_i, gaze_i)
        tokens: Tensor = self.transformer(torch.cat(specific, dim=1), torch.cat(invariant, dim=1))
        feature = tokens.mean(dim=1)
        predicted = {name: layers(feature) for name, layers in self.head_modules.items()}
        return Fused(predicted, specific, invariant, tokens)

    def forward(self, face: Tensor, eye: Tensor, gaze: Tensor) -> dict[str, Tensor]:
        """Map whole windows, face (N, 8, 3, 112, 112), eye (N, 32, 39), gaze (N, 32, 2), to head -> (N, C)."""
        embeddings = self.encode(face.reshape(-1, 3, FACE_SIZE_PX, FACE_SIZE_PX)).reshape(-1, FACE_SLOTS, STATE)
        return self.fuse(embeddings, eye, gaze)

    def modality_logits(self, fused: Fused) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Classify each feature's modality from its mean over time.

        Returns:
            modality -> (N, 3) logits of the specific features, and of the invariant ones through gradient reversal.
        """
        specific = [self.distriminator(features.mean(dim=1)) for features in fused.specific]
        invariant = [self.distriminator(reverse_gradient(features.mean(dim=1))) for features in fused.invariant]
        return dict(zip(MODALITIES, specific, strict=True)), dict(zip(MODALITIES, invariant, strict=True))


def _build_head(name: str, dim: int) -> nn.Sequential:
    """One head dim -> width: a stack for valence and arousal, one layer for anything else, as published."""
    head = HEADS[name]
    if isinstance(head, ClassHead) or head.target == "intensity":
        return nn.Sequential(nn.Linear(dim, head.width))
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((dim, 32, 16, 8, 1)):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers[:-1])


def _classes(heads: Sequence[str], given: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    orders: dict[str, tuple[str, ...]] = {}
    for name in heads:
        spec = HEADS[name]
        if not isinstance(spec, ClassHead):
            continue
        order = tuple(given.get(name, spec.classes))
        if sorted(order) != sorted(spec.classes):
            raise ConfigurationError(
                f"the classes of {name} must be {', '.join(spec.classes)} in some order, not {', '.join(order)}"
            )
        orders[name] = order
    return orders
