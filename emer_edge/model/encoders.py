"""The three feature extractors of EMERT under their published names: face, eye rows, gaze points."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from emer_edge.model.backbone import FEATURES, ResNet18
from emer_edge.spec.window import EYE_COLUMN_COUNT

__all__ = ["STATE", "Encoders"]

STATE: Final = 128
"""Width of an LSTM state and of a projected face embedding."""

_LSTM_LAYERS: Final = 3


class Encoders(nn.Module):
    """ResNet-18 for a face, an LSTM each for eye rows and gaze points (`subnet` in published checkpoints).

    Args:
        published: hold the two classifiers that published checkpoints contain and never use.
    """

    def __init__(self, published: bool) -> None:
        super().__init__()
        self.f_extractor = ResNet18(classifier=published)
        self.e_lstm = nn.LSTM(EYE_COLUMN_COUNT, STATE, _LSTM_LAYERS, batch_first=True)
        self.v_lstm = nn.LSTM(2, STATE, _LSTM_LAYERS, batch_first=True)
        if published:
            self.classifier = nn.Linear(FEATURES + 2 * STATE, 7)

    def face(self, face: Tensor) -> Tensor:
        """Map faces (B, 3, 112, 112) to features (B, 512)."""
        features: Tensor = self.f_extractor(face)
        return features

    def eye(self, eye: Tensor) -> Tensor:
        """Map eye rows (N, 32, 39) to the states of the last layer (N, 32, 128)."""
        states: Tensor = self.e_lstm(eye)[0]
        return states

    def gaze(self, gaze: Tensor) -> Tensor:
        """Map gaze points (N, 32, 2) to the states of the last layer (N, 32, 128)."""
        states: Tensor = self.v_lstm(gaze)[0]
        return states
