"""Images as JPEG and PNG, encoded in a process of their own: `Encoder`."""

from __future__ import annotations

from emer_edge.runtime.encoding.coding import CROP, LOOK, PAGE, WHOLE, Coding, Encode, encoded
from emer_edge.runtime.encoding.encoder import Encoder

__all__ = ["CROP", "LOOK", "PAGE", "WHOLE", "Coding", "Encode", "Encoder", "encoded"]
