"""The cross-modal transformer: invariant tokens ask, specific tokens answer.

Shapes are written with constants and -1, never read from tensors, so that an exported graph holds no shape arithmetic.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from emer_edge.spec.window import EYE_SLOTS, FACE_SLOTS

__all__ = ["TOKENS", "CrossTransformer"]

TOKENS: Final = FACE_SLOTS + 2 * EYE_SLOTS
"""8 face, 32 eye and 32 gaze tokens."""

_HEADS: Final = 8
_HEAD_WIDTH: Final = 64
_INNER: Final = _HEADS * _HEAD_WIDTH
_LAYERS: Final = 2
_TOKEN_DROPOUT: Final = 0.1
_DROPOUT: Final = 0.5


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
        out: Tensor = self.to_out(joined)
        return out

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
        out: Tensor = self.fn(self.norm_q(target), self.norm_k(source), self.norm_v(source))
        return out


class _FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, dim), nn.GELU(), nn.Dropout(_DROPOUT), nn.Linear(dim, dim), nn.Dropout(_DROPOUT)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class _NormalisedFeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fn = _FeedForward(dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fn(self.norm(x))
        return out


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
        out: Tensor = self.CrossTransformerEncoder(target, source)
        return out
