"""The parts of EMERT as ONNX graphs: `face_encoder` and `fusion`, written from the torch modules' weights."""

from __future__ import annotations

from emer_edge.export.parts.encoder import face_encoder
from emer_edge.export.parts.fusion import fusion

__all__ = ["face_encoder", "fusion"]
