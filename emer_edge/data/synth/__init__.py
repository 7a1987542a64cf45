"""Synthetic data in EMER's layout: rendered people with expressions, and eyes that follow films.

It shows that a pipeline learns, exports and runs. The faces never lived, what they show is called what a teacher
network calls it, and simulated eyes say nothing about people.
"""

from __future__ import annotations

from emer_edge.data.synth.recording import Act, write_recording
from emer_edge.data.synth.synthesise import synthesise

__all__ = ["Act", "synthesise", "write_recording"]
