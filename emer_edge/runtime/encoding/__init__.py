"""Images as JPEG and PNG, encoded in a process of their own: `Encoder`."""

from __future__ import annotations

from emer_edge.runtime.encoding.encoder import Encoder
from emer_edge.runtime.encoding.encoder_child import CROP, LOOK, PAGE, WHOLE, Coding, Encode, encoded

__all__ = ["CROP", "LOOK", "PAGE", "WHOLE", "Coding", "Encode", "Encoder", "encoded"]
