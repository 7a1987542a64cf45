"""Synthetic data in EMER's layout: a portrait with expressions, and eyes that follow films.

It shows that a pipeline learns, exports and runs. One portrait says nothing about unseen faces, and simulated eyes say
nothing about people.
"""

from __future__ import annotations

from emer_edge.data.synth.recording import Act, write_recording
from emer_edge.data.synth.synthesise import synthesise

__all__ = ["Act", "synthesise", "write_recording"]
