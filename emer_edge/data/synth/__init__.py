"""Synthetic data in EMER's layout: a portrait that makes faces, and eyes that follow films.

It shows that a pipeline learns, exports and runs. One portrait says nothing about unseen faces, nor made-up eyes about
people.
"""

from __future__ import annotations

from emer_edge.data.synth.recording import Act, write_recording
from emer_edge.data.synth.synthesise import synthesise

__all__ = ["Act", "synthesise", "write_recording"]
