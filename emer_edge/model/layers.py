"""The layers that EMERT is assembled from, under their published names: encoders, projections, cross-modal transformer.

- Three encoders: face, eye rows, gaze points.
- Modality-specific and modality-invariant features: a classifier learns to name the modality of a feature. Specific
  features help it; invariant features pass a gradient reversal, so their projection learns to leave it guessing. Source
  of the reversal: Ganin and Lempitsky, "Unsupervised Domain Adaptation by Backpropagation" (2015).
- The transformer: invariant tokens are the queries, specific tokens keys and values. Shapes are written with constants
  and -1, never read from tensors.
"""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS
from emer_edge.model.backbone import ResNet18
from emer_edge.model.metadata import FaceNetwork
from emer_edge.model.separable import SeparableNet

STATE: Final = 128
"""Width of an LSTM state and of a projected face embedding."""

_LSTM_LAYERS: Final = 3

MODALITIES: Final = ("face", "eye", "gaze")
"""In the order of the modality classifier's outputs and of the tokens."""
_SLOPE: Final = 0.1
TOKENS: Final = FACE_SLOTS + 2 * EYE_SLOTS
"""8 face, 32 eye and 32 gaze tokens."""
_HEADS: Final = 8
_HEAD_WIDTH: Final = 64
_INNER: Final = _HEADS * _HEAD_WIDTH
_LAYERS: Final = 2
_TOKEN_DROPOUT: Final = 0.1
_DROPOUT: Final = 0.5


class Encoders(nn.Module):
    """A network for a face, an LSTM each for eye rows and gaze points (`subnet` in published checkpoints).

    Args:
        published: hold the two classifiers that published checkpoints contain and never use.
        face_network: EMERT's ResNet-18, or that of the demo weights.
    """

    def __init__(self, published: bool, face_network: FaceNetwork = "resnet18") -> None:
        super().__init__()
        self.f_extractor = SeparableNet() if face_network == "separable" else ResNet18(classifier=published)
        self.e_lstm = nn.LSTM(EYE_COLUMN_COUNT, STATE, _LSTM_LAYERS, batch_first=True)
        self.v_lstm = nn.LSTM(2, STATE, _LSTM_LAYERS, batch_first=True)
        if published:
            self.classifier = nn.Linear(self.f_extractor.width + 2 * STATE, 7)

    def face(self, face: Tensor) -> Tensor:
        """Map faces (B, 3, 112, 112) to features (B, 512), or (B, 256) of the demo weights."""
        return cast("Tensor", self.f_extractor(face))

    def eye(self, eye: Tensor) -> Tensor:
        """Map eye rows (N, 32, 39) to the states of the last layer (N, 32, 128)."""
        return cast("Tensor", self.e_lstm(eye)[0])

    def gaze(self, gaze: Tensor) -> Tensor:
        """Map gaze points (N, 32, 2) to the states of the last layer (N, 32, 128)."""
        return cast("Tensor", self.v_lstm(gaze)[0])


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
    return cast("Tensor", _Reversal.apply(x, factor))  # type: ignore[no-untyped-call]


def projection(dim: int, layers: int) -> nn.Sequential:
    """Build a projection 128 -> `dim` of one layer, or of two with 64 between (the discrete variant)."""
    if layers == 1:
        return nn.Sequential(nn.Linear(STATE, dim))
    return nn.Sequential(nn.Linear(STATE, 64), nn.LeakyReLU(_SLOPE), nn.Linear(64, dim))


class _Attention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(dim, _INNER, bias=False)
        self.to_k = nn.Linear(dim, _INNER, bias=False)
        self.to_v = nn.Linear(dim, _INNER, bias=False)
        self.to_out = nn.Sequential(nn.Linear(_INNER, dim), nn.Dropout(_DROPOUT))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = self._split(self.to_q(query)), self._split(self.to_k(key)), self._split(self.to_v(value))
        weights = functional.softmax(torch.matmul(q, k.transpose(2, 3)) * _HEAD_WIDTH**-0.5, dim=-1)
        joined = torch.matmul(weights, v).transpose(1, 2).reshape(-1, TOKENS, _INNER)
        return cast("Tensor", self.to_out(joined))

    @staticmethod
    def _split(x: Tensor) -> Tensor:
        return x.reshape(-1, TOKENS, _HEADS, _HEAD_WIDTH).transpose(1, 2)


class _NormalisedAttention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_q = nn.LayerNorm(dim)
        self.norm_k = nn.LayerNorm(dim)
        self.norm_v = nn.LayerNorm(dim)
        self.fn = _Attention(dim)

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        return cast("Tensor", self.fn(self.norm_q(target), self.norm_k(source), self.norm_v(source)))


class _NormalisedFeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        layers = nn.Linear(dim, dim), nn.GELU(), nn.Dropout(_DROPOUT), nn.Linear(dim, dim), nn.Dropout(_DROPOUT)
        self.fn = nn.ModuleDict({"net": nn.Sequential(*layers)})

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.fn["net"](self.norm(x)))


class _Encoder(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([_NormalisedAttention(dim), _NormalisedFeedForward(dim)]) for _ in range(_LAYERS)
        )

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        for layer in self.layers:
            attention, feed_forward = layer.children()
            target = target + attention(target, source)
            target = target + feed_forward(target)
        return target


class CrossTransformer(nn.Module):
    """Two layers of cross attention over 72 tokens.

    Args:
        dim: width of a token.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pos_embedding_s = nn.Parameter(torch.randn(1, TOKENS, dim))
        self.pos_embedding_t = nn.Parameter(torch.randn(1, TOKENS, dim))
        self.dropout = nn.Dropout(_TOKEN_DROPOUT)
        self.CrossTransformerEncoder = _Encoder(dim)

    def forward(self, specific: Tensor, invariant: Tensor) -> Tensor:
        """Let invariant tokens (N, 72, dim), the target, attend to specific ones, the source; return (N, 72, dim)."""
        source = self.dropout(specific + self.pos_embedding_s)
        target = self.dropout(invariant + self.pos_embedding_t)
        return cast("Tensor", self.CrossTransformerEncoder(target, source))
